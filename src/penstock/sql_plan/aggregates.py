"""SQL aggregate functions to Polars aggregation expressions, with PostgreSQL's nulls and types."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan import gathering_aggregates, ordered_aggregates, pair_aggregates
from penstock.sql_plan.aggregate_input import Aggregation, Input, number
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.ordered_aggregates import within_group
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.types import MAX_DIGITS, sql_type
from penstock.sql_plan.values import Value


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
        return within_group(Input(scalars, node, condition), call)
    known = _AGGREGATES.get(type(call)) or _NAMED.get(_name(call))
    if known is None:
        raise refuse(node, "FILTER stands after an aggregate only")
    require_only(call, "this", "expression", "expressions", "separator", "big_int")
    by_list = isinstance(call, (exp.Anonymous, exp.JSONObjectAgg, exp.List))
    argument = call.expressions[0] if by_list else call.this
    ordered, distinct = None, False
    last = call.expressions[-1] if call.expressions else call.expression
    if isinstance(last, exp.Order):
        ordered = last
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
    if not node.expressions:
        raise refuse(node, "DISTINCT of what? An expression is missing")
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
    value = number(given, argument)
    dtype = value.dtype
    if dtype in _LONG:  # numeric in PostgreSQL, so that it does not overflow
        total = value.expr.cast(pl.Int128)
        found = pl.when(total.count() > 0).then(total.sum())
        return Value(found.cast(_WHOLE_NUMERIC), _WHOLE_NUMERIC)
    if dtype.is_integer():
        dtype = pl.Int64()
    elif isinstance(dtype, pl.Decimal):
        dtype = pl.Decimal(MAX_DIGITS, dtype.scale)
    expr = value.expr.cast(dtype)
    return Value(pl.when(expr.count() > 0).then(expr.sum()), dtype)


_LONG = (pl.Int64(), pl.UInt64(), pl.Int128())
_WHOLE_NUMERIC = pl.Decimal(MAX_DIGITS, 0)


def _mean(given: Input, argument: exp.Expr) -> Value:
    value = number(given, argument)
    if value.is_interval:
        return Value(value.expr.mean(), value.dtype)
    return Value(value.expr.mean().cast(pl.Float64), pl.Float64())


def _spread(kind: str, ddof: int) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        expr = number(given, argument).expr.cast(pl.Float64)
        found = expr.std(ddof) if kind == "std" else expr.var(ddof)
        return Value(found, pl.Float64())

    return translate


def _same(apply: Callable[[pl.Expr], pl.Expr]) -> Aggregation:
    def translate(given: Input, argument: exp.Expr) -> Value:
        value = given.argument(argument)
        return Value(apply(value.expr), value.dtype)

    return translate


def _ordered(given: Input, argument: exp.Expr) -> Value:
    """Return an argument of a type whose values have an order."""
    value = given.argument(argument)
    if value.dtype.is_nested():
        raise refuse(given.node, f"{sql_type(value.dtype)} has no order")
    return value


def _smallest(given: Input, argument: exp.Expr) -> Value:
    value = _ordered(given, argument)
    return Value(value.expr.min(), value.dtype)


def _largest(given: Input, argument: exp.Expr) -> Value:
    """NaN is above all numbers, and Polars passes it over."""
    value = _ordered(given, argument)
    found = value.expr.max()
    if value.dtype.is_float():
        found = pl.when(value.expr.is_nan().sum() > 0).then(math.nan).otherwise(found)
        found = found.cast(value.dtype)
    return Value(found, value.dtype)


def _all(given: Input, argument: exp.Expr) -> Value:
    expr = given.argument(argument).expr
    return Value(pl.when(expr.count() > 0).then(expr.all()), pl.Boolean())


def _any(given: Input, argument: exp.Expr) -> Value:
    expr = given.argument(argument).expr
    return Value(pl.when(expr.count() > 0).then(expr.any()), pl.Boolean())


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


def _product(given: Input, argument: exp.Expr) -> Value:
    expr = number(given, argument).expr.cast(pl.Float64)
    return Value(pl.when(expr.count() > 0).then(expr.product()), pl.Float64())


_AGGREGATES: dict[type[exp.Expr], Aggregation] = {
    exp.Count: _count,
    exp.CountIf: _count_if,
    exp.Sum: _sum,
    exp.Avg: _mean,
    exp.Min: _smallest,
    exp.Max: _largest,
    exp.Stddev: _spread("std", 1),
    exp.StddevSamp: _spread("std", 1),
    exp.StddevPop: _spread("std", 0),
    exp.Variance: _spread("var", 1),
    exp.VariancePop: _spread("var", 0),
    exp.LogicalAnd: _all,
    exp.LogicalOr: _any,
    exp.AnyValue: _same(lambda e: e.first()),
    exp.First: _same(lambda e: e.first()),
    exp.Last: _same(lambda e: e.last()),
    exp.BitwiseAndAgg: _bits("bitwise_and"),
    exp.BitwiseOrAgg: _bits("bitwise_or"),
    exp.BitwiseXorAgg: _bits("bitwise_xor"),
    exp.ApproxDistinct: _approximate,
    exp.ArgMax: _best(largest=True),
    exp.ArgMin: _best(largest=False),
    **ordered_aggregates.NODES,
    **gathering_aggregates.NODES,
    **pair_aggregates.NODES,
}
_NAMED: dict[str, Aggregation] = {
    "EVERY": _all,
    "VAR_SAMP": _spread("var", 1),
    "PRODUCT": _product,
    **ordered_aggregates.NAMED,
    **gathering_aggregates.NAMED,
}
