"""Arrays: constructors, elements, slices, and functions on them; elements count from 1."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_changes import contained, is_jsonb
from penstock.sql_plan.scalars import Scalars, Translator, both
from penstock.sql_plan.text_forms import text_form
from penstock.sql_plan.types import common
from penstock.sql_plan.values import Value, literal_as

_WHOLE = pl.Int32()


def _array(scalars: Scalars, node: exp.Expr) -> Value:
    if not node.expressions:
        return Value(pl.lit([], dtype=pl.List(pl.Null)), pl.List(pl.Null))
    values = both(scalars, node, *node.expressions)
    dtype = pl.List(values[0].dtype)
    if isinstance(values[0].dtype, pl.List):  # Polars would put the elements side by side
        wrapped = pl.concat_list([pl.struct(scalars.by_row(v.expr).alias("x")) for v in values])
        return Value(wrapped.list.eval(pl.element().struct.field("x")), dtype)
    return Value(pl.concat_list([v.expr for v in values]).cast(dtype), dtype)


def element_type(value: Value) -> pl.DataType:
    """Return the type of an array's elements."""
    assert isinstance(value.dtype, pl.List)
    inner = value.dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def list_of(scalars: Scalars, node: exp.Expr) -> Value:
    """Return an array; refuses what is none."""
    value = scalars.value(node)
    if value.constant and value.dtype == pl.String:
        value = literal_as(value, pl.List(pl.String()))
    if not isinstance(value.dtype, pl.List):
        raise refuse(node, f"an array is needed, not {value.dtype}")
    return value


def _element(scalars: Scalars, node: exp.Expr) -> Value:
    value = list_of(scalars, node.this)
    if len(node.expressions) != 1:
        raise refuse(node, "one index is needed")
    if isinstance(node.expressions[0], exp.Slice):
        return _slice(scalars, value, node.expressions[0])
    index = scalars.number(node.expressions[0]).expr.cast(pl.Int64)
    at = pl.when(index > 0).then(index - 1)
    return Value(value.expr.list.get(at, null_on_oob=True), element_type(value))


def _slice(scalars: Scalars, value: Value, node: exp.Slice) -> Value:
    """``a[2:3]``: what lies outside of the array is left out."""
    low, high = (_bound(scalars, node.args.get(k)) for k in ("this", "expression"))
    size = value.expr.list.len().cast(pl.Int64)
    begin = pl.max_horizontal(pl.lit(1) if low is None else low, pl.lit(1)).cast(pl.Int64)
    end = size if high is None else pl.min_horizontal(high, size)
    length = pl.max_horizontal(end - begin + 1, pl.lit(0)).cast(pl.Int64)
    known = pl.all_horizontal([b.is_not_null() for b in (low, high) if b is not None] or [True])
    return Value(pl.when(known).then(value.expr.list.slice(begin - 1, length)), value.dtype)


def _bound(scalars: Scalars, node: exp.Expr | None) -> pl.Expr | None:
    return None if node is None else scalars.number(node).expr.cast(pl.Int64)


def _subscripts(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    count = list_of(scalars, arguments[0]).expr.list.len().cast(pl.Int32)
    return Value(pl.int_ranges(1, count + 1, dtype=pl.Int32), pl.List(pl.Int32()))


def _with_item(scalars: Scalars, array: exp.Expr, item: exp.Expr) -> tuple[Value, pl.Expr]:
    """Return an array and a value in one type of element."""
    value, one = list_of(scalars, array), scalars.value(item)
    inner = element_type(value)
    if one.constant and one.dtype == pl.String and inner != pl.String:
        one = literal_as(one, inner)
    dtype = common(inner, one.dtype)
    if dtype is None:
        raise refuse(item, f"{one.dtype} does not go into an array of {inner}")
    listed = pl.List(dtype)
    return Value(value.expr.cast(listed), listed), one.expr.cast(dtype)


def _empty_if_null(value: Value) -> pl.Expr:
    return value.expr.fill_null(pl.lit([], dtype=value.dtype))


def _append(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, item = _with_item(scalars, *arguments)
    return Value(pl.concat_list(_empty_if_null(value), _listed(item)), value.dtype)


def _prepend(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, item = _with_item(scalars, *arguments)  # the parser hands the array first
    return Value(pl.concat_list(_listed(item), _empty_if_null(value)), value.dtype)


def _listed(item: pl.Expr) -> pl.Expr:
    return pl.concat_list([item])


def joined_lists(left: Value, right: Value) -> Value:
    """Return one array after the other; a null array counts as empty, beside another."""
    dtype = common(left.dtype, right.dtype)
    assert isinstance(dtype, pl.List)
    one, two = (Value(v.expr.cast(dtype), dtype) for v in (left, right))
    both_null = one.expr.is_null() & two.expr.is_null()
    found = pl.concat_list(_empty_if_null(one), _empty_if_null(two))
    return Value(pl.when(~both_null).then(found), dtype)


def _concatenated(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return joined_lists(*(list_of(scalars, part) for part in arguments))


def _exploded(pairs: pl.Series) -> pl.LazyFrame:
    """Return an array's elements ``a`` beside the value ``x``, with row ``i`` and position ``n``."""
    frame = pairs.struct.unnest().lazy().with_row_index("i")
    numbers = pl.int_ranges(1, pl.col("a").list.len() + 1, dtype=_WHOLE)
    return (
        frame.with_columns(numbers.alias("n")).filter(pl.col("a").list.len() > 0).explode("a", "n")
    )


def _back(pairs: pl.Series, found: pl.LazyFrame, column: str) -> pl.Series:
    rows = pl.LazyFrame({"i": pl.int_range(0, pairs.len(), dtype=pl.UInt32, eager=True)})
    joined = rows.join(found, on="i", how="left", maintain_order="left")
    return joined.select(pl.col(column).alias(pairs.name)).collect().to_series()


def _without(pairs: pl.Series) -> pl.Series:
    kept = _exploded(pairs).filter(pl.col("a").ne_missing(pl.col("x")))
    lists = kept.sort("i", "n").group_by("i").agg(pl.col("a"))
    return _back(pairs, lists, "a")


def _equal(pairs: pl.Series) -> pl.Series:
    found = _exploded(pairs).with_columns(pl.col("a").eq_missing(pl.col("x")).alias("same"))
    lists = found.sort("i", "n").group_by("i").agg(pl.col("same"))
    return _back(pairs, lists, "same").fill_null([])


def paired_rows(value: Value, item: pl.Expr) -> pl.Expr:
    """Return for each element of an array whether it is the value; nulls are equal here."""
    return row_wise(_paired(value, item), _equal, pl.List(pl.Boolean))


def _paired(value: Value, item: pl.Expr) -> pl.Expr:
    return pl.struct(value.expr.alias("a"), item.alias("x"))


def _remove(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, item = _with_item(scalars, *arguments)
    kept = row_wise(_paired(value, item), _without, value.dtype)
    kept = kept.fill_null(pl.lit([], dtype=value.dtype))
    return Value(pl.when(value.expr.is_not_null()).then(kept), value.dtype)


def _contains_all(*, swapped: bool) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        pair = arguments[::-1] if swapped else arguments
        if any(map(is_jsonb, pair)) or all(scalars.value(p).dtype == pl.String for p in pair):
            return contained(scalars, *pair)
        whole, part = _same_type(scalars, *pair)
        missing = part.list.unique().list.set_difference(whole.list.drop_nulls())
        known = whole.is_not_null() & part.is_not_null()
        return Value(pl.when(known).then(missing.list.len() == 0), pl.Boolean())

    return Call(2, 2, apply)


def _overlaps(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    one, two = _same_type(scalars, *arguments)
    shared = one.list.drop_nulls().list.set_intersection(two.list.drop_nulls())
    return Value(shared.list.len() > 0, pl.Boolean())


def _same_type(scalars: Scalars, one: exp.Expr, two: exp.Expr) -> tuple[pl.Expr, pl.Expr]:
    left, right = scalars.value(one), scalars.value(two)
    if left.constant and left.dtype == pl.String:
        left = literal_as(left, right.dtype)
    if right.constant and right.dtype == pl.String:
        right = literal_as(right, left.dtype)
    dtype = common(left.dtype, right.dtype)
    if not isinstance(dtype, pl.List):
        raise refuse(one, f"arrays of one type are needed, not {left.dtype} and {right.dtype}")
    return left.expr.cast(dtype), right.expr.cast(dtype)


def _contains(scalars: Scalars, node: exp.Expr) -> Value:
    value = list_of(scalars, node.this)
    item = scalars.value(node.expression)
    found = value.expr.list.contains(item.expr)
    return Value(pl.when(item.expr.is_not_null()).then(found), pl.Boolean())


def _join(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    between = str(scalars.written(arguments[1], "the separator"))
    element = text_form(pl.element(), element_type(value))
    if len(arguments) > 2:
        element = element.fill_null(str(scalars.written(arguments[2], "what stands for nulls")))
    texts = value.expr.list.eval(element).cast(pl.List(pl.String))
    return Value(texts.list.drop_nulls().list.join(between), pl.String())


def _split(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    text, separator = scalars.text(arguments[0]), scalars.text(arguments[1])
    parts = (
        pl.when(separator.is_null())
        .then(text.str.split(""))
        .when(separator == "")
        .then(pl.concat_list([text]))
        .otherwise(text.str.split(separator))
    )
    parts = pl.when(text == "").then(pl.lit([], dtype=pl.List(pl.String))).otherwise(parts)
    if len(arguments) > 2:
        null = str(scalars.written(arguments[2], "what stands for nulls"))
        parts = parts.list.eval(pl.when(pl.element() != null).then(pl.element()))
    return Value(pl.when(text.is_not_null()).then(parts), pl.List(pl.String))


NODES: dict[type[exp.Expr], Translator] = {
    exp.Array: _array,
    exp.Bracket: _element,
    exp.ArrayContains: _contains,
}
FUNCTIONS: dict[str, Translator] = {
    "ARRAYAPPEND": Call(2, 2, _append),
    "ARRAYPREPEND": Call(2, 2, _prepend),
    "ARRAYCONCAT": Call(2, 2, _concatenated),
    "ARRAY_CAT": Call(2, 2, _concatenated),
    "ARRAYREMOVE": Call(2, 2, _remove),
    "ARRAYCONTAINSALL": _contains_all(swapped=False),
    "ARRAYCONTAINEDBY": _contains_all(swapped=True),
    "ARRAYOVERLAPS": Call(2, 2, _overlaps),
    "ARRAYTOSTRING": Call(2, 3, _join),
    "ARRAY_TO_STRING": Call(2, 3, _join),
    "STRINGTOARRAY": Call(2, 3, _split),
    "STRING_TO_TABLE": Call(2, 3, _split),
    "GENERATE_SUBSCRIPTS": Call(2, 2, _subscripts),
    "STRING_TO_ARRAY": Call(2, 3, _split),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Array: ("value_constructor", "bracket_notation"),
    exp.Bracket: ("offset",),
}
