"""Intervals as text: ``1 day 02:30:00`` to months and microseconds."""

from __future__ import annotations

import re

_MONTHS = {"year": 12, "month": 1, "quarter": 3, "decade": 120, "century": 1200}
_MICROS = {
    "week": 604_800_000_000,
    "day": 86_400_000_000,
    "hour": 3_600_000_000,
    "minute": 60_000_000,
    "second": 1_000_000,
    "millisecond": 1_000,
    "microsecond": 1,
}
_SHORT = {"y": "year", "yr": "year", "mon": "month", "mo": "month", "w": "week", "d": "day",
          "h": "hour", "hr": "hour", "m": "minute", "min": "minute", "s": "second",
          "sec": "second", "ms": "millisecond", "us": "microsecond"}  # fmt: skip
_PART = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([a-zA-Z]+)?\s*")
_CLOCK = re.compile(r"\s*([+-]?)(\d+):(\d+)(?::(\d+(?:\.\d+)?))?\s*")


def span(text: str, unit: str | None = None) -> tuple[int, int]:
    """Return months and microseconds; ``unit`` is that of a bare number. ``ValueError`` if unread."""
    text, back = _without_ago(text)
    months, micros, at = 0, 0.0, 0
    while at < len(text):
        clock = _CLOCK.match(text, at)
        if clock:
            sign = -1 if clock[1] == "-" else 1
            seconds = int(clock[2]) * 3600 + int(clock[3]) * 60 + float(clock[4] or 0)
            micros, at = micros + sign * seconds * 1e6, clock.end()
            continue
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(f"cannot read the interval {text!r}")
        name = _singular(part[2] or unit or "second")
        if name in _MONTHS:
            months += round(float(part[1]) * _MONTHS[name])
        elif name in _MICROS:
            micros += float(part[1]) * _MICROS[name]
        else:
            raise ValueError(f"unknown unit {part[2]!r} of an interval")
        at = part.end()
    return back * months, back * round(micros)


def _without_ago(text: str) -> tuple[str, int]:
    stripped = text.strip()
    if stripped.lower().endswith(" ago"):
        return stripped[:-4], -1
    return stripped, 1


def _singular(unit: str) -> str:
    low = unit.lower()
    low = _SHORT.get(low, low)
    low = {"centuries": "century", "mons": "month", "hrs": "hour", "mins": "minute"}.get(low, low)
    return {"secs": "second", "yrs": "year", "msec": "millisecond"}.get(low, low.removesuffix("s"))
