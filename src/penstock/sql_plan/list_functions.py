"""Arrays: constructors, elements, and functions on them; elements count from 1."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator, both
from penstock.sql_plan.text_functions import arguments
from penstock.sql_plan.values import Value


def _array(scalars: Scalars, node: exp.Expr) -> Value:
    if not node.expressions:
        return Value(pl.lit([], dtype=pl.List(pl.Null)), pl.List(pl.Null))
    values = both(scalars, node, *node.expressions)
    dtype = pl.List(values[0].dtype)
    return Value(pl.concat_list([v.expr for v in values]).cast(dtype), dtype)


def _list(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node)
    if not isinstance(value.dtype, pl.List):
        raise refuse(node, f"an array is needed, not {value.dtype}")
    return value


def _element(scalars: Scalars, node: exp.Expr) -> Value:
    value = _list(scalars, node.this)
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise refuse(node, "one index is needed, not a slice")
    index = (
        scalars.number(node.expressions[0]).expr.cast(pl.Int64)
        + 1
        - int(node.args.get("offset") or 0)
    )
    at = pl.when(index > 0).then(index - 1)
    assert isinstance(value.dtype, pl.List)
    return scalars.typed(value.expr.list.get(at, null_on_oob=True))


def _length(scalars: Scalars, node: exp.Expr) -> Value:
    argument = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    count = _list(scalars, argument).expr.list.len().cast(pl.Int32)
    return Value(count, pl.Int32())


def _contains(scalars: Scalars, node: exp.Expr) -> Value:
    value = _list(scalars, node.this)
    item = scalars.value(node.expression)
    return Value(value.expr.list.contains(item.expr), pl.Boolean())


def _join(scalars: Scalars, node: exp.Expr) -> Value:
    value = _list(scalars, node.this)
    between = str(scalars.written(node.expression, "the separator"))
    text = value.expr.cast(pl.List(pl.String)).list.drop_nulls()
    return Value(text.list.join(between), pl.String())


def _split(scalars: Scalars, node: exp.Expr) -> Value:
    separator = str(scalars.written(node.expression, "the separator"))
    return Value(scalars.text(node.this).str.split(separator), pl.List(pl.String))


def _cardinality(scalars: Scalars, node: exp.Expr) -> Value:
    (argument,) = arguments(node, 1)
    return Value(_list(scalars, argument).expr.list.len().cast(pl.Int32), pl.Int32())


NODES: dict[type[exp.Expr], Translator] = {
    exp.Array: _array,
    exp.Bracket: _element,
    exp.ArraySize: _length,
    exp.ArrayContains: _contains,
    exp.ArrayToString: _join,
    exp.StringToArray: _split,
}
FUNCTIONS: dict[str, Translator] = {"CARDINALITY": _cardinality}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Array: ("value_constructor", "bracket_notation"),
    exp.Bracket: ("offset",),
}
