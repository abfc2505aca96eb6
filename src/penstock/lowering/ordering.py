"""How distinct rows become operators."""

from __future__ import annotations

import polars as pl

from penstock.lowering.aggregates import MAX_GROUP_ROWS, expiry_for
from penstock.operators.contract import Operator
from penstock.operators.counted_rows import CountedRows
from penstock.operators.distinct import Distinct
from penstock.operators.latest_rows import LatestRows
from penstock.operators.recompute import SLOT, Recompute, RecomputeInput
from penstock.plan.distinct import Keep, Unique


def lower_unique(node: Unique) -> list[Operator]:
    """Lower ``unique``: seen keys, latest rows, counted rows, or rows of each key recomputed."""
    before, schema = node.input.properties, node.input.schema
    subset = list(node.subset)
    expiry = expiry_for(before, schema, {name: name for name in subset}, node.ttl_ns)
    if node.passes_rows:
        return [Distinct(schema, subset, expiry)]
    once = node.keep is Keep.NONE
    if not before.changelog:
        return [LatestRows(schema, subset, once=once, expiry=expiry)]
    if node.whole_rows:
        return [CountedRows(schema, once=once, expiry=expiry)]
    keep = node.keep.value

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.unique(SLOT, keep=keep, maintain_order=True)  # type: ignore[arg-type]

    keys = tuple(pl.col(name) for name in subset)
    return [
        Recompute(
            [RecomputeInput(schema, keys, changelog=True)],
            evaluate,
            output=schema,
            step="unique",
            max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
            expiry=expiry,
        )
    ]
