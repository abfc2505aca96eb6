"""Window functions: ``f(...) OVER (PARTITION BY ... ORDER BY ... ROWS ...)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregates import aggregate, is_aggregate
from penstock.sql_plan.binding import parts, replaced
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.first_rows import TOP, first_rows
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.types import MAX_DIGITS
from penstock.sql_plan.values import Value, aligned
from penstock.stream import Stream

_UNBOUNDED = "UNBOUNDED"
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


@dataclass(frozen=True, slots=True)
class _Partition:
    """Where a window function looks: partition columns, columns that hold the order, and the rows' number."""

    keys: list[str]
    order: list[str]
    number: str | None

    def over(self, expr: pl.Expr) -> pl.Expr:
        by: list[Any] = list(self.keys) or [pl.lit(1)]
        if self.number is None:
            return expr.over(by)
        return expr.over(by, order_by=self.number)


def with_windows(
    context: Context, relation: Relation, nodes: list[exp.Expr]
) -> tuple[Relation, list[exp.Expr]]:
    """Compute window functions as columns; returns expressions that read these."""
    calls = list(dict.fromkeys(p for n in nodes for p in parts(n) if isinstance(p, exp.Window)))
    known: dict[exp.Expr, str] = {}
    for call in calls:
        name = context.names("over")
        relation = _computed(context, relation, call, name)
        known[call] = name
    return relation, [replaced(node, known) for node in nodes]


def _computed(context: Context, relation: Relation, call: exp.Window, name: str) -> Relation:
    require_only(call, "this", "partition_by", "order", "spec", "over", TOP)
    if call.args.get("spec") is not None:
        require_only(call.args["spec"], "kind", "start", "start_side", "end", "end_side")
    best = first_rows(context, relation, call, name) if call.args.get(TOP) else None
    if best is not None:
        return best
    scalars = scalars_over(relation.stream.schema)
    function = call.this
    if isinstance(function, (exp.IgnoreNulls, exp.RespectNulls)):
        raise refuse(call, "IGNORE NULLS is not supported")
    stream, partition = _prepared(context, relation, scalars, call)
    scalars = scalars_over(stream.schema)
    value = _ranking(scalars, function, partition, call) or _shifted(scalars, function, partition)
    if value is None:
        if not (is_aggregate(function) or isinstance(function, (exp.FirstValue, exp.LastValue))):
            raise refuse(function, "not a window function")
        stream, value = _framed(context, stream, scalars, call, partition)
    computed = stream.with_columns(value.expr.cast(value.dtype).alias(name))
    return replace(relation, stream=computed.select([*relation.stream.columns, name]))


def _prepared(
    context: Context, relation: Relation, scalars: Scalars, call: exp.Window
) -> tuple[Stream, _Partition]:
    """Add the partition's columns, ranks for each part of the order, and the number of each row."""
    keys = {
        context.names("part"): scalars.value(n).expr for n in call.args.get("partition_by") or []
    }
    stream = relation.stream.with_columns(**keys) if keys else relation.stream
    by = [*keys, *relation.keys]
    items = call.args["order"].expressions if call.args.get("order") else []
    if not items:
        return stream, _Partition(by, [], None)
    ordering = order_of(scalars, items)
    ranks = {}
    flags = zip(ordering.by, ordering.descending, ordering.nulls_last, strict=True)
    for expr, descending, last in flags:
        rank = scalars.by_row(expr).rank("dense", descending=descending).cast(pl.Int64)
        at_the_end = pl.len().cast(pl.Int64) + 1 if last else pl.lit(0, dtype=pl.Int64)
        ranks[context.names("rank")] = rank.fill_null(at_the_end).over(by or [pl.lit(1)])
    stream = stream.with_columns(**ranks)
    number = context.names("row")
    together = pl.struct(list(ranks)).rank("ordinal").cast(pl.Int64)
    stream = stream.with_columns(together.over(by or [pl.lit(1)]).alias(number))
    return stream, _Partition(by, list(ranks), number)


def _ranking(
    scalars: Scalars, function: exp.Expr, where: _Partition, call: exp.Window
) -> Value | None:
    whole = pl.Int64()
    if isinstance(function, exp.RowNumber):
        if where.number is None:
            return Value(where.over(pl.int_range(1, pl.len() + 1, dtype=pl.Int64)), whole)
        return Value(pl.col(where.number), whole)
    kinds: dict[type[exp.Expr], str] = {
        exp.Rank: "min",
        exp.DenseRank: "dense",
        exp.PercentRank: "min",
        exp.CumeDist: "max",
    }
    kind = kinds.get(type(function))
    if kind is None and not isinstance(function, exp.Ntile):
        return None
    if where.number is None:
        raise refuse(call, "this window function needs ORDER BY")
    if isinstance(function, exp.Ntile):
        buckets = int(str(scalars.written(function.this, "the number of buckets")))
        if buckets < 1:
            raise refuse(function, "the number of buckets is at least 1")
        count, at = where.over(pl.len().cast(pl.Int64)), pl.col(where.number) - 1
        size, larger = count // buckets, count % buckets
        first = larger * (size + 1)
        found = (
            pl.when(at < first)
            .then(at // (size + 1))
            .otherwise(larger + (at - first) // pl.max_horizontal(size, pl.lit(1)))
        )
        return Value(found + 1, pl.Int64())
    ranks = where.over(pl.struct(where.order).rank(kind).cast(pl.Int64))  # type: ignore[arg-type]
    if isinstance(function, exp.PercentRank):
        return Value(
            (ranks - 1) / pl.max_horizontal(where.over(pl.len().cast(pl.Int64)) - 1, pl.lit(1)),
            pl.Float64(),
        )
    if isinstance(function, exp.CumeDist):
        return Value(ranks / where.over(pl.len()), pl.Float64())
    return Value(ranks, whole)


def _shifted(scalars: Scalars, function: exp.Expr, where: _Partition) -> Value | None:
    if not isinstance(function, (exp.Lag, exp.Lead)):
        return None
    if where.number is None:
        raise refuse(function, "this window function needs ORDER BY")
    offset = function.args.get("offset")
    by = 1 if offset is None else int(str(scalars.written(offset, "the offset")))
    by = by if isinstance(function, exp.Lag) else -by
    default = function.args.get("default")
    value, other = scalars.of_rows(function.this), scalars.value(default or exp.Null())
    same = aligned(value, other)
    if same is None:
        raise refuse(function, f"the default is {other.dtype}, not {value.dtype}")
    moved = where.over(same[0].expr.shift(by))
    if default is None:
        return Value(moved, same[0].dtype)
    position, count = pl.col(where.number), where.over(pl.len().cast(pl.Int64))
    inside = (position - by >= 1) & (position - by <= count)
    return Value(pl.when(inside).then(moved).otherwise(same[1].expr), same[0].dtype)


def _framed(
    context: Context, stream: Stream, scalars: Scalars, call: exp.Window, where: _Partition
) -> tuple[Stream, Value]:
    function = call.this
    spec: exp.Expr | None = call.args.get("spec")
    if where.number is None or _is_whole(spec):
        value = _first_or_last(scalars, function) or aggregate(scalars, function)
        return stream, Value(where.over(value.expr), value.dtype)
    if spec is None:
        return _with_peers(context, stream, _running(scalars, call, where), where)
    before, after = _edge(spec, "start"), _edge(spec, "end")
    rows = _upper(spec.args.get("kind")) == "ROWS"
    if before == _UNBOUNDED and after == "CURRENT ROW":
        found = _running(scalars, call, where)
        return (stream, found) if rows else _with_peers(context, stream, found, where)
    if rows and isinstance(before, int) and after == "CURRENT ROW":
        return stream, _rolling(scalars, call, where, before)
    raise refuse(call, "this frame is not supported", hint="ROWS n PRECEDING, or none")


def _first_or_last(scalars: Scalars, function: exp.Expr) -> Value | None:
    if isinstance(function, (exp.FirstValue, exp.LastValue)):
        value = scalars.of_rows(function.this)
        first = isinstance(function, exp.FirstValue)
        return Value(value.expr.first() if first else value.expr.last(), value.dtype)
    return None


def _is_whole(spec: exp.Expr | None) -> bool:
    if spec is None:
        return False
    return _edge(spec, "start") == _UNBOUNDED and _edge(spec, "end") == "UNBOUNDED FOLLOWING"


def _edge(spec: exp.Expr, side: str) -> object:
    found, direction = _upper(spec.args.get(side)), _upper(spec.args.get(f"{side}_side"))
    if isinstance(found, exp.Literal):
        return int(found.name) if direction == "PRECEDING" else f"{found.name} {direction}"
    if found == _UNBOUNDED and direction == "FOLLOWING":
        return "UNBOUNDED FOLLOWING"
    return "CURRENT ROW" if found is None else found


def _upper(word: object) -> object:
    return word.upper() if isinstance(word, str) else word


def _running(scalars: Scalars, call: exp.Window, where: _Partition) -> Value:
    function = call.this
    if isinstance(function, exp.LastValue):
        return scalars.value(function.this)
    if isinstance(function, exp.FirstValue):
        value = scalars.of_rows(function.this)
        return Value(where.over(value.expr.first()), value.dtype)
    if isinstance(function, exp.Count) and isinstance(function.this, exp.Star):
        return Value(pl.col(where.number or ""), pl.Int64())
    if isinstance(function, exp.Avg):
        expr = scalars.by_row(scalars.number(function.this).expr).cast(pl.Float64)
        total, count = where.over(expr.cum_sum().forward_fill()), where.over(expr.cum_count())
        return Value(pl.when(count > 0).then(total / count), pl.Float64())
    known = _RUNNING.get(type(function))
    if known is None or isinstance(function.this, exp.Distinct):
        raise refuse(call, "this aggregate is not supported over a running frame")
    dtype = aggregate(scalars, function).dtype
    value = scalars.of_rows(function.this)
    expr = value.expr if isinstance(function, exp.Count) else value.expr.cast(dtype)
    return Value(where.over(known(expr)), dtype)


def _with_peers(
    context: Context, stream: Stream, found: Value, where: _Partition
) -> tuple[Stream, Value]:
    """RANGE: rows equal in the order see each other, so all of them have the last one's value."""
    name = context.names("running")
    stream = stream.with_columns(found.expr.alias(name))
    last = pl.col(name).sort_by(where.number or "").last()
    return stream, Value(last.over([*where.keys, *where.order]), found.dtype)


def _rolling(scalars: Scalars, call: exp.Window, where: _Partition, before: int) -> Value:
    function = call.this
    known = _ROLLING.get(type(function))
    if known is None:
        raise refuse(call, "this aggregate is not supported over ROWS n PRECEDING")
    if isinstance(function.this, exp.Star):
        number = pl.col(where.number or "")
        return Value(pl.min_horizontal(number, pl.lit(before + 1)), pl.Int64())
    dtype = aggregate(scalars, function).dtype
    value = scalars.of_rows(function.this)
    if not (
        isinstance(function, exp.Count) or value.dtype.is_numeric() or value.dtype.is_temporal()
    ):
        raise refuse(call, f"{value.dtype} is not supported over ROWS n PRECEDING")
    if isinstance(dtype, pl.Decimal):
        units = value.expr.cast(dtype).to_physical()
        return Value(_decimal(where.over(known(units, before + 1)), dtype), dtype)
    expr = value.expr.cast(dtype) if isinstance(function, exp.Sum) else value.expr
    return Value(where.over(known(expr, before + 1)), dtype)


def _decimal(units: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """Return decimals of counts of their last digit; Polars rolls over whole numbers only."""
    unit = pl.lit(Decimal(1).scaleb(-dtype.scale), dtype=pl.Decimal(MAX_DIGITS, dtype.scale))
    return (units.cast(pl.Decimal(MAX_DIGITS, 0)) * unit).cast(dtype)
