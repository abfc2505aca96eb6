"""ISO instants in full and in UTC, as programs write them: two ways faster than that for any spelling.

    2024-01-31T10:00:00.25Z   ->   seconds by an exact format, the digits behind the point by NumPy

Measured: many texts that are all alike take 0.06 us each, against 0.3 us. A few are read in Python:
ten take 0.02 ms, against 0.4 ms for the start of so many queries.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import polars as pl

from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from polars._typing import TimeUnit

_SHAPE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]{1,9}))?Z?"
)
_WHOLE = len("2024-01-31T10:00:00")
FEW = 128
"""Texts up to which they are read one by one in Python."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
_DECIMALS = {"ms": 3, "us": 6, "ns": 9}
_NANOSECOND_YEARS = ("1678", "2262")
"""The first whole year that 64 bits of nanoseconds hold, and the first that they do not."""


def few_iso(text: pl.Series, unit: TimeUnit) -> pl.Series | None:
    """Read a few texts without nulls as UTC; None unless all are in full, and right."""
    kept = _DECIMALS[unit]
    instants = []
    for one in text.to_list():
        shape = _SHAPE.fullmatch(one)
        if shape is None or (unit == "ns" and not _held(one)):
            return None
        try:
            seconds = (dt.datetime.fromisoformat(one[:_WHOLE] + "Z") - _EPOCH) // _SECOND
        except ValueError:
            return None
        fraction = (shape[1] or "0")[:kept].ljust(kept, "0")
        instants.append(seconds * 10**kept + int(fraction))
    return pl.Series(text.name, instants, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))


def _held(text: str) -> bool:
    first, beyond = _NANOSECOND_YEARS
    return first <= text < beyond


def uniform_iso(text: pl.Series, unit: TimeUnit) -> pl.Series | None:
    """Read texts without nulls as UTC; None unless all are written like the first, and right."""
    shape = _SHAPE.fullmatch(text[0]) if len(text) else None
    if shape is None or not (text.str.len_bytes() == shape.end()).all():
        return None
    digits = _digits(text, shape.end())
    if digits is None or (unit == "ns" and not _held_by_nanoseconds(text)):
        return None
    exact = f"%Y-%m-%d{shape[0][10]}%H:%M:%S"
    parsed: TimeUnit = "us" if unit == "ns" else unit
    seconds = text.str.slice(0, _WHOLE).str.to_datetime(exact, time_unit=parsed, strict=False)
    if seconds.null_count():
        return None
    instants = seconds.cast(pl.Int64).to_numpy() * (1000 if unit == "ns" else 1)
    if shape[1]:
        instants += _fractions(digits[:, _WHOLE + 1 :], len(shape[1]), _DECIMALS[unit])
    return pl.Series(text.name, instants).cast(pl.Datetime(unit, "UTC"))


def _digits(text: pl.Series, width: int) -> npt.NDArray[np.uint8] | None:
    """Return each text as a row of digits, 0 between them; None unless all are like the first."""
    rows = pl.Array(pl.UInt8, width)
    written = text.cast(pl.Binary).bin.reinterpret(dtype=rows).to_numpy()
    first = written[0]
    numeral = (first >= ord("0")) & (first <= ord("9"))
    digits: npt.NDArray[np.uint8] = written - np.where(numeral, ord("0"), first).astype(np.uint8)
    largest = np.where(numeral, 9, 0).astype(np.uint8)
    return digits if (digits <= largest).all() else None


def _fractions(digits: npt.NDArray[np.uint8], count: int, kept: int) -> npt.NDArray[np.int64]:
    """Return what ``count`` digits behind the point are in units of ``kept`` digits, cut off."""
    total = np.zeros(len(digits), np.int64)
    for place in range(min(count, kept)):
        total += digits[:, place].astype(np.int64) * 10 ** (kept - 1 - place)
    return total


def _held_by_nanoseconds(text: pl.Series) -> bool:
    first, beyond = _NANOSECOND_YEARS
    return bool(((text >= first) & (text < beyond)).all())
