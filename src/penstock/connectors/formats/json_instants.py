"""ISO instants, in full and in UTC, read from the bytes of a block: 0.03 us each.

2024-01-31T10:00:00.25Z   ->   words  2024-01-  31T10:00  :00.25Z   ->   year, month, day, ...
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.connectors.formats.json_index import WORD, Index
from penstock.connectors.formats.json_values import digits
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    from penstock.connectors.formats.json_index import Flags, Numbers, Places, Words

_SHAPE = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z?")
_WHOLE = len("2024-01-31T10:00:00")
_DECIMALS = {"ms": 3, "us": 6, "ns": 9}
_NANOSECOND_YEARS = (1678, 2262)
"""The first whole year that 64 bits of nanoseconds hold, and the first that they do not."""


def spelling(index: Index, starts: Places, ends: Places) -> bytes | None:
    """Return the first instant with zeros for digits, if that may be how all are written."""
    if not len(starts):
        return None
    example = index.between(starts[0], ends[0])
    if _SHAPE.fullmatch(example) is None or not (ends - starts == len(example)).all():
        return None
    return re.sub(rb"[0-9]", b"0", example)


def instants(index: Index, starts: Places, ends: Places, unit: str) -> tuple[Numbers, Flags]:
    """Read instants of one ``spelling`` as units since 1970."""
    spelt = index.between(starts[0], ends[0])
    date, good = _digits_of(index, starts, spelt, 0)
    clock, also = _digits_of(index, starts, spelt, WORD)
    second, too = _digits_of(index, starts, spelt[: _WHOLE + 1], 2 * WORD)
    good &= also & too
    days, known = _days(date, _pair(clock, 0), unit)
    hour, minute, seconds = _pair(clock, 3), _pair(clock, 6), _pair(second, 1)
    good &= known & (hour < 24) & (minute < 60) & (seconds < 60)
    total = (((days * 24 + hour) * 60 + minute) * 60 + seconds) * 10 ** _DECIMALS[unit]
    if spelt.endswith(b"Z"):
        good &= index.byte(ends - 1) == ord("Z")
    count = len(spelt.rstrip(b"Z")) - _WHOLE - 1
    if count > 0:
        begin = starts + _WHOLE + 1
        fraction, right = digits(index, begin, begin + count)
        good &= right
        over = count - _DECIMALS[unit]
        total += fraction // 10**over if over > 0 else fraction * 10**-over
    return total, good


def _digits_of(index: Index, starts: Places, spelt: bytes, at: int) -> tuple[Words, Flags]:
    """Return the digits of a word, and where it is spelt like that: zeros for what is no digit."""
    part = spelt[at : at + WORD]
    numeral = [byte in b"0123456789" for byte in part]
    as_zero = bytes(ord("0") if n else byte for n, byte in zip(numeral, part, strict=True))
    limit = bytes(0x76 if n else 0x7F for n in numeral)  # lifts what is above 9, above 0, to 128
    counted = b"\xff" * len(part)
    zero, lift, mask = (np.uint64(int.from_bytes(b, "little")) for b in (as_zero, limit, counted))
    found = (index.word(starts, at) ^ zero) & mask
    high = np.uint64(0x8080808080808080)
    good: Flags = ((found + lift) | found) & high == 0
    return found, good


def _pair(words: Words, at: int) -> Numbers:
    """Return the two digits in the bytes ``at`` and behind it as a number."""
    tens = (words >> np.uint64(8 * at)) & np.uint64(255)
    ones = (words >> np.uint64(8 * at + 8)) & np.uint64(255)
    return (tens * np.uint64(10) + ones).astype(np.int64)


def _days(date: Words, day: Numbers, unit: str) -> tuple[Numbers, Flags]:
    """Count the days since 1970, and tell which days there are."""
    same = bool((date == date[0]).all())  # as a rule: then one month is looked up
    some = date[:1] if same else date
    year, month = _pair(some, 0) * 100 + _pair(some, 2), _pair(some, 5)
    months = (year - 1970) * 12 + month - 1
    begin = _first_days(months)
    sound = (month >= 1) & (month <= 12) & (year > 0)
    if unit == "ns":
        sound &= (year >= _NANOSECOND_YEARS[0]) & (year < _NANOSECOND_YEARS[1])
    good = sound & (day >= 1) & (day <= _first_days(months + 1) - begin)
    return begin + day - 1, good


def _first_days(months: Numbers) -> Numbers:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
