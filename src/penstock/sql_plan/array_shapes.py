"""Arrays of arrays, and functions that make or change whole arrays."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.list_functions import element_type, list_of, paired_rows
from penstock.sql_plan.scalars import Scalars, Translator, both
from penstock.sql_plan.values import Value, aligned

_WHOLE = pl.Int32()
_WHOLES = pl.List(pl.Int32())


def _dimension(value: Value, number: int) -> pl.Expr | None:
    """Return the size of an array in one of its dimensions; None if it has fewer."""
    expr, dtype = value.expr, value.dtype
    for _ in range(number - 1):
        inner = element_type(Value(expr, dtype))
        if not isinstance(inner, pl.List):
            return None
        expr, dtype = expr.list.first(), inner
    return expr.list.len().cast(_WHOLE)


def _depth(dtype: pl.DataType) -> int:
    if not isinstance(dtype, pl.List):
        return 0
    return 1 + _depth(dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner())


def _length(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    number = scalars.written(arguments[1], "the dimension") if len(arguments) > 1 else 1
    if not isinstance(number, int):
        raise refuse(arguments[1], "a dimension is a whole number")
    size = _dimension(value, number) if number > 0 else None
    if size is None:
        return Value(pl.lit(None, dtype=_WHOLE), _WHOLE)
    return Value(pl.when(size > 0).then(size), _WHOLE)


def _lower(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    size = _length(scalars, arguments).expr
    return Value(pl.when(size.is_not_null()).then(pl.lit(1, dtype=_WHOLE)), _WHOLE)


def _cardinality(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    expr = value.expr
    for _ in range(_depth(value.dtype) - 1):
        expr = expr.list.eval(pl.element().explode())
    count = expr.list.drop_nulls().list.len() if expr is not value.expr else expr.list.len()
    return Value(pl.when(value.expr.is_not_null()).then(count.cast(_WHOLE)), _WHOLE)


def _depths(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    some = pl.when(value.expr.list.len() > 0).then(pl.lit(_depth(value.dtype), dtype=_WHOLE))
    return Value(some, _WHOLE)


def _dims(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    parts: list[pl.Expr] = []
    for number in range(1, _depth(value.dtype) + 1):
        size = _dimension(value, number)
        if size is not None:
            parts += [pl.lit("[1:"), size.cast(pl.String), pl.lit("]")]
    return Value(pl.when(value.expr.list.len() > 0).then(pl.concat_str(parts)), pl.String())


def _fill(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, sizes = scalars.of_rows(arguments[0]), list_of(scalars, arguments[1])
    count = sizes.expr.list.get(0, null_on_oob=True).cast(pl.Int64)
    found = pl.when(count >= 0).then(value.expr.repeat_by(count))
    return Value(found, pl.List(value.dtype))


def _found(scalars: Scalars, arguments: list[exp.Expr]) -> tuple[Value, Value, pl.Expr]:
    """Return an array, a value beside it, and for each place whether the value is there."""
    value, item = list_of(scalars, arguments[0]), scalars.value(arguments[1])
    same = aligned(Value(pl.lit(None), element_type(value)), item)
    if same is None:
        raise refuse(arguments[1], f"{item.dtype} is not in an array of {element_type(value)}")
    wanted = Value(value.expr.cast(pl.List(same[1].dtype)), pl.List(same[1].dtype))
    return wanted, same[1], paired_rows(wanted, same[1].expr)


def _positions(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, _, flags = _found(scalars, arguments)
    places = flags.list.eval(pl.element().arg_true() + 1).cast(_WHOLES)
    return Value(pl.when(value.expr.is_not_null()).then(places), _WHOLES)


def _position(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``array_position(a, x, start)``."""
    places = _positions(scalars, arguments[:2]).expr
    if len(arguments) == 2:
        return Value(places.list.first(), _WHOLE)
    start = scalars.written(arguments[2], "the start")
    if not isinstance(start, int):
        raise refuse(arguments[2], "the start is a whole number")
    later = places.list.eval(pl.element().filter(pl.element() >= start))
    return Value(later.list.first(), _WHOLE)


def _replace(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value, _, flags = _found(scalars, arguments)
    new = scalars.value(arguments[2])
    same = aligned(Value(pl.lit(None), element_type(value)), new)
    if same is None:
        raise refuse(
            arguments[2], f"{new.dtype} does not go into an array of {element_type(value)}"
        )
    count = value.expr.list.len()
    others = same[1].expr.repeat_by(count)
    # element 0 is the old one, the other the new one: each place takes the one its flag says
    both_ = value.expr.list.concat(others.cast(value.dtype))
    at = flags.list.eval(pl.element().cast(pl.Int64) * pl.len() + pl.int_range(0, pl.len()))
    known = value.expr.is_not_null()
    return Value(pl.when(known).then(both_.list.gather(at)), value.dtype)


def _sorted(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    down = len(arguments) > 1 and bool(scalars.written(arguments[1], "the direction"))
    return Value(value.expr.list.sort(descending=down, nulls_last=not down), value.dtype)


def _reversed(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    return Value(value.expr.list.reverse(), value.dtype)


def _distinct(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    return Value(value.expr.list.drop_nulls().list.unique(maintain_order=True), value.dtype)


def _trimmed(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = list_of(scalars, arguments[0])
    count = scalars.number(arguments[1]).expr.cast(pl.Int64)
    left = pl.max_horizontal(value.expr.list.len().cast(pl.Int64) - count, pl.lit(0))
    known = value.expr.is_not_null() & count.is_not_null()
    return Value(pl.when(known).then(value.expr.list.head(left)), value.dtype)


def series(scalars: Scalars, node: exp.Expr) -> Value:
    """``generate_series(a, b, step)`` as an array: of whole numbers, dates or instants."""
    step_node = node.args.get("step") or exp.Literal.number(1)
    start, end = both(scalars, node, node.args["start"], node.args["end"])
    if start.dtype.is_integer():
        step = scalars.written(step_node, "the step")
        if not isinstance(step, int) or step == 0:
            raise refuse(node, "the step of generate_series is a whole number that is not 0")
        dtype = start.dtype if start.dtype == pl.Int64 else pl.Int32()
        one, two = start.expr.cast(pl.Int64), end.expr.cast(pl.Int64)
        listed = pl.int_ranges(one, two + (1 if step > 0 else -1), step).cast(pl.List(dtype))
        return Value(pl.when(one.is_not_null() & two.is_not_null()).then(listed), pl.List(dtype))
    span = scalars.value(step_node)
    temporal = start.dtype == pl.Date or isinstance(start.dtype, pl.Datetime)
    if not (temporal and span.is_interval and span.constant):
        raise refuse(
            node,
            "generate_series takes whole numbers, or instants and a constant interval",
            hint="generate_series(1, n) and arithmetic on it",
        )
    moments = [
        v.expr.cast(pl.Datetime("us")) if v.dtype == pl.Date else v.expr for v in (start, end)
    ]
    if bool(span.months) == bool(span.literal) or span.months < 0 or span.literal < 0:
        raise refuse(node, "the step is a positive interval of months, or of days and time")
    every = f"{span.months}mo" if span.months else f"{span.literal}us"
    moment = pl.Datetime("us") if start.dtype == pl.Date else start.dtype
    listed = pl.datetime_ranges(moments[0], moments[1], interval=every).cast(pl.List(moment))
    known = moments[0] <= moments[1]
    return Value(pl.when(known).then(listed), pl.List(moment))


NODES: dict[type[exp.Expr], Translator] = {
    exp.GenerateSeries: series,
    exp.ExplodingGenerateSeries: series,
}
FUNCTIONS: dict[str, Translator] = {
    "ARRAYSIZE": Call(1, 2, _length),
    "ARRAY_UPPER": Call(2, 2, _length),
    "ARRAY_LOWER": Call(2, 2, _lower),
    "CARDINALITY": Call(1, 1, _cardinality),
    "ARRAY_NDIMS": Call(1, 1, _depths),
    "ARRAY_DIMS": Call(1, 1, _dims),
    "ARRAY_FILL": Call(2, 2, _fill),
    "ARRAYPOSITION": Call(2, 3, _position),
    "ARRAY_POSITION": Call(2, 3, _position),
    "ARRAY_POSITIONS": Call(2, 2, _positions),
    "ARRAY_REPLACE": Call(3, 3, _replace),
    "ARRAYSORT": Call(1, 2, _sorted),
    "ARRAYREVERSE": Call(1, 1, _reversed),
    "ARRAYDISTINCT": Call(1, 1, _distinct),
    "TRIM_ARRAY": Call(2, 2, _trimmed),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.GenerateSeries: ("start", "end", "step"),
    exp.ExplodingGenerateSeries: ("start", "end", "step"),
}
