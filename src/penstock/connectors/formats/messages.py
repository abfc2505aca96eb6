"""Messages as text: cast, check UTF-8, join into one block."""

from __future__ import annotations

import io

import polars as pl

from penstock.connectors.formats.contract import Block, errors_table, no_errors
from penstock.deferred import numpy as np

NOT_UTF8 = "not valid UTF-8"
NO_MESSAGE = "no message (null)"
_NEWLINE, _NOT_ASCII = 10, 128
_LOOKED_AT_BY_NUMPY = 4096
"""Bytes from which on a call of NumPy costs less than it saves."""


def as_text(messages: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Return the messages as String (null where that fails) and the errors of those that fail."""
    text = messages if messages.dtype == pl.String else _decoded(messages)
    if not text.null_count():
        return text, no_errors()
    index = text.is_null().arg_true().cast(pl.UInt32)
    gone = messages.is_null()[index]
    reasons = pl.select(
        pl.when(gone).then(pl.lit(NO_MESSAGE)).otherwise(pl.lit(NOT_UTF8))
    ).to_series()
    return text, errors_table(index, reasons)


def _decoded(messages: pl.Series) -> pl.Series:
    try:
        return messages.cast(pl.String)
    except pl.exceptions.ComputeError:  # one bad message fails the whole cast, strict or not
        decoded = [_utf8(message) for message in messages.to_list()]
        return pl.Series(messages.name, decoded, dtype=pl.String)


def _utf8(message: bytes | None) -> str | None:
    try:
        return None if message is None else message.decode()
    except UnicodeDecodeError:
        return None


def join_lines(text: pl.Series) -> bytes:
    """Return the messages as one block, each with a newline after it. None may hold a newline."""
    out = io.BytesIO()
    text.to_frame().write_csv(out, include_header=False, quote_style="never", null_value="")
    return out.getvalue()


def is_utf8(block: Block) -> bool:
    """Tell whether a block is valid UTF-8."""
    if len(block) >= _LOOKED_AT_BY_NUMPY and np.frombuffer(block, np.uint8).max() < _NOT_ASCII:
        return True  # found without holding Python's lock
    try:
        return bytes(block).isascii() or bytes(block).decode() is not None
    except UnicodeDecodeError:
        return False


def newlines(block: Block) -> int:
    """Count the newlines: ``bytes.count`` takes five times as long for a large block."""
    if len(block) < _LOOKED_AT_BY_NUMPY:
        return bytes(block).count(b"\n")
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == _NEWLINE))


def split_lines(block: bytes) -> pl.Series:
    """Cut a block at its newlines: String, or Binary where it is not UTF-8; no trailing \\r."""
    try:
        return pl.read_lines(block).to_series()
    except pl.exceptions.ComputeError:  # not UTF-8: which lines are, decode() will tell
        lines = block.removesuffix(b"\n").split(b"\n")
        return pl.Series("line", [line.removesuffix(b"\r") for line in lines], dtype=pl.Binary)
