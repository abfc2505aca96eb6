"""Frames that Polars runs along: from the start of the partition to the row, and ROWS n PRECEDING."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregates import aggregate
from penstock.sql_plan.context import Context
from penstock.sql_plan.frame_values import decimal_of
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value
from penstock.sql_plan.window_partitions import Partition
from penstock.stream import Stream

_RUNNING: dict[type[exp.Expr], Callable[[pl.Expr], pl.Expr]] = {
    exp.Sum: lambda e: e.cum_sum().forward_fill(),
    exp.Min: lambda e: e.cum_min().forward_fill(),
    exp.Max: lambda e: e.cum_max().forward_fill(),
    exp.Count: lambda e: e.cum_count().cast(pl.Int64),
}
_ROLLING: dict[type[exp.Expr], Callable[[pl.Expr, int], pl.Expr]] = {
    exp.Sum: lambda e, n: e.rolling_sum(n, min_samples=1),
    exp.Min: lambda e, n: e.rolling_min(n, min_samples=1),
    exp.Max: lambda e, n: e.rolling_max(n, min_samples=1),
    exp.Avg: lambda e, n: e.cast(pl.Float64).rolling_mean(n, min_samples=1),
    exp.Count: lambda e, n: e.is_not_null().cast(pl.Int64).rolling_sum(n, min_samples=1),
}


def running(scalars: Scalars, function: exp.Expr, where: Partition) -> Value | None:
    """Return what the rows from the start of the partition to each row give; None if Polars cannot."""
    if isinstance(function, exp.LastValue):
        return scalars.of_rows(function.this)
    if isinstance(function, exp.FirstValue):
        value = scalars.of_rows(function.this)
        return Value(where.over(value.expr.first()), value.dtype)
    if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
        return Value(pl.col(where.number or ""), pl.Int64())
    if not _is_plain(function):
        return None
    if isinstance(function, exp.Avg):
        dtype = aggregate(scalars, function).dtype
        if dtype != pl.Float64:
            return None
        expr = scalars.by_row(scalars.number(function.this).expr).cast(pl.Float64)
        total, count = where.over(expr.cum_sum().forward_fill()), where.over(expr.cum_count())
        return Value(pl.when(count > 0).then(total / count), dtype)
    known = _RUNNING.get(type(function))
    if known is None:
        return None
    dtype = aggregate(scalars, function).dtype
    value = scalars.of_rows(function.this)
    expr = value.expr if isinstance(function, exp.Count) else value.expr.cast(dtype)
    return Value(where.over(known(expr)), dtype)


def _is_plain(function: exp.Expr) -> bool:
    return not isinstance(function.this, (exp.Distinct, exp.Order))


def with_peers(
    context: Context, stream: Stream, found: Value, where: Partition
) -> tuple[Stream, Value]:
    """RANGE: rows equal in the order see each other, so all of them have the last one's value."""
    name = context.names("running")
    stream = stream.with_columns(found.expr.alias(name))
    last = pl.col(name).sort_by(where.number or "").last()
    return stream, Value(last.over([*where.keys, *where.order]), found.dtype)


def rolling(scalars: Scalars, function: exp.Expr, where: Partition, before: int) -> Value | None:
    """Return what each row and as many before it give; None if Polars cannot."""
    known = _ROLLING.get(type(function))
    if known is None or not _is_plain(function):
        return None
    if isinstance(function.this, exp.Star):
        number = pl.col(where.number or "")
        return Value(pl.min_horizontal(number, pl.lit(before + 1)), pl.Int64())
    dtype = aggregate(scalars, function).dtype
    value = scalars.of_rows(function.this)
    counts = isinstance(function, exp.Count)
    if not (counts or value.dtype.is_numeric() or value.dtype.is_temporal()):
        return None
    if isinstance(function, exp.Avg) and dtype != pl.Float64:
        return None
    if isinstance(dtype, pl.Decimal):
        units = value.expr.cast(dtype).to_physical()
        return Value(decimal_of(where.over(known(units, before + 1)), dtype), dtype)
    expr = value.expr.cast(dtype) if isinstance(function, exp.Sum) else value.expr
    return Value(where.over(known(expr, before + 1)), dtype)
