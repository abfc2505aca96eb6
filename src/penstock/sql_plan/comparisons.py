"""Comparisons: of values, of rows, with the elements of an array, and membership."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.compared import (
    Compare,
    at_least,
    at_most,
    different,
    equal,
    greater,
    less,
    same,
    unequal,
)
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator, both
from penstock.sql_plan.types import sql_type
from penstock.sql_plan.values import Value, literal_as


def _compare(combine: Compare) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        left, right = node.this.unnest(), node.expression.unnest()
        some = _quantifier(right)
        if some is not None:
            return Value(_with_elements(scalars, node, right, some=some), pl.Boolean())
        if _is_row(left) or _is_row(right):
            return Value(_rows(scalars, node, left, right), pl.Boolean())
        one, two = both(scalars, node, node.this, node.expression)
        if one.dtype.is_nested() and type(node) in _ORDERS:
            raise refuse(
                node,
                f"{sql_type(one.dtype)} has no order",
                hint="compare it with = or <>, or an element of it: (x)[1]",
            )
        return Value(combine(one.expr, two.expr), pl.Boolean())

    return translate


def _quantifier(node: exp.Expr) -> bool | None:
    """Tell ANY (True) and ALL (False) of an array from what is neither (None)."""
    if isinstance(node, (exp.Any, exp.All)):
        return isinstance(node, exp.Any)
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    return {"ANY": True, "SOME": True, "ALL": False}.get(name)


def _is_row(node: exp.Expr) -> bool:
    return isinstance(node, exp.Tuple) or (
        isinstance(node, exp.Anonymous) and node.name.upper() == "ROW"
    )


def _pairs(
    scalars: Scalars, node: exp.Expr, left: exp.Expr, right: exp.Expr
) -> list[tuple[pl.Expr, pl.Expr]]:
    if not (_is_row(left) and _is_row(right)) or len(left.expressions) != len(right.expressions):
        raise refuse(node, "rows of as many values each are compared")
    found = []
    for one, two in zip(left.expressions, right.expressions, strict=True):
        a, b = both(scalars, node, one, two)
        found.append((a.expr, b.expr))
    return found


def _rows(scalars: Scalars, node: exp.Expr, left: exp.Expr, right: exp.Expr) -> pl.Expr:
    pairs = _pairs(scalars, node, left, right)
    if isinstance(node, exp.EQ):
        return _all_equal(pairs)
    if isinstance(node, exp.NEQ):
        return ~_all_equal(pairs)
    if isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)):
        whole = pl.all_horizontal([same(a, b) for a, b in pairs])
        return whole if isinstance(node, exp.NullSafeEQ) else ~whole
    return _in_order(pairs, _ORDERS[type(node)])


def _all_equal(pairs: list[tuple[pl.Expr, pl.Expr]]) -> pl.Expr:
    found = equal(*pairs[0])
    for a, b in pairs[1:]:
        found = found & equal(a, b)
    return found


def _in_order(pairs: list[tuple[pl.Expr, pl.Expr]], orders: tuple[Compare, Compare]) -> pl.Expr:
    """The first pair that differs decides; the last one also whether equality counts."""
    strict, last = orders
    *before, (a, b) = pairs
    found = last(a, b)
    for a, b in reversed(before):
        found = (
            pl.when(equal(a, b).fill_null(value=True) & a.is_not_null() & b.is_not_null())
            .then(found)
            .otherwise(strict(a, b))
        )
    return found


_ORDERS: dict[type[exp.Expr], tuple[Compare, Compare]] = {
    exp.LT: (less, less),
    exp.LTE: (less, at_most),
    exp.GT: (greater, greater),
    exp.GTE: (greater, at_least),
}


def _with_elements(scalars: Scalars, node: exp.Expr, test: exp.Expr, *, some: bool) -> pl.Expr:
    """``x = ANY (array)``: true, false, or null where an element that is null could decide."""
    argument = test.expressions[0] if isinstance(test, exp.Anonymous) else test.this
    array = _array(scalars, node, argument.unnest())
    value = scalars.value(node.this)
    kept = array.list.drop_nulls()
    decided = _decided(value.expr, kept, node, some=some)
    unknown = value.expr.is_null() | (array.list.len() != kept.list.len())
    default = pl.lit(not some)
    settled = (decided == pl.lit(some)) & value.expr.is_not_null()
    found = (
        pl.when(array.list.len() == 0)
        .then(default)
        .when(settled)
        .then(pl.lit(some))
        .when(~unknown)
        .then(default)
    )
    return pl.when(array.is_not_null()).then(found)


def _array(scalars: Scalars, node: exp.Expr, argument: exp.Expr) -> pl.Expr:
    value = scalars.value(argument)
    if value.constant and value.dtype == pl.String:
        value = literal_as(value, pl.List(scalars.value(node.this).dtype))
    if not isinstance(value.dtype, pl.List):
        raise refuse(node, f"ANY and ALL take an array or a query, not {value.dtype}")
    return value.expr


def _decided(value: pl.Expr, kept: pl.Expr, node: exp.Expr, *, some: bool) -> pl.Expr:
    """Compare with the elements that are there: with the smallest or largest where that suffices."""
    low, high = kept.list.min(), kept.list.max()
    has = kept.list.contains(value)
    if isinstance(node, exp.EQ):
        return has if some else equal(low, value) & equal(high, value)
    if isinstance(node, exp.NEQ):
        return unequal(low, value) | unequal(high, value) if some else ~has
    if isinstance(node, (exp.LT, exp.LTE)):
        edge = high if some else low
        return (less if isinstance(node, exp.LT) else at_most)(value, edge)
    if isinstance(node, (exp.GT, exp.GTE)):
        edge = low if some else high
        return (greater if isinstance(node, exp.GT) else at_least)(value, edge)
    raise refuse(node, "this comparison takes no ANY or ALL")


def _between(scalars: Scalars, node: exp.Expr) -> Value:
    value, low, high = both(scalars, node, node.this, node.args["low"], node.args["high"])
    found = at_least(value.expr, low.expr) & at_most(value.expr, high.expr)
    if node.args.get("symmetric"):
        found = found | (at_least(value.expr, high.expr) & at_most(value.expr, low.expr))
    return Value(found, pl.Boolean())


def _in(scalars: Scalars, node: exp.Expr) -> Value:
    subject = node.this.unnest()
    if _is_row(subject):
        found = [_all_equal(_pairs(scalars, node, subject, o.unnest())) for o in node.expressions]
        return Value(_any_of(found), pl.Boolean())
    value, *others = both(scalars, node, node.this, *node.expressions)
    listable = all(o.constant and o.literal is not None for o in others)
    # in a group Polars gives `is_in` of a value without columns the length of the list
    if listable and value.expr.meta.root_names():
        listed = pl.Series([o.literal for o in others], dtype=value.dtype)
        return Value(value.expr.is_in(listed.implode()), pl.Boolean())
    return Value(_any_of([equal(value.expr, other.expr) for other in others]), pl.Boolean())


def _any_of(tests: list[pl.Expr]) -> pl.Expr:
    found = tests[0]
    for test in tests[1:]:
        found = found | test
    return found


NODES: dict[type[exp.Expr], Translator] = {
    exp.EQ: _compare(equal),
    exp.NEQ: _compare(unequal),
    exp.LT: _compare(less),
    exp.LTE: _compare(at_most),
    exp.GT: _compare(greater),
    exp.GTE: _compare(at_least),
    exp.NullSafeEQ: _compare(same),
    exp.NullSafeNEQ: _compare(different),
    exp.Between: _between,
    exp.In: _in,
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {exp.Between: ("low", "high", "symmetric")}
