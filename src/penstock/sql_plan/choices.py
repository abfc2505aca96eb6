"""Logic, and expressions that choose between values: CASE, coalesce, greatest and the like."""

from __future__ import annotations

import math
from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.compared import equal
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator, both, united
from penstock.sql_plan.values import Value


def _logic(combine: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        left, right = scalars.predicate(node.this), scalars.predicate(node.expression)
        return Value(combine(left, right), pl.Boolean())

    return translate


def _not(scalars: Scalars, node: exp.Expr) -> Value:
    return Value(~scalars.predicate(node.this), pl.Boolean())


def _is(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    if not isinstance(node.expression, (exp.Null, exp.Boolean)):
        raise refuse(node, "IS stands before NULL, TRUE or FALSE")
    if isinstance(node.expression, exp.Null):
        return Value(value.expr.is_null(), pl.Boolean())
    wanted = bool(node.expression.this)
    return Value(value.expr.eq_missing(pl.lit(wanted)), pl.Boolean())


def _case(scalars: Scalars, node: exp.Expr) -> Value:
    branches = node.args["ifs"]
    subject = node.args.get("this")
    tests = [exp.EQ(this=subject, expression=b.this) if subject else b.this for b in branches]
    some = scalars.lenient()
    conditions = [scalars.predicate(tests[0]), *map(some.predicate, tests[1:])]
    default = node.args.get("default") or exp.Null()
    *results, otherwise = both(some, node, *(b.args["true"] for b in branches), default)
    return _chosen(conditions, results, otherwise)


def _if(scalars: Scalars, node: exp.Expr) -> Value:
    default = node.args.get("false") or exp.Null()
    result, otherwise = both(scalars.lenient(), node, node.args["true"], default)
    return _chosen([scalars.predicate(node.this)], [result], otherwise)


def _chosen(conditions: list[pl.Expr], results: list[Value], otherwise: Value) -> Value:
    found = otherwise.expr
    for condition, result in zip(reversed(conditions), reversed(results), strict=True):
        found = pl.when(condition).then(result.expr).otherwise(found)
    return Value(found, otherwise.dtype)


def _coalesce(scalars: Scalars, node: exp.Expr) -> Value:
    rest = scalars.lenient().values(node.expressions)
    values = united(node, [scalars.value(node.this), *rest])
    return Value(pl.coalesce([v.expr for v in values]), values[0].dtype)


def _nullif(scalars: Scalars, node: exp.Expr) -> Value:
    value, other = both(scalars, node, node.this, node.expression)
    return Value(
        pl.when(~equal(value.expr, other.expr).fill_null(value=False)).then(value.expr), value.dtype
    )


def _extreme(combine: Callable[[list[pl.Expr]], pl.Expr], *, largest: bool) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        values = both(scalars, node, node.this, *node.expressions)
        found, dtype = combine([v.expr for v in values]), values[0].dtype
        if largest and dtype.is_float():  # NaN is above all numbers, and Polars passes it over
            some = pl.any_horizontal(v.expr.is_nan() for v in values)
            found = pl.when(some).then(pl.lit(math.nan, dtype)).otherwise(found)
        return Value(found, dtype)

    return translate


NODES: dict[type[exp.Expr], Translator] = {
    exp.And: _logic(lambda a, b: a & b),
    exp.Or: _logic(lambda a, b: a | b),
    exp.Not: _not,
    exp.Is: _is,
    exp.Case: _case,
    exp.If: _if,
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Greatest: _extreme(pl.max_horizontal, largest=True),
    exp.Least: _extreme(pl.min_horizontal, largest=False),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Case: ("ifs", "default"),
    exp.If: ("true", "false"),
    exp.Greatest: ("ignore_nulls",),
    exp.Least: ("ignore_nulls",),
}
