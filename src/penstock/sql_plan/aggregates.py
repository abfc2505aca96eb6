"""SQL aggregate functions to Polars aggregation expressions, with PostgreSQL's nulls and types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.types import MAX_DIGITS
from penstock.sql_plan.values import Value


@dataclass(frozen=True, slots=True)
class Input:
    """The rows an aggregate reads: conditions of FILTER, order and distinctness of its argument."""

    scalars: Scalars
    node: exp.Expr
    condition: pl.Expr | None = None
    ordered: exp.Order | None = None
    distinct: bool = False

    def argument(self, node: exp.Expr) -> Value:
        """Return an argument, restricted, ordered and made distinct; nulls are left out."""
        value = self.scalars.of_rows(node)
        expr = self._sorted(value.expr)
        expr = self.kept(expr).drop_nulls()
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def kept(self, expr: pl.Expr) -> pl.Expr:
        """Apply FILTER."""
        return expr if self.condition is None else expr.filter(self.condition)

    def with_nulls(self, node: exp.Expr) -> Value:
        """Return an argument whose nulls count, as in array_agg."""
        value = self.scalars.of_rows(node)
        expr = self.kept(self._sorted(value.expr))
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def _sorted(self, expr: pl.Expr) -> pl.Expr:
        if self.ordered is None:
            return expr
        order = order_of(self.scalars, self.ordered.expressions)
        if self.condition is not None:
            raise refuse(self.node, "FILTER and ORDER BY in one aggregate are not supported")
        return expr.sort_by(
            list(order.by), descending=list(order.descending), nulls_last=list(order.nulls_last)
        )


Aggregation = Callable[[Input, exp.Expr], Value]


def is_aggregate(node: exp.Expr) -> bool:
    """Tell whether a node is an aggregate call, with its FILTER or WITHIN GROUP around it."""
    if isinstance(node, (exp.Filter, exp.WithinGroup)):
        return True
    return type(node) in _AGGREGATES or _name(node) in _NAMED


def aggregate(scalars: Scalars, node: exp.Expr) -> Value:
    """Translate an aggregate call over the columns of its input."""
    call, condition = node, None
    if isinstance(node, exp.Filter):
        call, condition = node.this, scalars.by_row(scalars.predicate(node.expression.this))
    if isinstance(call, exp.WithinGroup):
        return _within_group(Input(scalars, node, condition), call)
    known = _AGGREGATES.get(type(call)) or _NAMED.get(_name(call))
    if known is None:
        raise refuse(node, "FILTER stands after an aggregate only")
    require_only(call, "this", "expression", "expressions", "separator", "big_int")
    argument = call.expressions[0] if isinstance(call, exp.Anonymous) else call.this
    ordered, distinct = None, False
    if isinstance(argument, exp.Order):
        ordered, argument = argument, argument.this
    if isinstance(argument, exp.Distinct):
        distinct, argument = True, _only(argument)
    if isinstance(argument, exp.Order):
        ordered, argument = argument, argument.this
    given = Input(scalars, call, condition, ordered, distinct)
    return known(given, argument)


def _name(node: exp.Expr) -> str:
    return node.name.upper() if isinstance(node, exp.Anonymous) else ""


def _only(node: exp.Distinct) -> exp.Expr:
    if len(node.expressions) == 1:
        only: exp.Expr = node.expressions[0]
        return only
    return exp.Tuple(expressions=node.expressions)


def _count(given: Input, argument: exp.Expr) -> Value:
    if isinstance(argument, exp.Star) or argument is None:
        rows = pl.len() if given.condition is None else given.condition.sum()
        return Value(rows.cast(pl.Int64), pl.Int64())
    if isinstance(argument, exp.Tuple):
        parts = [given.scalars.of_rows(part) for part in argument.expressions]
        together = given.kept(pl.struct([p.expr.alias(f"f{i}") for i, p in enumerate(parts)]))
        return Value(together.n_unique().cast(pl.Int64), pl.Int64())
    value = given.scalars.of_rows(argument)
    kept = given.kept(value.expr)
    counted = kept.drop_nulls().n_unique() if given.distinct else kept.count()
    return Value(counted.cast(pl.Int64), pl.Int64())


def _count_if(given: Input, argument: exp.Expr) -> Value:
    condition = given.scalars.by_row(given.scalars.predicate(argument))
    return Value(given.kept(condition).sum().cast(pl.Int64), pl.Int64())


def _sum(given: Input, argument: exp.Expr) -> Value:
    value = _number(given, argument)
    dtype = value.dtype
    if dtype.is_integer():
        dtype = pl.Int128() if dtype in (pl.Int128, pl.UInt64) else pl.Int64()
    elif isinstance(dtype, pl.Decimal):
        dtype = pl.Decimal(MAX_DIGITS, dtype.scale)
    expr = value.expr.cast(dtype)
    return Value(pl.when(expr.count() > 0).then(expr.sum()), dtype)


def _mean(given: Input, argument: exp.Expr) -> Value:
    value = _number(given, argument)
    if value.is_interval:
        return Value(value.expr.mean(), value.dtype)
    return Value(value.expr.mean().cast(pl.Float64), pl.Float64())


def _number(given: Input, argument: exp.Expr) -> Value:
    value = given.argument(argument)
    if not (value.dtype.is_numeric() or value.is_interval):
        raise refuse(given.node, f"a number is needed, not {value.dtype}")
    return value


def _spread(kind: str, ddof: int) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        expr = _number(given, argument).expr.cast(pl.Float64)
        found = expr.std(ddof) if kind == "std" else expr.var(ddof)
        return Value(found, pl.Float64())

    return translate


def _same(apply: Callable[[pl.Expr], pl.Expr]) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        value = given.argument(argument)
        return Value(apply(value.expr), value.dtype)

    return translate


def _all(given: Input, argument: exp.Expr) -> Value:
    expr = given.argument(argument).expr
    return Value(pl.when(expr.count() > 0).then(expr.all()), pl.Boolean())


def _any(given: Input, argument: exp.Expr) -> Value:
    expr = given.argument(argument).expr
    return Value(pl.when(expr.count() > 0).then(expr.any()), pl.Boolean())


def _joined(given: Input, argument: exp.Expr) -> Value:
    separator = given.node.args.get("separator")
    between = "," if separator is None else str(given.scalars.written(separator, "the separator"))
    expr = given.argument(argument).expr.cast(pl.String)
    return Value(pl.when(expr.count() > 0).then(expr.str.join(between)), pl.String())


def _array(given: Input, argument: exp.Expr) -> Value:
    value = given.with_nulls(argument)
    dtype = pl.List(value.dtype)
    return Value(pl.when(value.expr.len() > 0).then(value.expr.implode()), dtype)


def _bits(name: str) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        value = given.argument(argument)
        found = getattr(value.expr, name)()
        return Value(pl.when(value.expr.count() > 0).then(found), value.dtype)

    return translate


def _approximate(given: Input, argument: exp.Expr) -> Value:
    value = given.argument(argument)
    return Value(value.expr.n_unique().cast(pl.Int64), pl.Int64())


def _best(*, largest: bool) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        by_node = given.node.expression or given.node.expressions[1]
        value, by = map(given.scalars.of_rows, (argument, by_node))
        known = value.expr.is_not_null() & by.expr.is_not_null()
        known = known if given.condition is None else known & given.condition
        ordered = value.expr.filter(known).sort_by(by.expr.filter(known), descending=largest)
        return Value(ordered.first(), value.dtype)

    return translate


def _median(given: Input, argument: exp.Expr) -> Value:
    return Value(_number(given, argument).expr.cast(pl.Float64).median(), pl.Float64())


def _within_group(given: Input, node: exp.WithinGroup) -> Value:
    call, ordered = node.this, node.expression.expressions[0]
    value = given.argument(ordered.this)
    if isinstance(call, exp.Mode):
        return Value(value.expr.mode().sort().first(), value.dtype)
    share = given.scalars.written(call.this, "the share of a percentile")
    share, descending = float(str(share)), bool(ordered.args.get("desc"))
    if isinstance(call, exp.PercentileCont):
        found = value.expr.cast(pl.Float64).quantile(1 - share if descending else share, "linear")
        return Value(found, pl.Float64())
    if isinstance(call, exp.PercentileDisc):
        at = (value.expr.count() * share).ceil().cast(pl.Int64) - 1
        in_order = value.expr.sort(descending=descending)
        return Value(in_order.get(pl.max_horizontal(at, pl.lit(0)), null_on_oob=True), value.dtype)
    raise refuse(node, "this aggregate takes no WITHIN GROUP")


_AGGREGATES: dict[type[exp.Expr], Aggregation] = {
    exp.Count: _count,
    exp.CountIf: _count_if,
    exp.Sum: _sum,
    exp.Avg: _mean,
    exp.Min: _same(lambda e: e.min()),
    exp.Max: _same(lambda e: e.max()),
    exp.Stddev: _spread("std", 1),
    exp.StddevSamp: _spread("std", 1),
    exp.StddevPop: _spread("std", 0),
    exp.Variance: _spread("var", 1),
    exp.VariancePop: _spread("var", 0),
    exp.LogicalAnd: _all,
    exp.LogicalOr: _any,
    exp.GroupConcat: _joined,
    exp.ArrayAgg: _array,
    exp.AnyValue: _same(lambda e: e.first()),
    exp.First: _same(lambda e: e.first()),
    exp.Last: _same(lambda e: e.last()),
    exp.BitwiseAndAgg: _bits("bitwise_and"),
    exp.BitwiseOrAgg: _bits("bitwise_or"),
    exp.BitwiseXorAgg: _bits("bitwise_xor"),
    exp.ApproxDistinct: _approximate,
    exp.ArgMax: _best(largest=True),
    exp.ArgMin: _best(largest=False),
    exp.Median: _median,
}
_NAMED: dict[str, Aggregation] = {
    "EVERY": _all,
    "VAR_SAMP": _spread("var", 1),
}
