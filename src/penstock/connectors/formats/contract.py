"""What every format owes: a batch of messages becomes rows; a bad message never raises.

    messages (Series of Binary or String)      Decoded
    ------------------------------------  ->   ----------------------------------------
    0  b'{"n": 1}'                             frame   n=1, n=3   (good rows, in order)
    1  b'{"n": '                               kept    [0, 2]     (None: every message)
    2  b'{"n": 3}'                             errors  index=1, reason="truncated ..."

Two promises hold for each format. A message decodes to the same row whatever its neighbours are, so
batches may be cut anywhere. And ``decode_block`` gives exactly what ``decode`` gives for the lines
of the block, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, Self, runtime_checkable

import polars as pl

from penstock.deferred import numpy as np

ERRORS_SCHEMA = pl.Schema({"index": pl.UInt32, "reason": pl.String})


Block = bytes | memoryview
"""Lines of a file: a view of what was read, so that they need not be copied to be decoded."""


@cache
def no_errors() -> pl.DataFrame:
    """Return the empty table of errors."""
    return pl.DataFrame(schema=ERRORS_SCHEMA)


def errors_table(
    index: Sequence[int] | pl.Series, reason: Sequence[str] | pl.Series
) -> pl.DataFrame:
    """Build the table of errors from parallel sequences."""
    return pl.DataFrame({"index": index, "reason": reason}, schema_overrides=dict(ERRORS_SCHEMA))


@dataclass(frozen=True, slots=True)
class Decoded:
    """Rows of the good messages, and why the others were refused.

    ``frame`` has the format's schema. ``kept`` holds the index of the message behind each row
    (UInt32, ascending), None if every message gave a row. ``errors`` has one row per refused
    message: ``index`` (UInt32, ascending), ``reason`` (String).
    """

    frame: pl.DataFrame
    kept: pl.Series | None = None
    errors: pl.DataFrame = field(default_factory=no_errors)


@dataclass(frozen=True, slots=True)
class Framing:
    """How messages lie in a file: one a line, unless a quoted newline goes on with the message.

    ``quote``: the byte between an odd and an even occurrence of which newlines do not count.
    ``header``: the first line of each file names the columns. ``blank_is_row``: an empty line is a
    message; otherwise it is passed over.
    """

    quote: bytes | None = None
    header: bool = False
    blank_is_row: bool = False


LINES = Framing()
"""One message a line; blank lines are passed over."""


@runtime_checkable
class Format(Protocol):
    """A frozen, comparable description of how one message becomes one row."""

    @property
    def name(self) -> str:
        """Name in URLs, plans and dead letters, e.g. ``combined_log``."""

    @property
    def schema(self) -> pl.Schema:
        """Columns of every decoded frame."""

    @property
    def framing(self) -> Framing:
        """How the messages of this format lie in a file."""

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one message per element (Binary or String). Never raises for bad messages."""

    def decode_block(self, block: Block) -> pl.DataFrame | None:
        """Decode whole lines at once, if that is faster, all are good and none blank; else None."""

    def with_header(self, line: bytes) -> Format:
        """Return the format for rows under this header line (itself if there are no headers)."""


class LineByLine:
    """Base of formats whose messages are lines, and that gain nothing from a block at once."""

    __slots__ = ()

    @property
    def framing(self) -> Framing:
        """One message a line."""
        return LINES

    def with_header(self, line: bytes) -> Self:  # noqa: ARG002 - there are no headers
        """Return itself."""
        return self

    def decode_block(self, block: Block) -> pl.DataFrame | None:  # noqa: ARG002
        """Leave it to ``decode``."""
        return None


def verdict(frame: pl.DataFrame, errors: Sequence[pl.DataFrame], height: int) -> Decoded:
    """Drop from ``frame`` (one row per message) what ``errors`` name; the first reason counts."""
    found = [table for table in errors if table.height]
    if not found:
        return Decoded(frame)
    table = pl.concat(found).unique("index", keep="first", maintain_order=True).sort("index")
    good = _others(table["index"], height)
    return Decoded(frame.filter(good), good.arg_true().cast(pl.UInt32), table)


def kept_without(dropped: pl.Series, height: int) -> pl.Series:
    """Return the indices below ``height`` that are not in ``dropped``."""
    return _others(dropped, height).arg_true().cast(pl.UInt32)


def _others(dropped: pl.Series, height: int) -> pl.Series:
    others = np.ones(height, bool)
    others[dropped.to_numpy()] = False
    return pl.Series(others)


def within(inner: Decoded, kept: pl.Series, bad: pl.DataFrame) -> Decoded:
    """Express what was decoded of the ``kept`` messages in terms of all of them."""
    errors = inner.errors.with_columns(kept[inner.errors["index"]].alias("index"))
    still = kept if inner.kept is None else kept[inner.kept]
    return Decoded(inner.frame, still, pl.concat([bad, errors]).sort("index"))
