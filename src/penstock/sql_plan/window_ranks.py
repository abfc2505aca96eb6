"""Window functions that look at the order of rows only, not at a frame: ranks, lag and lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import Repeatable
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value, aligned
from penstock.sql_plan.window_partitions import Partition

_WHOLE = pl.Int64()
_KINDS: dict[type[exp.Expr], str] = {
    exp.Rank: "min",
    exp.DenseRank: "dense",
    exp.PercentRank: "min",
    exp.CumeDist: "max",
}
RANKS: tuple[type[exp.Expr], ...] = (exp.RowNumber, exp.Ntile, *_KINDS)
SHIFTS: tuple[type[exp.Expr], ...] = (exp.Lag, exp.Lead)


def ranked(scalars: Scalars, function: exp.Expr, where: Partition, call: exp.Window) -> Value:
    """Return the rank of each row in its partition."""
    if isinstance(function, exp.RowNumber):
        if where.number is None:
            return Value(where.over(pl.int_range(1, pl.len() + 1, dtype=pl.Int64)), _WHOLE)
        return Value(pl.col(where.number), _WHOLE)
    if where.number is None:
        raise refuse(call, "this window function needs ORDER BY")
    if isinstance(function, exp.Ntile):
        return _bucket(scalars, function, where)
    kind = _KINDS[type(function)]
    ranks = where.over(pl.struct(where.order).rank(kind).cast(pl.Int64))  # type: ignore[arg-type]
    if isinstance(function, exp.PercentRank):
        others = where.over(pl.len().cast(pl.Int64)) - 1
        return Value((ranks - 1) / pl.max_horizontal(others, pl.lit(1)), pl.Float64())
    if isinstance(function, exp.CumeDist):
        return Value(ranks / where.over(pl.len()), pl.Float64())
    return Value(ranks, _WHOLE)


def _bucket(scalars: Scalars, function: exp.Ntile, where: Partition) -> Value:
    buckets = scalars.written(function.this, "the number of buckets")
    if not isinstance(buckets, int) or buckets < 1:
        raise refuse(function, "the number of buckets is a whole number, at least 1")
    count, at = where.over(pl.len().cast(pl.Int64)), pl.col(where.number or "") - 1
    size, larger = count // buckets, count % buckets
    first = larger * (size + 1)
    found = (
        pl.when(at < first)
        .then(at // (size + 1))
        .otherwise(larger + (at - first) // pl.max_horizontal(size, pl.lit(1)))
    )
    return Value(found + 1, _WHOLE)


def shifted(scalars: Scalars, function: exp.Expr, where: Partition, *, skip_nulls: bool) -> Value:
    """Return the value some rows before or behind, or the default where there is no such row."""
    if where.number is None:
        raise refuse(function, "this window function needs ORDER BY")
    offset = function.args.get("offset")
    by = 1 if offset is None else scalars.written(offset, "the offset")
    if not isinstance(by, int):
        raise refuse(function, "the offset is a whole number")
    by = by if isinstance(function, exp.Lag) else -by
    default = function.args.get("default")
    value, other = scalars.of_rows(function.this), scalars.value(default or exp.Null())
    same = aligned(value, other)
    if same is None:
        raise refuse(function, f"the default is {other.dtype}, not {value.dtype}")
    if skip_nulls:
        places = value.expr.is_not_null().map_batches(Repeatable(_Known(by)), pl.Int64())
        place = where.over(places)
        found = where.over(same[0].expr.gather(places.fill_null(0)))
        return Value(
            pl.when(place.is_not_null()).then(found).otherwise(same[1].expr), same[0].dtype
        )
    moved = where.over(same[0].expr.shift(by))
    if default is None:
        return Value(moved, same[0].dtype)
    position, count = pl.col(where.number), where.over(pl.len().cast(pl.Int64))
    inside = (position - by >= 1) & (position - by <= count)
    return Value(pl.when(inside).then(moved).otherwise(same[1].expr), same[0].dtype)


@dataclass(frozen=True, slots=True)
class _Known:
    """The position of the value ``by`` places before a row, among those that are not null."""

    by: int

    def __call__(self, known: pl.Series) -> pl.Series:
        flags = known.to_numpy()
        places = np.flatnonzero(flags)
        passed = np.cumsum(flags)
        before = passed - flags - self.by if self.by > 0 else passed - 1 - self.by
        if self.by == 0:
            before = np.where(flags, passed - 1, -1)
        inside = (before >= 0) & (before < len(places))
        found = np.zeros(len(flags), dtype=np.int64)
        found[inside] = places[before[inside]]
        return pl.Series(known.name, found, dtype=pl.Int64).set(pl.Series(~inside), None)
