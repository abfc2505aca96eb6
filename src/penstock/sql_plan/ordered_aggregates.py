"""Aggregates of ordered values: percentiles, medians, modes, and the rank a value would have."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregate_input import Aggregation, Input, number
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import united
from penstock.sql_plan.values import Value


def within_group(given: Input, node: exp.WithinGroup) -> Value:
    """Translate ``call WITHIN GROUP (ORDER BY ...)``."""
    call, ordered = node.this, node.expression.expressions[0]
    if isinstance(call, _PLACES):
        return _place(given, call, ordered)
    value = given.argument(ordered.this)
    if isinstance(call, exp.Mode):
        return Value(value.expr.mode().sort().first(), value.dtype)
    if isinstance(call.this, exp.Array):
        found = [_percentile(given, node, call, value, part) for part in call.this.expressions]
        dtype = pl.List(found[0].dtype)
        together = pl.concat_list([one.expr for one in found])
        return Value(pl.when(value.expr.count() > 0).then(together), dtype)
    return _percentile(given, node, call, value, call.this)


_PLACES = (exp.Rank, exp.DenseRank, exp.PercentRank, exp.CumeDist)


def _place(given: Input, call: exp.Expr, ordered: exp.Expr) -> Value:
    """``rank(x) WITHIN GROUP (ORDER BY y)``: the rank that x would have among the rows."""
    if len(call.expressions) != 1:
        raise refuse(call, "one value is ranked by one expression")
    asked = united(call, given.scalars.values([call.expressions[0], ordered.this]))
    rows = given.kept(given.scalars.by_row(asked[1].expr))
    one, down = asked[0].expr, bool(ordered.args.get("desc"))
    before = rows > one if down else rows < one
    before = before.fill_null(value=bool(ordered.args.get("nulls_first")))
    ahead = before.sum().cast(pl.Int64)
    if isinstance(call, exp.Rank):
        return Value(ahead + 1, pl.Int64())
    if isinstance(call, exp.DenseRank):
        return Value(rows.filter(before).n_unique().cast(pl.Int64) + 1, pl.Int64())
    if isinstance(call, exp.PercentRank):
        share = ahead / pl.max_horizontal(rows.len(), pl.lit(1))
        return Value(share.cast(pl.Float64), pl.Float64())
    equal = (rows == one).fill_null(value=False).sum()
    return Value(((ahead + equal + 1) / (rows.len() + 1)).cast(pl.Float64), pl.Float64())


def _percentile(
    given: Input, node: exp.WithinGroup, call: exp.Expr, value: Value, written: exp.Expr
) -> Value:
    share = float(str(given.scalars.written(written, "the share of a percentile")))
    if not 0 <= share <= 1:
        raise refuse(node, "the share of a percentile lies between 0 and 1")
    backwards = bool(node.expression.expressions[0].args.get("desc"))
    if isinstance(call, exp.PercentileCont):
        share = 1 - share if backwards else share
        if value.is_interval:
            micros = value.expr.dt.total_microseconds().quantile(share, "linear")
            return Value(micros.round().cast(pl.Int64).cast(value.dtype), value.dtype)
        found = value.expr.cast(pl.Float64).quantile(share, "linear")
        return Value(found, pl.Float64())
    if isinstance(call, exp.PercentileDisc):
        count = value.expr.count()
        at = pl.max_horizontal((count * share).ceil().cast(pl.Int64) - 1, pl.lit(0))
        ordered = value.expr.sort(descending=backwards)
        return Value(ordered.get(at, null_on_oob=True), value.dtype)
    raise refuse(node, "this aggregate takes no WITHIN GROUP")


def _median(given: Input, argument: exp.Expr) -> Value:
    return Value(number(given, argument).expr.cast(pl.Float64).median(), pl.Float64())


def _quantile(kind: type[exp.Expr]) -> Aggregation:
    """``quantile_cont(x, 0.5)`` of DuckDB is ``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)``."""

    def translate(given: Input, argument: exp.Expr) -> Value:
        if len(given.node.expressions) != 2:
            raise refuse(given.node, "a quantile takes a value and a share")
        order = exp.Order(expressions=[exp.Ordered(this=argument, nulls_first=False)])
        call = exp.WithinGroup(this=kind(this=given.node.expressions[1]), expression=order)
        return within_group(given, call)

    return translate


NODES: dict[type[exp.Expr], Aggregation] = {exp.Median: _median}
NAMED: dict[str, Aggregation] = {
    "QUANTILE_CONT": _quantile(exp.PercentileCont),
    "QUANTILE_DISC": _quantile(exp.PercentileDisc),
}
