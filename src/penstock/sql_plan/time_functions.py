"""Functions on instants: parts, truncation, formats."""

from __future__ import annotations

import re

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator, cast
from penstock.sql_plan.values import Value, literal_as, ratio

_WHOLE = ("year", "month", "day", "hour", "minute", "quarter", "week", "isoyear")
_UNITS = {
    "year": "1y", "quarter": "1q", "month": "1mo", "week": "1w", "day": "1d", "hour": "1h",
    "minute": "1m", "second": "1s", "millisecond": "1ms", "microsecond": "1us",
}  # fmt: skip
_FORMATS = {
    "YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "HH12": "%I", "HH": "%I", "MI": "%M",
    "SS": "%S", "MS": "%3f", "US": "%6f", "AM": "%p", "PM": "%p", "Mon": "%b", "Month": "%B",
    "Dy": "%a", "Day": "%A", "DDD": "%j", "mi": "%M", "yyyy": "%Y", "mm": "%m", "dd": "%d",
    "hh24": "%H", "ss": "%S", "YY": "%y",
}  # fmt: skip


def _extract(scalars: Scalars, node: exp.Expr) -> Value:
    unit = node.this.name.lower()
    value = scalars.value(node.expression)
    if value.is_interval:
        return _part_of_span(node, value, unit)
    return part(node, value, unit)


def part(node: exp.Expr, value: Value, unit: str) -> Value:
    """Return a field of an instant as a number."""
    dt = value.expr.dt
    if unit == "epoch":
        micros = value.expr.cast(pl.Datetime("us")).dt.epoch("us")
        return Value(ratio(micros.cast(pl.Float64), pl.lit(1e6)), pl.Float64())
    if unit == "second":
        seconds = dt.second() + ratio(dt.nanosecond().cast(pl.Float64), pl.lit(1e9))
        return Value(seconds.cast(pl.Decimal(10, 6)), pl.Decimal(10, 6))
    unit = unit.removesuffix("s") if unit in ("milliseconds", "microseconds") else unit
    if unit in ("millisecond", "microsecond"):
        micros = dt.second().cast(pl.Int64) * 1_000_000 + dt.microsecond()
        if unit == "microsecond":
            return Value(micros.cast(pl.Int64), pl.Int64())
        return Value(ratio(micros.cast(pl.Float64), pl.lit(1e3)), pl.Float64())
    if unit in ("century", "millennium", "decade"):
        year = dt.year()
        size = {"century": 100, "millennium": 1000, "decade": 10}[unit]
        whole = year // size if unit == "decade" else (year + size - 1) // size
        return Value(whole.cast(pl.Int32), pl.Int32())
    if unit in ("dow", "dayofweek"):
        return Value((dt.weekday() % 7).cast(pl.Int32), pl.Int32())
    if unit == "isodow":
        return Value(dt.weekday().cast(pl.Int32), pl.Int32())
    if unit in ("doy", "dayofyear"):
        return Value(dt.ordinal_day().cast(pl.Int32), pl.Int32())
    names = {"isoyear": "iso_year"}
    if unit in _WHOLE:
        return Value(getattr(dt, names.get(unit, unit))().cast(pl.Int32), pl.Int32())
    raise refuse(node, f"unknown field {unit!r}")


def _part_of_span(node: exp.Expr, value: Value, unit: str) -> Value:
    micros = value.expr.dt.total_microseconds()
    if unit == "epoch":
        return Value(ratio(micros.cast(pl.Float64), pl.lit(1e6)), pl.Float64())
    sizes = {"day": (86_400_000_000, None), "hour": (3_600_000_000, 24), "minute": (60_000_000, 60)}
    if unit == "second":
        return Value(ratio((micros % 60_000_000).cast(pl.Float64), pl.lit(1e6)), pl.Float64())
    if unit not in sizes:
        raise refuse(node, f"unknown field {unit!r} of an interval")
    size, modulus = sizes[unit]
    whole = micros // size
    return Value((whole % modulus if modulus else whole).cast(pl.Int64), pl.Int64())


def _truncate(scalars: Scalars, node: exp.Expr) -> Value:
    unit = node.args["unit"].name.lower()
    value = scalars.value(node.this)
    if unit not in _UNITS:
        raise refuse(node, f"unknown unit {unit!r}")
    expr = value.expr.cast(pl.Datetime("us")) if value.dtype == pl.Date else value.expr
    dtype = pl.Datetime("us") if value.dtype == pl.Date else value.dtype
    return Value(expr.dt.truncate(_UNITS[unit]), dtype)


def _format(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    pattern = str(scalars.written(node.args["format"], "the format"))
    return Value(value.expr.dt.to_string(strftime(pattern)), pl.String())


_DIRECTIVE = re.compile(r"%[-_0:.]?[0-9]?[A-Za-z%]")


def strftime(pattern: str) -> str:
    """Return a PostgreSQL format as one of strftime; what is that already stays."""
    found, at = "", 0
    names = sorted(_FORMATS, key=len, reverse=True)
    while at < len(pattern):
        directive = _DIRECTIVE.match(pattern, at)
        if directive:
            found, at = found + directive[0], directive.end()
            continue
        name = next((n for n in names if pattern.startswith(n, at)), None)
        found += pattern[at] if name is None else _FORMATS[name]
        at += 1 if name is None else len(name)
    return found


def _to_timestamp(scalars: Scalars, node: exp.Expr) -> Value:
    seconds = scalars.number(node.this)
    dtype = pl.Datetime("us", "UTC")
    micros = (seconds.expr * 1_000_000).round().cast(pl.Int64)
    return Value(micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), dtype)


def _wholes(scalars: Scalars, arguments: list[exp.Expr]) -> list[pl.Expr]:
    return [scalars.number(part).expr.cast(pl.Int32) for part in arguments]


def _make_date(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    year, month, day = _wholes(scalars, arguments)
    return Value(pl.date(year, month, day), pl.Date())


def _make_timestamp(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    whole = _wholes(scalars, arguments[:5])
    seconds = scalars.number(arguments[5]).expr.cast(pl.Float64)
    micros = (seconds * 1_000_000).round().cast(pl.Int64).cast(pl.Duration("us"))
    return Value(pl.datetime(*whole) + micros, pl.Datetime("us"))


def _make_time(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    hour, minute = _wholes(scalars, arguments[:2])
    seconds = scalars.number(arguments[2]).expr.cast(pl.Float64)
    nanos = (hour.cast(pl.Int64) * 3600 + minute.cast(pl.Int64) * 60) * 1_000_000_000
    return Value((nanos + (seconds * 1e9).round().cast(pl.Int64)).cast(pl.Time), pl.Time())


def _bin(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``date_bin(stride, instant, origin)``: the start of the stride that the instant is in."""
    stride = scalars.value(exp.Cast(this=arguments[0], to=exp.DataType.build("interval")))
    if not stride.is_interval or stride.months or not stride.literal:
        raise refuse(arguments[0], "the stride is a constant interval without months")
    value, said = scalars.value(arguments[1]), arguments[2]
    said = exp.Literal.string(said.name) if isinstance(said, exp.Var) else said
    origin = scalars.value(said)
    if origin.constant and origin.dtype == pl.String:
        origin = literal_as(origin, pl.Datetime("us"))
    dtype = pl.Datetime("us") if value.dtype == pl.Date else value.dtype
    one, two = (cast(v, dtype, strict=True).dt.epoch("us") for v in (value, origin))
    size = int(stride.expr.pipe(lambda e: pl.select(e.dt.total_microseconds())).item())
    start = two + (one - two).floordiv(size) * size
    found = start.cast(pl.Datetime("us"))
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    return Value(found.dt.replace_time_zone(zone) if zone else found, dtype)


def _read_date(scalars: Scalars, node: exp.Expr) -> Value:
    form = strftime(str(scalars.written(node.args["format"], "the format")))
    return Value(scalars.text(node.this).str.to_date(form), pl.Date())


def _read_instant(scalars: Scalars, node: exp.Expr) -> Value:
    form = strftime(str(scalars.written(node.args["format"], "the format")))
    naive = scalars.text(node.this).str.to_datetime(form, time_unit="us")
    dtype = pl.Datetime("us", "UTC")
    return Value(naive.dt.replace_time_zone("UTC"), dtype)


def _at_time_zone(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    zone = str(scalars.written(node.args["zone"], "the time zone"))
    if not isinstance(value.dtype, pl.Datetime):
        raise refuse(node, "AT TIME ZONE takes a timestamp")
    if value.dtype.time_zone is None:
        zoned = value.expr.dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
        return scalars.typed(zoned)
    return scalars.typed(value.expr.dt.convert_time_zone(zone).dt.replace_time_zone(None))


def _date(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    if value.dtype == pl.String:
        return Value(value.expr.str.to_date("%Y-%m-%d"), pl.Date())
    return Value(value.expr.dt.date() if value.dtype != pl.Date else value.expr, pl.Date())


NODES: dict[type[exp.Expr], Translator] = {
    exp.Extract: _extract,
    exp.TimestampTrunc: _truncate,
    exp.DateTrunc: _truncate,
    exp.TimeToStr: _format,
    exp.ToChar: _format,
    exp.UnixToTime: _to_timestamp,
    exp.AtTimeZone: _at_time_zone,
    exp.Date: _date,
    exp.TsOrDsToDate: _date,
    exp.StrToDate: _read_date,
    exp.StrToTime: _read_instant,
}
FUNCTIONS: dict[str, Translator] = {
    "MAKE_DATE": Call(3, 3, _make_date),
    "TIMESTAMPFROMPARTS": Call(6, 6, _make_timestamp),
    "TIMEFROMPARTS": Call(3, 3, _make_time),
    "DATEBIN": Call(3, 3, _bin),
    "DATE_BIN": Call(3, 3, _bin),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.TimestampTrunc: ("unit",),
    exp.DateTrunc: ("unit",),
    exp.TimeToStr: ("format",),
    exp.StrToDate: ("format",),
    exp.StrToTime: ("format",),
    exp.ToChar: ("format",),
    exp.AtTimeZone: ("zone",),
}
