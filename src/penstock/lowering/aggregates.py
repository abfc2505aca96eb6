"""How an aggregation becomes operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from penstock.lowering.splitting import running, split_aggregates
from penstock.operators.aggregate import PartialAggregates
from penstock.operators.contract import Operator
from penstock.operators.expiry import BoundExpiry, Expiry, Keys, TtlExpiry
from penstock.operators.final import FinalRows
from penstock.operators.recompute import SLOT, Recompute, RecomputeInput
from penstock.operators.window_aggregate import PANE, WindowAggregate, WindowedGroups
from penstock.operators.windows import AssignWindows, WindowEnd
from penstock.plan.grouping import Aggregate, Final
from penstock.plan.properties import Properties, copied_columns
from penstock.windows import END, START, Hopping

MAX_GROUP_ROWS = 1_000_000
"""Rows that a recomputed group may have: at this size one epoch costs tens of milliseconds."""


def partial_aggregates(node: Aggregate, keys: tuple[pl.Expr, ...]) -> PartialAggregates | None:
    """Split all aggregates of a node into partials, or None if one does not split."""
    split = split_aggregates(node, keys)
    return None if split is None else split.partials


def expiry_for(
    properties: Properties, schema: pl.Schema, keys: dict[str, str], ttl_ns: int | None
) -> Callable[[Keys], Expiry] | None:
    """Return how keys expire: by a bounded column among them, else by the time to live, if any.

    ``keys`` maps the name of a key in the store to the input column it copies.
    """
    for name, column in keys.items():
        bound = properties.times.get(column)
        if bound is not None:
            over = bound.over(name, schema[column])
            return lambda store: BoundExpiry(store, over)
    return None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)


def final_rows(schema: pl.Schema, properties: Properties) -> FinalRows:
    """Return the operator that emits rows once they can no longer change."""
    for column, bound in properties.times.items():
        due = bound.due(column, schema[column])
        return FinalRows(schema, due, refined=bound.refine_ns > 0)
    return FinalRows(schema, None, refined=False)


def lower_final(node: Final) -> list[Operator]:
    """Lower ``emit("final")`` over any changelog."""
    return [final_rows(node.schema, node.input.properties)]


def lower_aggregate(node: Aggregate) -> list[Operator]:
    """Return the chain of operators for an aggregation."""
    if node.window is None:
        return _finished(node, [_plain(node)])
    if isinstance(node.window, Hopping):
        return _hopping(node, node.window)
    raise NotImplementedError(node.window.kind)


def _finished(node: Aggregate, chain: list[Operator]) -> list[Operator]:
    return [*chain, final_rows(node.schema, node.properties)] if node.final else chain


def _plain(node: Aggregate) -> Operator:
    properties, schema = node.input.properties, node.input.schema
    expiry = expiry_for(properties, schema, copied_columns(node.keys), node.ttl_ns)
    split = split_aggregates(node, node.keys, counted=True)
    if split is not None:
        return running(split, schema, expiry, changelog=properties.changelog)
    return recomputed(node, schema, node.keys, expiry, node.schema)


def recomputed(
    node: Aggregate,
    schema: pl.Schema,
    keys: tuple[pl.Expr, ...],
    expiry: Callable[[Keys], Expiry] | None,
    output: pl.Schema,
) -> Recompute:
    """Aggregate each touched group afresh from its rows, which have ``schema``."""
    aggs = node.aggs

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        if not keys:
            return rows.select(*aggs).with_columns(pl.lit(0, pl.Int64).alias(SLOT))
        return rows.group_by(SLOT, *keys, maintain_order=True).agg(*aggs)

    return Recompute(
        [RecomputeInput(schema, keys, node.input.properties.changelog)],
        evaluate,
        output=output,
        step="group_by",
        max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
        expiry=expiry,
    )


def _hopping(node: Aggregate, window: Hopping) -> list[Operator]:
    column, bound = node.window_column, node.window_bound
    assert column is not None
    properties = node.input.properties
    if node.final and bound is not None and not properties.changelog and not bound.refine_ns:
        return [WindowAggregate(_windowed(node, window, column))]
    return _finished(node, _running_windows(node, window, column))


def _windowed(node: Aggregate, window: Hopping, column: str) -> WindowedGroups:
    partials = partial_aggregates(node, node.keys)
    if partials is not None:
        dtype = node.input.schema[column]
        pane = pl.Schema({**partials.key_schema, PANE: dtype})
        partials = replace(partials, keys=(*partials.keys, pl.col(PANE)), key_schema=pane)
    return WindowedGroups(
        window=window,
        column=column,
        keys=node.keys,
        aggs=node.aggs,
        partials=partials,
        input=node.input.schema,
        output=node.schema,
    )


def _running_windows(node: Aggregate, window: Hopping, column: str) -> list[Operator]:
    """Assign each row to its windows, aggregate by key and window as changes, add the end."""
    dtype, properties = node.input.schema[column], node.input.properties
    start = pl.col(PANE).alias(START)
    keys = (*node.keys, start)
    assigned = pl.Schema({**node.input.schema, PANE: dtype})
    split = split_aggregates(node, node.keys, counted=True)
    expiry = None
    if column in properties.times:
        over = node.properties.times[START].over(START, dtype)
        expiry = lambda store: BoundExpiry(store, over)  # noqa: E731 - a factory, as expiry_for gives
    columns = [c for c in node.schema if c != END]
    inner: Operator
    if split is not None:
        key_schema = pl.Schema({**split.partials.key_schema, START: dtype})
        partials = replace(split.partials, keys=keys, key_schema=key_schema)
        split = replace(split, partials=partials)
        inner = running(split, assigned, expiry, changelog=properties.changelog)
    else:
        output = pl.Schema({c: node.schema[c] for c in columns})
        inner = recomputed(node, assigned, keys, expiry, output)
    return [AssignWindows(window, column, dtype), inner, WindowEnd(window, dtype, node.schema)]
