"""SQL aggregate functions to Polars aggregation expressions, with PostgreSQL's nulls and types."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.json_documents import canonical_json
from penstock.sql_plan.json_functions import as_json
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.scalars import Scalars, united
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
        expr = self._sorted(value.expr).drop_nulls()
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def kept(self, expr: pl.Expr) -> pl.Expr:
        """Apply FILTER."""
        return expr if self.condition is None else expr.filter(self.condition)

    def ordered_rows(self, expr: pl.Expr) -> pl.Expr:
        """Restrict and order."""
        return self._sorted(expr)

    def with_nulls(self, node: exp.Expr) -> Value:
        """Return an argument whose nulls count, as in array_agg."""
        value = self.scalars.of_rows(node)
        expr = self._sorted(value.expr)
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def _sorted(self, expr: pl.Expr) -> pl.Expr:
        if self.ordered is None:
            return self.kept(expr)
        order = order_of(self.scalars, self.ordered.expressions)
        by = [self.kept(part) for part in order.by]
        return self.kept(expr).sort_by(
            by, descending=list(order.descending), nulls_last=list(order.nulls_last)
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
    value = _number(given, argument)
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


def _largest(given: Input, argument: exp.Expr) -> Value:
    """NaN is above all numbers, and Polars passes it over."""
    value = given.argument(argument)
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


def _joined(given: Input, argument: exp.Expr) -> Value:
    separator = given.node.args.get("separator")
    if separator is not None and separator.find(exp.Column):
        return _joined_by(given, argument, separator)
    between = "," if separator is None else str(given.scalars.written(separator, "the separator"))
    expr = given.argument(argument).expr.cast(pl.String)
    return Value(pl.when(expr.count() > 0).then(expr.str.join(between)), pl.String())


def _joined_by(given: Input, argument: exp.Expr, separator: exp.Expr) -> Value:
    """Join by separators that differ: each stands before its text, the first nowhere."""
    if given.distinct:
        raise refuse(given.node, "with DISTINCT the separator is a constant")
    text = given.scalars.text(argument)
    between = given.scalars.text(separator).fill_null("")
    both = given.ordered_rows(pl.struct(text.alias("t"), between.alias("b"))).struct
    known = both.field("t").is_not_null()
    texts, marks = both.field("t").filter(known), both.field("b").filter(known)
    whole = pl.concat_str([marks, texts]).str.join("").str.slice(marks.first().str.len_chars())
    return Value(pl.when(texts.len() > 0).then(whole), pl.String())


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


def _pair(given: Input, argument: exp.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return y and x as floats, where neither is null."""
    y, x = (given.scalars.number(n).expr.cast(pl.Float64) for n in (argument, _second(given.node)))
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


def _json_array(given: Input, argument: exp.Expr) -> Value:
    value = given.with_nulls(argument)
    items = as_json(value)
    whole = pl.concat_str([pl.lit("["), items.str.join(", "), pl.lit("]")])
    return Value(pl.when(value.expr.len() > 0).then(whole), pl.String())


def _json_object(*, binary: bool) -> Aggregation:
    """Pairs as one document; ``jsonb`` keeps the last of equal keys."""

    def translate(given: Input, argument: exp.Expr) -> Value:
        node = given.node
        key, value = node.expressions or [argument, node.expression]
        value = value.this if isinstance(value, exp.Order) else value
        text = as_json(Value(given.scalars.text(key), pl.String()))
        cell = as_json(given.scalars.of_rows(value))
        pairs = given.ordered_rows(pl.concat_str([text, pl.lit(": " if binary else " : "), cell]))
        inside = pairs.str.join(", ")
        edges = ("{", "}") if binary else ("{ ", " }")
        whole = pl.concat_str([pl.lit(edges[0]), inside, pl.lit(edges[1])])
        whole = canonical_json(whole) if binary else whole
        return Value(pl.when(pairs.len() > 0).then(whole), pl.String())

    return translate


def _product(given: Input, argument: exp.Expr) -> Value:
    expr = _number(given, argument).expr.cast(pl.Float64)
    return Value(pl.when(expr.count() > 0).then(expr.product()), pl.Float64())


def _list(given: Input, argument: exp.Expr) -> Value:
    """``collect_list`` of Spark: without nulls, empty of nothing."""
    value = given.argument(argument)
    return Value(value.expr.implode(), pl.List(value.dtype))


def _set(given: Input, argument: exp.Expr) -> Value:
    value = given.argument(argument)
    return Value(value.expr.unique(maintain_order=True).implode(), pl.List(value.dtype))


def _quantile(kind: type[exp.Expr]) -> Aggregation:
    """``quantile_cont(x, 0.5)`` of DuckDB is ``percentile_cont(0.5) WITHIN GROUP (ORDER BY x)``."""

    def translate(given: Input, argument: exp.Expr) -> Value:
        if len(given.node.expressions) != 2:
            raise refuse(given.node, "a quantile takes a value and a share")
        order = exp.Order(expressions=[exp.Ordered(this=argument, nulls_first=False)])
        call = exp.WithinGroup(this=kind(this=given.node.expressions[1]), expression=order)
        return _within_group(given, call)

    return translate


_AGGREGATES: dict[type[exp.Expr], Aggregation] = {
    exp.Count: _count,
    exp.CountIf: _count_if,
    exp.Sum: _sum,
    exp.Avg: _mean,
    exp.Min: _same(lambda e: e.min()),
    exp.Max: _largest,
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
    exp.JSONArrayAgg: _json_array,
    exp.JSONObjectAgg: _json_object(binary=False),
    exp.JSONBObjectAgg: _json_object(binary=True),
    exp.List: _array,
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
_NAMED: dict[str, Aggregation] = {
    "EVERY": _all,
    "JSONB_AGG": _json_array,
    "VAR_SAMP": _spread("var", 1),
    "COLLECT_LIST": _list,
    "COLLECT_SET": _set,
    "PRODUCT": _product,
    "QUANTILE_CONT": _quantile(exp.PercentileCont),
    "QUANTILE_DISC": _quantile(exp.PercentileDisc),
}
