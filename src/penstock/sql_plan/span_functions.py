"""Functions on intervals, and on two instants: ``age``, ``justify_days``, ``make_interval``, OVERLAPS."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.arithmetic import shifted
from penstock.sql_plan.calls import Call
from penstock.sql_plan.columnar import over_columns
from penstock.sql_plan.compared import equal, less
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator, both
from penstock.sql_plan.values import Value, ratio, span_of

_DAY = 86_400_000_000
_UNITS = {
    "day": _DAY,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
_MONTHS = {
    "month": 1,
    "quarter": 3,
    "year": 12,
    "decade": 120,
    "century": 1200,
    "millennium": 12_000,
}
_MODULUS = {"hour": 24, "minute": 60}


def singular(unit: str) -> str:
    """Return the name of a field: ``hours`` -> ``hour``."""
    known = {
        "centuries": "century",
        "millennia": "millennium",
        "msec": "millisecond",
        "usec": "microsecond",
    }
    return known.get(unit, unit.removesuffix("s"))


def part_of_span(node: exp.Expr, value: Value, unit: str) -> Value:
    """Return a field of an interval as a number."""
    unit, micros = singular(unit), value.fixed.dt.total_microseconds()
    months = value.counted_months if value.has_months else pl.lit(0)
    if unit == "epoch":  # a year is 365.25 days there
        days = (months // 12) * 365.25 + (months % 12) * 30
        return Value(ratio(micros.cast(pl.Float64) + days * _DAY, pl.lit(1e6)), pl.Float64())
    if unit in ("second", "millisecond", "microsecond"):
        rest = _rest(micros, 60_000_000)
        scale = {"second": 1e6, "millisecond": 1e3, "microsecond": 1.0}[unit]
        return Value(ratio(rest.cast(pl.Float64), pl.lit(scale)), pl.Float64())
    if unit == "quarter":
        return Value(_rest(months, 12) // 3 + 1 + micros * 0, pl.Int64())
    if unit in _MONTHS:
        size = _MONTHS[unit]
        whole = _rest(months, 12) if unit == "month" else _whole(months, size)
        return Value((whole + micros * 0).cast(pl.Int64), pl.Int64())
    if unit not in _UNITS:
        raise refuse(node, f"unknown field {unit!r} of an interval")
    whole = _whole(micros, _UNITS[unit])
    modulus = _MODULUS.get(unit)
    return Value((_rest(whole, modulus) if modulus else whole).cast(pl.Int64), pl.Int64())


def _whole(number: pl.Expr, size: int) -> pl.Expr:
    """Divide towards zero."""
    return number.abs() // size * number.sign()


def _rest(number: pl.Expr, size: int) -> pl.Expr:
    return number.abs() % size * number.sign()


def truncated_span(node: exp.Expr, value: Value, unit: str) -> Value:
    """Return an interval without what is smaller than a unit."""
    unit, micros = singular(unit), value.fixed.dt.total_microseconds()
    months = value.counted_months if value.has_months else pl.lit(0)
    if unit in _MONTHS:
        size = _MONTHS[unit]
        return span_of(_whole(months, size) * size, micros * 0)
    if unit not in _UNITS:
        raise refuse(node, f"unknown unit {unit!r}")
    cut = _whole(micros, _UNITS[unit]) * _UNITS[unit]
    return span_of(months, cut) if value.has_months else Value(cut.cast(value.dtype), value.dtype)


def _age(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """Years, months, days and time between two instants; days are borrowed of the earlier month."""
    if len(arguments) != 2:
        raise refuse(arguments[0], "age takes two instants here", hint="age(current_date, x)")
    moment = pl.Datetime("us")
    ends = [exp.Cast(this=part, to=exp.DataType.build("timestamp")) for part in arguments]
    given = [value.expr.cast(moment) for value in both(scalars, arguments[0], *ends)]
    one, two = pl.col("one"), pl.col("two")
    low, high = pl.min_horizontal(one, two), pl.max_horizontal(one, two)
    sign = pl.when(one < two).then(-1).when(one.is_not_null() & two.is_not_null()).then(1)
    months = (_month(high) - _month(low)).cast(pl.Int64)
    micros = _of_day(high) - _of_day(low)
    days = (high.dt.day().cast(pl.Int64) - low.dt.day().cast(pl.Int64)) - (micros < 0).cast(
        pl.Int64
    )
    micros = micros + pl.when(micros < 0).then(_DAY).otherwise(0)
    size = low.dt.days_in_month().cast(pl.Int64)
    borrowed = pl.when(days >= 0).then(0).when(days + size >= 0).then(1).otherwise(2)
    days, months = days + borrowed * size, months - borrowed
    parts = pl.struct((months * sign).alias("m"), ((days * _DAY + micros) * sign).alias("u"))
    dtype = pl.Struct({"m": pl.Int64(), "u": pl.Int64()})
    found = over_columns(parts, dtype, one=given[0], two=given[1]).struct
    return span_of(found.field("m"), found.field("u"))


def _month(moment: pl.Expr) -> pl.Expr:
    return moment.dt.year().cast(pl.Int64) * 12 + moment.dt.month().cast(pl.Int64)


def _of_day(moment: pl.Expr) -> pl.Expr:
    return moment.dt.epoch("us") - moment.dt.truncate("1d").dt.epoch("us")


def _justified(*, months: bool) -> Call:
    """Hours are days here as soon as there are 24; days become months of 30."""

    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        value = scalars.value(arguments[0])
        if not value.is_interval:
            raise refuse(arguments[0], f"an interval is needed, not {value.dtype}")
        if not months:
            return value
        whole = value.expr.dt.total_microseconds()
        count = _whole(whole, 30 * _DAY)
        return span_of(count, whole - count * 30 * _DAY)

    return Call(1, 1, apply)


_PARTS = ("years", "months", "weeks", "days", "hours", "mins", "secs")


def _make_interval(scalars: Scalars, node: exp.Expr) -> Value:
    given: dict[str, exp.Expr] = {}
    positions = list(node.expressions)
    for name, part in zip(_PARTS, positions, strict=False):
        if isinstance(part, (exp.Kwarg, exp.PropertyEQ)):
            name, part = part.this.name.lower(), part.expression
        if name not in _PARTS:
            raise refuse(node, f"make_interval knows {', '.join(_PARTS)}, not {name}")
        given[name] = part
    if len(positions) > len(_PARTS):
        raise refuse(node, f"make_interval takes {len(_PARTS)} arguments")

    def count(name: str) -> pl.Expr:
        part = given.get(name)
        return pl.lit(0) if part is None else scalars.number(part).expr

    months = (count("years") * 12 + count("months")).cast(pl.Int64)
    days = (count("weeks") * 7 + count("days")).cast(pl.Int64)
    minutes = (count("hours") * 60 + count("mins")).cast(pl.Int64)
    seconds = (count("secs").cast(pl.Float64) * 1e6).round().cast(pl.Int64)
    micros = days * _DAY + minutes * 60_000_000 + seconds
    if given.keys() & {"years", "months"}:
        return span_of(months, micros)
    return Value(micros.cast(pl.Duration("us")), pl.Duration("us"))


def _overlaps(scalars: Scalars, node: exp.Expr) -> Value:
    """``(a, b) OVERLAPS (c, d)``: periods without their ends; the second may be a length."""
    (a, b), (c, d) = (_period(scalars, side) for side in (node.this, node.expression))
    low_one, low_two = pl.min_horizontal(a, b), pl.min_horizontal(c, d)
    high_one, high_two = pl.max_horizontal(a, b), pl.max_horizontal(c, d)
    apart = less(low_one, high_two) & less(low_two, high_one)
    return Value(equal(low_one, low_two) | apart, pl.Boolean())


def _period(scalars: Scalars, side: exp.Expr) -> tuple[pl.Expr, pl.Expr]:
    parts = side.unnest().expressions
    if len(parts) != 2:
        raise refuse(side, "a period is (start, end) or (start, interval)")
    start, end = scalars.values(parts)
    if end.is_interval:
        end = shifted(start, end, 1)
    moments = [
        v.expr.cast(pl.Datetime("us")) if v.dtype == pl.Date else v.expr for v in (start, end)
    ]
    return moments[0], moments[1]


def _moved(sign: int) -> Call:
    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        moment, span = scalars.values(arguments)
        if not span.is_interval or not (
            moment.dtype == pl.Date or isinstance(moment.dtype, pl.Datetime)
        ):
            raise refuse(arguments[0], "an instant and an interval are needed")
        return shifted(moment, span, sign)

    return Call(2, 2, apply)


NODES: dict[type[exp.Expr], Translator] = {exp.Overlaps: _overlaps}
FUNCTIONS: dict[str, Translator] = {
    "AGE": Call(1, 2, _age),
    "JUSTIFYDAYS": _justified(months=True),
    "JUSTIFYHOURS": _justified(months=False),
    "JUSTIFYINTERVAL": _justified(months=True),
    "MAKE_INTERVAL": _make_interval,
    "DATE_ADD": _moved(1),
    "DATE_SUBTRACT": _moved(-1),
}
