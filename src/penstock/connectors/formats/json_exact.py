"""Where the fast JSON reader is not exact: decimals of many digits, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import polars as pl

_LONG = r"[0-9.]{17}"
"""A 64-bit float gives back 15 significant digits unchanged; longer integers are read exactly."""

_LARGEST = 2**128
"""Polars' reader refuses integers from here on, and as far below zero, in any key."""


def loads_first(message: str) -> dict[str, Any]:
    """Parse an object; of a repeated key the first counts, as in the fast reader."""
    row = json.loads(
        message, object_pairs_hook=_first_wins, parse_float=_finite, parse_int=_representable
    )
    assert isinstance(row, dict)
    return row


def long_number(block: bytes) -> bool:
    """Tell whether some number may have more digits than a float gives back unchanged."""
    return re.search(_LONG.encode(), block) is not None


def exact_decimals(wire: pl.DataFrame, columns: Sequence[str], text: pl.Series) -> pl.DataFrame:
    """Take long decimals from the message itself instead of from the float they were read as."""
    if not columns:
        return wire
    long = text.str.contains(_LONG).arg_true()
    if not len(long):
        return wire
    rows = [_spelled(message) for message in text.gather(long)]
    for name in columns:
        read = zip(rows, wire[name].gather(long), strict=True)
        exact = [row[name] if isinstance(row.get(name), str) else seen for row, seen in read]
        wire = wire.with_columns(wire[name].scatter(long, pl.Series(exact, dtype=pl.String)))
    return wire


def _spelled(message: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(
        message, object_pairs_hook=_first_wins, parse_float=str, parse_int=str
    )
    return row


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _finite(literal: str) -> float:
    value = float(literal)
    if value in (float("inf"), float("-inf")):
        raise OverflowError(f"number out of range: {literal:.80}")
    return value


def _representable(literal: str) -> int:
    # The length goes first: Python itself refuses to read integers of thousands of digits.
    if len(literal) > len(str(_LARGEST)) or not -_LARGEST // 2 <= int(literal) < _LARGEST:
        raise OverflowError(f"number out of range: {literal:.80}")
    return int(literal)
