"""Aggregates of pairs of numbers: correlation, covariance and regression."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregate_input import Aggregation, Input
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.values import Value


def _pair(given: Input, argument: exp.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return y and x as floats, where neither is null."""
    scalars = given.scalars
    y, x = (
        scalars.by_row(scalars.number(part).expr.cast(pl.Float64))
        for part in (argument, _second(given.node))
    )
    known = y.is_not_null() & x.is_not_null()
    known = known if given.condition is None else known & given.condition
    return y.filter(known), x.filter(known)


def _second(node: exp.Expr) -> exp.Expr:
    found = node.args.get("expression") or (node.expressions[0] if node.expressions else None)
    if not isinstance(found, exp.Expr):
        raise refuse(node, "two arguments are needed")
    return found


def _products(y: pl.Expr, x: pl.Expr) -> pl.Expr:
    """``sum((y - mean(y)) * (x - mean(x)))``."""
    return ((y - y.mean()) * (x - x.mean())).sum()


def _regression(apply: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Aggregation:
    """Two arguments, y and x; null over no pairs."""

    def translate(given: Input, argument: exp.Expr) -> Value:
        y, x = _pair(given, argument)
        return Value(pl.when(y.len() > 0).then(apply(y, x)), pl.Float64())

    return translate


def _over(top: pl.Expr, bottom: pl.Expr) -> pl.Expr:
    return pl.when(bottom != 0).then(top / bottom)


def _slope(y: pl.Expr, x: pl.Expr) -> pl.Expr:
    return _over(_products(y, x), _products(x, x))


def _correlation(y: pl.Expr, x: pl.Expr) -> pl.Expr:
    return _over(_products(y, x), (_products(y, y) * _products(x, x)).sqrt())


def _r2(y: pl.Expr, x: pl.Expr) -> pl.Expr:
    whole = _products(y, y)
    squared = _over(_products(y, x) ** 2, whole * _products(x, x))
    return pl.when(_products(x, x) != 0).then(pl.when(whole == 0).then(1.0).otherwise(squared))


def _regr_count(given: Input, argument: exp.Expr) -> Value:
    return Value(_pair(given, argument)[0].len().cast(pl.Int64), pl.Int64())


NODES: dict[type[exp.Expr], Aggregation] = {
    exp.Corr: _regression(_correlation),
    exp.CovarPop: _regression(lambda y, x: _products(y, x) / y.len()),
    exp.CovarSamp: _regression(lambda y, x: _over(_products(y, x), y.len() - 1)),
    exp.RegrSlope: _regression(_slope),
    exp.RegrIntercept: _regression(lambda y, x: y.mean() - _slope(y, x) * x.mean()),
    exp.RegrR2: _regression(_r2),
    exp.RegrCount: _regr_count,
    exp.RegrAvgx: _regression(lambda _, x: x.mean()),
    exp.RegrAvgy: _regression(lambda y, _: y.mean()),
    exp.RegrSxx: _regression(lambda _, x: _products(x, x)),
    exp.RegrSyy: _regression(lambda y, _: _products(y, y)),
    exp.RegrSxy: _regression(_products),
}
