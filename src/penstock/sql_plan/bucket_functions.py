"""The start of the bucket an instant is in: ``date_bin`` of PostgreSQL, ``time_bucket`` of Timescale."""

from __future__ import annotations

import datetime

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.casts import cast
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value, constant, literal_as

_MONDAY = datetime.date(2000, 1, 3)
"""Where Timescale's buckets begin, so that those of weeks begin on Mondays; of months in January."""


def _bin(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``date_bin(stride, instant, origin)``: the start of the stride that the instant is in."""
    width = _width(scalars, arguments[0])
    if width.has_months or not width.literal:
        raise refuse(arguments[0], "the stride is a constant interval without months")
    return _from(width, scalars.value(arguments[1]), _origin(scalars, arguments[2]))


def _bucket(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``time_bucket(width, instant)``, with an origin or an offset behind; of numbers, too."""
    value = scalars.value(arguments[1])
    if value.dtype.is_integer():
        return _of_numbers(scalars, arguments, value)
    width = _width(scalars, arguments[0])
    if not width.constant or not (width.literal or width.months):
        raise refuse(arguments[0], "the width of a bucket is a constant interval")
    if width.months and width.literal:
        raise refuse(
            arguments[0], "the width of a bucket is in months or in days and time, not both"
        )
    third = scalars.value(arguments[2]) if len(arguments) == 3 else None
    if width.months:
        if third is not None:
            raise refuse(arguments[2], "buckets of months begin in January 2000")
        return _of_months(width.months, value)
    if third is None or third.is_interval:
        shift = pl.duration() if third is None else third.fixed
        moved = _from(width, _moved(value, -shift), constant(_MONDAY, pl.Date()))
        return _as_given(Value(moved.expr + shift, moved.dtype), value)
    return _as_given(_from(width, value, _origin(scalars, arguments[2])), value)


def _width(scalars: Scalars, node: exp.Expr) -> Value:
    width = scalars.value(exp.cast(node, "interval"))
    if not width.is_interval:
        raise refuse(node, "the width of a bucket is an interval")
    return width


def _origin(scalars: Scalars, node: exp.Expr) -> Value:
    node = exp.Literal.string(node.name) if isinstance(node, exp.Var) else node
    origin = scalars.value(node)
    if origin.constant and origin.dtype == pl.String:
        return literal_as(origin, pl.Datetime("us"))
    return origin


def _instant(value: Value) -> pl.DataType:
    return pl.Datetime("us") if value.dtype == pl.Date else value.dtype


def _moved(value: Value, by: pl.Expr) -> Value:
    dtype = _instant(value)
    return Value(cast(value, dtype, strict=True) + by, dtype)


def _from(width: Value, value: Value, origin: Value) -> Value:
    dtype = _instant(value)
    one, two = (cast(v, dtype, strict=True).dt.epoch("us") for v in (value, origin))
    size = int(width.literal)
    found = (two + (one - two).floordiv(size) * size).cast(pl.Datetime("us"))
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    return Value(found.dt.replace_time_zone(zone) if zone else found, dtype)


def _of_months(months: int, value: Value) -> Value:
    """Count months since January 2000."""
    moment = value.expr
    since = (moment.dt.year() - 2000) * 12 + moment.dt.month() - 1
    start = since.floordiv(months) * months
    first = pl.date(2000 + start.floordiv(12), start % 12 + 1, 1).meta.undo_aliases()
    dtype = _instant(value)
    if not isinstance(dtype, pl.Datetime):
        return Value(first, pl.Date())
    whole = first.cast(pl.Datetime("us"))
    zoned = whole.dt.replace_time_zone(dtype.time_zone) if dtype.time_zone else whole
    return _as_given(Value(zoned, dtype), value)


def _of_numbers(scalars: Scalars, arguments: list[exp.Expr], value: Value) -> Value:
    width = scalars.written(arguments[0], "the width of a bucket")
    if len(arguments) == 3 or not isinstance(width, int) or width <= 0:
        raise refuse(arguments[0], "buckets of numbers have a width of 1 or more, and no origin")
    return Value(value.expr.floordiv(width) * width, value.dtype)


def _as_given(bucket: Value, value: Value) -> Value:
    """A bucket of dates is a date."""
    if value.dtype != pl.Date:
        return bucket
    return Value(bucket.expr.dt.date(), pl.Date())


FUNCTIONS: dict[str, Translator] = {
    "DATEBIN": Call(3, 3, _bin),
    "DATE_BIN": Call(3, 3, _bin),
    "TIME_BUCKET": Call(2, 3, _bucket),
}
