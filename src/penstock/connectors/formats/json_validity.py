"""Which messages are JSON objects, and which are not and why."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import polars as pl

from penstock.connectors.formats.contract import errors_table
from penstock.connectors.formats.json_few import FAULTS
from penstock.connectors.formats.messages import join_lines
from penstock.deferred import numpy as np

CAREFUL_SLICE = 4096
"""A batch that holds a bad message is read in slices, so that only some pay for finding it."""

_SHORT_LINE = 1000
"""Bytes of a line in which nothing can be nested as deeply as msgspec refuses (1,000 levels)."""

_NEWLINE, _BRACE = b"\n{"


class _Object(msgspec.Struct):
    """Any JSON object: validates, keeps nothing."""


_VALID = msgspec.json.Decoder(_Object)


def valid(block: bytes, lines: int) -> bool:
    """Tell whether a block is as many objects as it has lines."""
    try:
        return len(_VALID.decode_lines(block)) == lines
    except FAULTS:
        return False


def reader_is_strict(block: bytes) -> bool:
    """Tell whether Polars' reader refuses all that is not one object on each line.

    It is lax about what does not begin with a brace, about escapes (half a surrogate pair), and
    about nesting, which has no room to be too deep in short lines.
    """
    if b"\\" in block or not block.startswith(b"{"):
        return False
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data[:-1] == _NEWLINE)
    starts = np.concatenate(([0], ends + 1))
    longest = int(np.diff(starts, append=len(data)).max())
    return longest <= _SHORT_LINE and bool((data[starts] == _BRACE).all())


def invalid(text: pl.Series) -> pl.DataFrame:
    """Return the errors of what is not one JSON object; nulls are reported elsewhere."""
    found = [errors_table([], [])]
    for start in range(0, len(text), CAREFUL_SLICE):
        part = text.slice(start, CAREFUL_SLICE)
        if not _all_valid(part):
            bad = faulty(part, lambda message: why_refused(_VALID.decode, message))
            found.append(bad.with_columns(pl.col("index") + pl.lit(start, pl.UInt32)))
    return pl.concat(found)


def _all_valid(text: pl.Series) -> bool:
    if text.null_count() or _spans_lines(text):
        return False
    return valid(join_lines(text), len(text))


def _spans_lines(text: pl.Series) -> bool:
    return bool(text.str.contains("\n", literal=True).any())


def one_line_each(text: pl.Series) -> pl.Series:
    """Replace newlines, which in valid JSON stand between tokens only, by blanks."""
    return text.str.replace_all("\n", " ", literal=True) if _spans_lines(text) else text


def faulty(text: pl.Series, fault: Callable[[str], str | None]) -> pl.DataFrame:
    """Return the errors that ``fault`` finds, message by message."""
    index, reasons = [], []
    for i, message in enumerate(text.to_list()):
        reason = None if message is None else fault(message)
        if reason is not None:
            index.append(i)
            reasons.append(reason)
    return errors_table(index, reasons)


def why_refused(decode: Callable[[str], object], message: str) -> str | None:
    """Say why a decoder refuses a message; None if it takes it."""
    try:
        decode(message)
    except RecursionError:
        return "nested too deeply"
    except msgspec.DecodeError as error:
        return str(error)
    return None
