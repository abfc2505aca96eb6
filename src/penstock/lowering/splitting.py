"""How the aggregates of a group are split, and the operator that keeps the parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.aggregate import PartialAggregates, RunningAggregate, count_partial
from penstock.operators.counted import CountedAggregate, Keeping, Kept
from penstock.operators.expiry import Expiry
from penstock.operators.grouped_values import VALUE
from penstock.plan.expressions import Counted, CountedKind, decompose
from penstock.state.table import KeyedTable


@dataclass(frozen=True, slots=True)
class SplitAggregates:
    """The aggregates of a node as partials, and columns kept beside them."""

    partials: PartialAggregates
    kept: tuple[Kept, ...]


def split_aggregates(
    aggs: Sequence[pl.Expr],
    keys: tuple[pl.Expr, ...],
    schema: pl.Schema,
    *,
    changelog: bool,
    counted: bool = False,
) -> SplitAggregates | None:
    """Split all aggregates of rows with ``schema``, or None if one does not split.

    ``counted`` allows counted values and exact sums, which only ``running`` knows how to keep.
    """
    found = [decompose(agg, schema, changelog, counted=counted) for agg in aggs]
    whole = [d for d in found if d is not None]
    if len(whole) < len(found):
        return None
    kept = {c.name: c for d in whole for c in d.counted}
    extract, merge = count_partial(changelog=changelog)
    extracts = {extract.meta.output_name(): (extract, merge)}
    if not changelog and not kept and any(d.partials for d in whole):
        extracts = {}
    for part in (p for d in whole for p in d.partials):
        extracts[part.name] = (part.extract, part.merge)
    empty = pl.DataFrame(schema={**schema, **({WEIGHT: pl.Int64()} if changelog else {})})
    columns = dict(empty.select(e for e, _ in extracts.values()).schema)
    columns |= {name: column.dtype for name, column in kept.items()}
    partials = PartialAggregates(
        keys=keys,
        key_schema=empty.select(*keys).schema if keys else pl.Schema(),
        extract=tuple(e for e, _ in extracts.values()),
        merge=tuple(m for _, m in extracts.values()),
        finish=tuple(d.finish for d in whole),
        schema=pl.Schema(columns),
    )
    return SplitAggregates(partials, tuple(map(_kept, kept.values())))


_EXTREMES = {
    CountedKind.MIN: pl.col(VALUE).min(),
    CountedKind.MAX: pl.col(VALUE).max(),
    CountedKind.NAN_MIN: pl.col(VALUE).nan_min(),
    CountedKind.NAN_MAX: pl.col(VALUE).nan_max(),
}


def _kept(counted: Counted) -> Kept:
    merge = _EXTREMES.get(counted.kind)
    keeping = Keeping.EXTREME if merge is not None else Keeping.DISTINCT
    if counted.kind is CountedKind.SUM:
        keeping = Keeping.SUM
    read = (counted.value, counted.rows, counted.source, counted.values)
    return Kept(counted.name, keeping, *read, merge)


def running(
    split: SplitAggregates,
    schema: pl.Schema,
    expiry: Callable[[KeyedTable], Expiry] | None,
    *,
    changelog: bool,
) -> RunningAggregate:
    """Return the operator that keeps partials, and counted values where they are needed."""
    if split.kept:
        return CountedAggregate(
            split.partials, split.kept, input_schema=schema, changelog=changelog, expiry=expiry
        )
    return RunningAggregate(split.partials, input_schema=schema, changelog=changelog, expiry=expiry)
