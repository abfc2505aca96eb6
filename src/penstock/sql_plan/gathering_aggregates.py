"""Aggregates that gather the values of a group: texts joined, arrays, JSON."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregate_input import Aggregation, Input
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_documents import canonical_json
from penstock.sql_plan.json_functions import as_json
from penstock.sql_plan.values import Value


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


def _list(given: Input, argument: exp.Expr) -> Value:
    """``collect_list`` of Spark: without nulls, empty of nothing."""
    value = given.argument(argument)
    return Value(value.expr.implode(), pl.List(value.dtype))


def _set(given: Input, argument: exp.Expr) -> Value:
    value = given.argument(argument)
    return Value(value.expr.unique(maintain_order=True).implode(), pl.List(value.dtype))


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


NODES: dict[type[exp.Expr], Aggregation] = {
    exp.GroupConcat: _joined,
    exp.ArrayAgg: _array,
    exp.List: _array,
    exp.JSONArrayAgg: _json_array,
    exp.JSONObjectAgg: _json_object(binary=False),
    exp.JSONBObjectAgg: _json_object(binary=True),
}
NAMED: dict[str, Aggregation] = {
    "JSONB_AGG": _json_array,
    "COLLECT_LIST": _list,
    "COLLECT_SET": _set,
}
