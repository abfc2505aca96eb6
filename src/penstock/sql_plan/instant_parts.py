"""The fields of an instant as numbers, as ``extract`` and ``date_part`` give them."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.span_functions import singular
from penstock.sql_plan.types import sql_type
from penstock.sql_plan.values import Value, ratio

_JULIAN = 2_440_588
"""The Julian day of 1970-01-01."""
_INT = pl.Int32()


def _years(size: int, before: int) -> Callable[[pl.Expr], pl.Expr]:
    return lambda e: (e.dt.year() + before) // size


_FIELDS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "year": lambda e: e.dt.year(),
    "isoyear": lambda e: e.dt.iso_year(),
    "quarter": lambda e: e.dt.quarter(),
    "month": lambda e: e.dt.month(),
    "week": lambda e: e.dt.week(),
    "day": lambda e: e.dt.day(),
    "hour": lambda e: e.dt.hour(),
    "minute": lambda e: e.dt.minute(),
    "decade": _years(10, 0),
    "century": _years(100, 99),
    "millennium": _years(1000, 999),
    "dow": lambda e: e.dt.weekday() % 7,
    "dayofweek": lambda e: e.dt.weekday() % 7,
    "isodow": lambda e: e.dt.weekday(),
    "doy": lambda e: e.dt.ordinal_day(),
    "dayofyear": lambda e: e.dt.ordinal_day(),
}


def part(node: exp.Expr, value: Value, unit: str) -> Value:
    """Return a field of an instant as a number."""
    unit = singular(unit)
    if not value.dtype.is_temporal():
        raise refuse(
            node, f"an instant is needed, not {sql_type(value.dtype)}", hint="cast it: x::timestamp"
        )
    if unit in _FIELDS:
        return Value(_FIELDS[unit](value.expr).cast(_INT), _INT)
    special = _SPECIAL.get(unit)
    if special is None:
        raise refuse(
            node, f"unknown field {unit!r}", hint=f"one of {', '.join([*_FIELDS, *_SPECIAL])}"
        )
    return special(node, value)


def _epoch(_: exp.Expr, value: Value) -> Value:
    if value.dtype == pl.Time:
        micros = value.expr.to_physical() // 1000
    else:
        micros = value.expr.cast(pl.Datetime("us")).dt.epoch("us")
    return Value(ratio(micros.cast(pl.Float64), pl.lit(1e6)), pl.Float64())


def _second(_: exp.Expr, value: Value) -> Value:
    dt = value.expr.dt
    seconds = dt.second() + ratio(dt.nanosecond().cast(pl.Float64), pl.lit(1e9))
    return Value(seconds.cast(pl.Decimal(10, 6)), pl.Decimal(10, 6))


def _microsecond(_: exp.Expr, value: Value) -> Value:
    dt = value.expr.dt
    micros = dt.second().cast(pl.Int64) * 1_000_000 + dt.microsecond()
    return Value(micros.cast(pl.Int64), pl.Int64())


def _millisecond(node: exp.Expr, value: Value) -> Value:
    micros = _microsecond(node, value).expr
    return Value(ratio(micros.cast(pl.Float64), pl.lit(1e3)), pl.Float64())


def _julian(_: exp.Expr, value: Value) -> Value:
    moment = value.expr.cast(pl.Datetime("us"))
    days = ratio(moment.dt.epoch("us").cast(pl.Float64), pl.lit(86_400e6))
    return Value(days + _JULIAN, pl.Float64())


def _zone(node: exp.Expr, value: Value) -> Value:
    """Instants are kept in UTC."""
    if not isinstance(value.dtype, pl.Datetime) or value.dtype.time_zone is None:
        raise refuse(node, "only a timestamp with time zone has a time zone")
    return Value(pl.when(value.expr.is_not_null()).then(pl.lit(0, dtype=_INT)), _INT)


_SPECIAL: dict[str, Callable[[exp.Expr, Value], Value]] = {
    "epoch": _epoch,
    "second": _second,
    "millisecond": _millisecond,
    "microsecond": _microsecond,
    "julian": _julian,
    "timezone": _zone,
    "timezone_hour": _zone,
    "timezone_minute": _zone,
}
