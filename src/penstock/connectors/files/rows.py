"""Where the rows of a block of bytes end, and the decoding of such rows with their positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from penstock.columns import dead_letters
from penstock.connectors.formats.contract import Block, Format, Framing
from penstock.connectors.formats.marks import Marks
from penstock.connectors.formats.messages import split_lines
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ends = npt.NDArray[np.int64]

_NEWLINE = 10
DEAD_BYTES = 64 * 1024
"""How much of an overlong line a dead letter keeps."""


def row_ends(block: Block, framing: Framing) -> Ends:
    """Return the offset after each complete row (after its newline)."""
    data = np.frombuffer(block, np.uint8)
    quote = -1 if framing.quote is None else framing.quote[0]
    if quote < 0 or not (data == quote).any():
        return Marks(data, np.equal, _NEWLINE).places() + 1
    marks = np.flatnonzero((data == _NEWLINE) | (data == quote)).astype(np.int64)
    quotes = data[marks] == quote
    outside = (np.cumsum(quotes) & 1) == 0
    ends: Ends = marks[outside & ~quotes] + 1
    return ends


@dataclass(frozen=True, slots=True)
class Rows:
    """Complete rows of one file: ``block`` starts at byte ``offset``, in line ``line`` (from 1).

    ``ends`` are offsets in the block. ``line`` is None where lines are not counted.
    """

    path: str
    block: Block
    ends: Ends
    offset: int
    line: int | None


def decode_rows(rows: Rows, form: Format) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Decode rows: the good ones as a frame, the others as dead letters."""
    if not len(rows.ends):
        return form.schema.to_frame(), None
    frame = form.decode_block(rows.block)
    if frame is not None:
        return frame, None
    messages = _messages(rows, form.framing)
    numbers = pl.int_range(len(messages), dtype=pl.UInt32, eager=True)
    if not form.framing.blank_is_row:
        text = messages.dtype == pl.String
        blank = (messages.str.len_bytes() if text else messages.bin.size()) == 0
        if blank.any():
            messages, numbers = messages.filter(~blank), numbers.filter(~blank)
    decoded = form.decode(messages)
    if not decoded.errors.height:
        return decoded.frame, None
    index = decoded.errors["index"]
    where = positions(rows, numbers.gather(index).to_numpy())
    raw = messages.gather(index).cast(pl.Binary)
    return decoded.frame, dead_letters(form.name, where, raw, decoded.errors["reason"].to_list())


def _messages(rows: Rows, framing: Framing) -> pl.Series:
    """Cut the block into rows, without the newline (and \\r) at the end of each."""
    block = bytes(rows.block)
    if framing.quote is None or block.count(b"\n") <= len(rows.ends):
        return split_lines(block)
    starts = [0, *rows.ends[:-1].tolist()]
    cut = (block[a:b] for a, b in zip(starts, rows.ends.tolist(), strict=True))
    return pl.Series([r.removesuffix(b"\n").removesuffix(b"\r") for r in cut], dtype=pl.Binary)


def positions(rows: Rows, numbers: Ends) -> list[str]:
    """Say where rows are: ``path:line``, or ``path@offset`` where lines are not counted."""
    starts = np.concatenate(([0], rows.ends[:-1]))[numbers]
    if rows.line is None:
        return [f"{rows.path}@{place}" for place in (starts + rows.offset).tolist()]
    newlines = np.flatnonzero(np.frombuffer(rows.block, np.uint8) == _NEWLINE)
    lines = np.searchsorted(newlines, starts) + rows.line
    return [f"{rows.path}:{line}" for line in lines.tolist()]


def overlong(rows_of: Rows, length: int, limit: int, step: str) -> pl.DataFrame:
    """Return the dead letter of a line that is too long; ``rows_of.block`` is its beginning."""
    reason = f"a line of {length} bytes, more than max_line_bytes={limit}"
    where = positions(rows_of, np.zeros(1, np.int64))
    return dead_letters(step, where, [bytes(rows_of.block[:DEAD_BYTES])], [reason])
