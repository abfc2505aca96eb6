"""Instants and durations: the one place where units are converted.

Inside the engine an instant is an ``int``: nanoseconds since 1970-01-01 UTC. User columns keep
their own type, unit and zone; a bound is converted to the column's unit, never the column to ours.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import timedelta

import polars as pl

from penstock.errors import ConfigError, PlanError

MIN_INSTANT = -(2**63)
"""The watermark before anything is known."""

MAX_INSTANT = 2**63 - 1
"""The watermark after the end: nothing will ever come."""

NS_PER_SECOND = 1_000_000_000
NS_PER_US = 1_000

_NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_SECOND,
    "m": 60 * NS_PER_SECOND,
    "h": 3_600 * NS_PER_SECOND,
    "d": 86_400 * NS_PER_SECOND,
    "w": 604_800 * NS_PER_SECOND,
}
_CALENDAR_UNITS = ("mo", "q", "y")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|mo|s|m|h|d|w|q|y)")

Duration = str | timedelta | int | float
"""A Polars duration string (``"1h30m"``), a timedelta, or a number of seconds."""


def duration_ns(value: Duration, *, step: str, option: str) -> int:
    """Return a fixed duration in nanoseconds; ``"1h30m"`` -> 5_400_000_000_000."""
    if isinstance(value, timedelta):
        return (value.days * 86_400 + value.seconds) * NS_PER_SECOND + value.microseconds * 1_000
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ConfigError(
            f"{option} is not a duration: {value!r}",
            step=step,
            hint='give a string such as "5s" or "1h30m", a timedelta, or a number of seconds',
        )
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise ConfigError(f"{option} is not a duration: {value!r}", step=step, value=value)
        return round(value * NS_PER_SECOND)
    return _parse(value, step=step, option=option)


def positive_ns(value: Duration, *, step: str, option: str) -> int:
    """Return a fixed duration in nanoseconds; ``PlanError`` unless it is longer than nothing."""
    nanoseconds = duration_ns(value, step=step, option=option)
    if nanoseconds <= 0:
        raise PlanError(f"{option} must be longer than nothing, not {value!r}", step=step)
    return nanoseconds


def _parse(text: str, *, step: str, option: str) -> int:
    negative = text.startswith("-")
    body = text.removeprefix("-")
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ConfigError(
            f"{option} is not a duration: {text!r}",
            step=step,
            hint='write a number and a unit (ns us ms s m h d w), e.g. "5s" or "1h30m"',
        )
    if any(unit in _CALENDAR_UNITS for _, unit in parts):
        raise ConfigError(
            f"{option} must be a fixed duration, {text!r} has calendar units",
            step=step,
            hint="use days or weeks instead",
        )
    total = sum(
        round(float(number) * _NS_PER_UNIT[unit.replace("µ", "u")]) for number, unit in parts
    )
    return -total if negative else total


def is_calendar(text: str) -> bool:
    """Tell whether a duration string has months, quarters or years in it."""
    return any(unit in _CALENDAR_UNITS for _, unit in _PART.findall(text))


def duration_text(nanoseconds: int) -> str:
    """Return the shortest duration string; 5_000_000_000 -> ``5s``."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        size = _NS_PER_UNIT[unit]
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns" if nanoseconds else "0s"


def is_event_time(dtype: pl.DataType) -> bool:
    """Tell whether a column of this type can be an event-time column."""
    return isinstance(dtype, (pl.Datetime, pl.Date))


def unit_ns(dtype: pl.DataType) -> int:
    """Return how many nanoseconds one physical unit of an event-time column is."""
    if isinstance(dtype, pl.Datetime):
        return _NS_PER_UNIT[dtype.time_unit]
    if isinstance(dtype, pl.Date):
        return _NS_PER_UNIT["d"]
    raise PlanError(f"not an event-time type: {dtype}", alternatives=["Datetime", "Date"])


def to_unit(instant: int, dtype: pl.DataType) -> int:
    """Convert an instant to the column's physical unit, rounding up, so ``x < bound`` is exact."""
    if instant in (MIN_INSTANT, MAX_INSTANT):
        return instant
    return -(-instant // unit_ns(dtype))


def shift(instant: int, by_ns: int) -> int:
    """Move an instant, leaving the two ends of time where they are."""
    if instant in (MIN_INSTANT, MAX_INSTANT):
        return instant
    return min(max(instant + by_ns, MIN_INSTANT + 1), MAX_INSTANT - 1)


def interval_literal(nanoseconds: int, dtype: pl.DataType) -> pl.Expr:
    """Return a Duration literal that can be added to a column of this type without changing it."""
    unit = dtype.time_unit if isinstance(dtype, pl.Datetime) else "ms"
    return pl.lit(nanoseconds // _NS_PER_UNIT[unit], pl.Int64).cast(pl.Duration(unit))


@dataclass(frozen=True, slots=True)
class Through:
    """An expression over one column that never decreases in it, through which a bound passes.

    ``ts.dt.truncate("1h")``: rows to come have ``ts >= 12:34``, and so the hour ``12:00`` or later.
    ``text`` tells equal expressions; ``slack_ns`` is what the result may be behind its input (it is
    more than ``input - slack_ns``), None where no such number is known.
    """

    column: str
    expr: pl.Expr = field(compare=False)
    text: str
    before: pl.DataType
    after: pl.DataType
    slack_ns: int | None = None
    since: int = MIN_INSTANT
    """Below this instant nothing is known of the expression."""

    def carry(self, instant: int) -> int:
        """Return the least instant that the expression may give from ``instant`` on."""
        if instant in (MIN_INSTANT, MAX_INSTANT):
            return instant
        if instant < self.since:
            return MIN_INSTANT
        # Rounded down: a window may end between two values of the column.
        value = pl.Series(self.column, [instant // unit_ns(self.before)], dtype=pl.Int64)
        try:
            found = value.cast(self.before).to_frame().select(self.expr).to_series()
            least = found.to_physical().cast(pl.Int64).item()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return MIN_INSTANT  # out of range, or a local time that is not there: nothing is known
        return MIN_INSTANT if least is None else int(least) * unit_ns(self.after)


@dataclass(frozen=True, slots=True)
class Reach:
    """What instant a column has reached when the watermark is W: no row to come has one below.

    ``W + shift_ns``, carried through each function.
    """

    shift_ns: int = 0
    through: tuple[Through, ...] = ()

    def at(self, watermark: int) -> int:
        """Return the instant that is reached at a watermark."""
        instant = shift(watermark, self.shift_ns)
        for function in self.through:
            instant = function.carry(instant)
        return instant


AT_WATERMARK = Reach()
"""The reach of an event-time column itself."""


@dataclass(frozen=True, slots=True)
class Passing:
    """When the values of a column are behind the watermark for good.

    No row still to come has ``column`` below what is reached; with ``strict`` none has it equal
    either (true of window ends: a window that ends at W is closed).
    """

    column: str
    dtype: pl.DataType
    reach: Reach
    strict: bool

    def limit(self, watermark: int) -> int:
        """Return the largest physical value that is complete at this watermark."""
        instant = self.reach.at(watermark)
        if instant in (MIN_INSTANT, MAX_INSTANT):
            return instant
        unit = unit_ns(self.dtype)
        return instant // unit if self.strict else -(-instant // unit) - 1

    def values(self, frame: pl.DataFrame) -> pl.Series:
        """Return the column's physical values."""
        return frame[self.column].to_physical().cast(pl.Int64)


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def size_bytes(value: str | int, *, step: str, option: str) -> int:
    """Return a size in bytes; ``"512MB"`` -> 512_000_000, ``"2GiB"`` -> 2_147_483_648."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(
            f"{option} is not a size: {value!r}",
            step=step,
            hint='give a number of bytes, or a string such as "512MB" or "2GiB"',
        )
    base = 1024 if match[3] else 1000
    power = " kmgt".index(match[2].lower() or " ")
    return int(float(match[1]) * base**power)
