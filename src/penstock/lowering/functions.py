"""How steps of user code become operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from penstock.operators.contract import Operator
from penstock.operators.functions import MapFunction, RememberedFunction, RowFunction
from penstock.operators.results import BatchFunction, DictFunction, StepFunction
from penstock.plan.functions import BatchKind, MapBatches, MapRows, Remember, Rows
from penstock.plan.node import Node

_INTO: dict[BatchKind, Callable[[pl.DataFrame], Any]] = {
    BatchKind.POLARS: lambda frame: frame,
    BatchKind.ARROW: lambda frame: frame.to_arrow(),
    BatchKind.PANDAS: lambda frame: frame.to_pandas(),
}
_BACK: dict[BatchKind, Callable[[Any], Any]] = {
    BatchKind.POLARS: lambda given: given,
    BatchKind.ARROW: pl.from_arrow,
    BatchKind.PANDAS: pl.from_pandas,
}


def batch_function(
    function: Callable[[Any], Any], output: pl.Schema, batch: BatchKind, rows: Rows
) -> BatchFunction:
    """Wrap a function of batches: conversions, and the check of its result."""
    return BatchFunction(
        function,
        output,
        into=_INTO[batch],
        back=_BACK[batch],
        loose=batch is BatchKind.PANDAS,
        aligned=rows is Rows.SAME,
    )


def lower_batches(node: MapBatches) -> list[Operator]:
    """Lower ``map_batches``."""
    function = batch_function(node.function, node.output, node.batch, node.rows)
    return [_over(node, node.input, function, "map_batches")]


def lower_rows(node: MapRows) -> list[Operator]:
    """Lower ``map_rows``."""
    return [_over(node, node.input, DictFunction(node.function, node.output), "map_rows")]


def lower_remember(node: Remember) -> list[Operator]:
    """Lower row-wise expressions over changes that are not deterministic."""
    return [_over(node, node.row_step.input, StepFunction(node.row_step), node.row_step.kind)]


def _over(node: Node, below: Node, function: RowFunction, name: str) -> Operator:
    if not below.properties.changelog:
        return MapFunction(function, name)
    return RememberedFunction(function, input_schema=below.schema, output=node.schema, name=name)
