"""Functions on instants: parts, truncation, formats."""

from __future__ import annotations

import re

import polars as pl
from sqlglot import exp

from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.instant_parts import part
from penstock.sql_plan.number_formats import number_text, text_number
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.span_functions import part_of_span, singular, truncated_span
from penstock.sql_plan.time_formats import read, written
from penstock.sql_plan.values import Value

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
        return part_of_span(node, value, unit)
    return part(node, value, unit)


def _truncate(scalars: Scalars, node: exp.Expr) -> Value:
    unit = singular(node.args["unit"].name.lower())
    value = scalars.value(node.this)
    if value.is_interval:
        return truncated_span(node, value, unit)
    if unit not in _UNITS and unit not in _YEARS:
        raise refuse(node, f"unknown unit {unit!r}")
    expr = value.expr.cast(pl.Datetime("us")) if value.dtype == pl.Date else value.expr
    dtype = pl.Datetime("us") if value.dtype == pl.Date else value.dtype
    zone = scalars.written(node.args.get("zone"), "the time zone")
    if zone is None:
        return Value(_cut(expr, unit), dtype)
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        raise refuse(node, "a time zone is for timestamps with time zone")
    there = _cut(expr.dt.convert_time_zone(str(zone)), unit)
    return Value(there.dt.convert_time_zone(dtype.time_zone), dtype)


_YEARS = {"decade": (10, 0), "century": (100, 1), "millennium": (1000, 1)}
"""Years of a unit, and the year it begins with."""


def _cut(moment: pl.Expr, unit: str) -> pl.Expr:
    if unit in _UNITS:
        return moment.dt.truncate(_UNITS[unit])
    size, first = _YEARS[unit]
    year = moment.dt.year() - first
    back = (year % size).cast(pl.String)
    return moment.dt.truncate("1y").dt.offset_by(pl.concat_str([pl.lit("-"), back, pl.lit("y")]))


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


def _to_char(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    value = scalars.value(arguments[0])
    template = scalars.written(arguments[1], "the template")
    if template is None or value.dtype == pl.Null:
        return Value(pl.lit(None, dtype=pl.String), pl.String())
    if value.dtype.is_numeric():
        return Value(number_text(arguments[1], value, str(template)), pl.String())
    if value.has_months or not value.dtype.is_temporal():
        raise refuse(arguments[0], "to_char takes a number, an instant, or an interval of days")
    return Value(written(arguments[1], value, str(template)), pl.String())


def _to_date(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    template = str(scalars.written(arguments[1], "the template"))
    moment = read(arguments[1], scalars.text(arguments[0]), template)
    return Value(moment.dt.date(), pl.Date())


def _to_moment(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    if len(arguments) == 1:
        return _to_timestamp(scalars, exp.UnixToTime(this=arguments[0]))
    template = str(scalars.written(arguments[1], "the template"))
    moment = read(arguments[1], scalars.text(arguments[0]), template)
    return Value(moment.dt.replace_time_zone("UTC"), pl.Datetime("us", "UTC"))


def _to_number(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    template = str(scalars.written(arguments[1], "the template"))
    return text_number(arguments[1], scalars.text(arguments[0]), template)


def _finite(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """There are no infinite instants here."""
    value = scalars.value(arguments[0])
    if not value.dtype.is_temporal():
        raise refuse(arguments[0], f"an instant or an interval is needed, not {value.dtype}")
    return Value(pl.when(value.expr.is_not_null()).then(pl.lit(value=True)), pl.Boolean())


def _timezone(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return scalars.value(exp.AtTimeZone(this=arguments[1], zone=arguments[0]))


def _make_zoned(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    zone = str(scalars.written(arguments[6], "the time zone")) if len(arguments) > 6 else "UTC"
    moment = _make_timestamp(scalars, arguments[:6]).expr.dt.replace_time_zone(zone)
    return Value(moment.dt.convert_time_zone("UTC"), pl.Datetime("us", "UTC"))


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
    exp.UnixToTime: _to_timestamp,
    exp.AtTimeZone: _at_time_zone,
    exp.Date: _date,
    exp.TsOrDsToDate: _date,
    exp.StrToDate: _read_date,
    exp.StrToTime: _read_instant,
}
FUNCTIONS: dict[str, Translator] = {
    "TO_CHAR": Call(2, 2, _to_char),
    "TO_DATE": Call(2, 2, _to_date),
    "TO_TIMESTAMP": Call(1, 2, _to_moment),
    "TO_NUMBER": Call(2, 2, _to_number),
    "ISFINITE": Call(1, 1, _finite),
    "TIMEZONE": Call(2, 2, _timezone),
    "MAKE_TIMESTAMPTZ": Call(6, 7, _make_zoned),
    "MAKE_DATE": Call(3, 3, _make_date),
    "TIMESTAMPFROMPARTS": Call(6, 6, _make_timestamp),
    "TIMEFROMPARTS": Call(3, 3, _make_time),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.TimestampTrunc: ("unit", "zone"),
    exp.DateTrunc: ("unit", "zone"),
    exp.TimeToStr: ("format",),
    exp.StrToDate: ("format",),
    exp.StrToTime: ("format",),
    exp.AtTimeZone: ("zone",),
}
