"""Read rows out of a stream of bytes, block by block, from any offset.

    bytes  a b \\n c d e \\n f        take(2) -> rows "ab", "cde" at offset 0; next offset 7
                                     "f" waits for its newline, or is a row if the file is final

What ``take`` returns depends only on the bytes from the offset on, never on how they were read, so
that a position always brings the same rows. A line longer than ``max_line_bytes`` is taken alone,
as a dead letter, up to its first newline; so is a quoted row that does not end within that length.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import polars as pl

from penstock.connectors.files.opening import compressed, damaged, open_bytes
from penstock.connectors.files.rows import (
    DEAD_BYTES,
    Rows,
    decode_rows,
    overlong,
    row_ends,
)
from penstock.connectors.formats.contract import Block, Format
from penstock.connectors.formats.messages import newlines
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    from penstock.connectors.files.rows import Ends

BLOCK_BYTES = 8 * 1024 * 1024
"""Read at a time: about 30,000 lines, beside which what is done once for a block is little."""

BOM = b"\xef\xbb\xbf"
_NOTHING = memoryview(b"")


def _none() -> Ends:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Piece:
    """Decoded rows of one file; ``rows`` counts what was taken, good and dead."""

    frame: pl.DataFrame
    dead: pl.DataFrame | None


class LineReader:
    """Rows of one open file; the file and the format are given, the offset moves on."""

    def __init__(
        self,
        path: str,
        file: BinaryIO,
        form: Format,
        *,
        max_line_bytes: int,
        final: bool,
    ) -> None:
        self._path, self._file, self._form = path, file, form
        self._limit, self._final, self._block_bytes = max_line_bytes, final, BLOCK_BYTES
        self._buffer, self._at, self._ends = _NOTHING, 0, _none()
        self._next = 0  # index in _ends of the next row
        self._skipping: tuple[bytes, int] | None = (
            None  # an overlong line: its beginning, its start
        )
        self.offset = 0
        self.line: int | None = 1

    def begin(self, offset: int, line: int | None) -> bool:
        """Go to ``offset``, past a byte order mark and the header if they are in front of it.

        False if the header is not there yet (of a file that may grow).
        """
        start = len(BOM) if self._read(len(BOM)) == BOM else 0
        self._jump(start, 1)
        if self._form.framing.header and not self._header():
            return False
        if offset > self.offset:
            self._jump(offset, line)
        return True

    @property
    def size(self) -> int | None:
        """How many bytes there are; None of a compressed file."""
        return None if compressed(self._path) else os.fstat(self._file.fileno()).st_size

    @property
    def form(self) -> Format:
        """The format, after ``begin`` under the header of the file if it has one."""
        return self._form

    def _header(self) -> bool:
        while not self._ready() and self._fill():
            pass
        if not self._ready() and not self._final:
            return False
        stop = int(self._ends[0]) if self._ready() else len(self._buffer)
        header = bytes(self._buffer[:stop])
        if header.strip():
            self._form = self._form.with_header(header)
        self._jump(self.offset + stop, 1 + header.count(b"\n"))
        return True

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:  # each codec has a family of errors of its own
            raise damaged(self._path, error) from error

    def _read_into(self, room: memoryview) -> int:
        try:
            return self._file.readinto(room)  # type: ignore[attr-defined, no-any-return]
        except Exception as error:
            raise damaged(self._path, error) from error

    def _jump(self, offset: int, line: int | None) -> None:
        try:
            self._file.seek(offset)
        except (OSError, ValueError):  # a stream that only goes forward (zstandard)
            self._file.close()
            self._file = open_bytes(self._path)
            left = offset
            while left and (passed := self._read(min(left, self._block_bytes))):
                left -= len(passed)
        self._buffer, self._at, self._ends, self._next = _NOTHING, 0, _none(), 0
        self._skipping = None
        self.offset, self.line = offset, line

    def take(self, max_rows: int) -> Piece | None:
        """Return up to ``max_rows`` rows, or None when there is none (now, or ever if final)."""
        while True:
            if self._skipping is not None:
                return self._skip()
            if self._ready():
                return self._rows(max_rows)
            if len(self._buffer) - self._at > self._limit:
                self._skipping = (bytes(self._buffer[self._at :]), self.offset)
                self._buffer, self._at, self._ends, self._next = _NOTHING, 0, _none(), 0
            elif not self._fill():
                return self._rest()

    def _ready(self) -> bool:
        return self._next < len(self._ends)

    def _fill(self) -> bool:
        """Read on; False at the (present) end of the file."""
        begun = self._buffer[self._at :]
        room = np.empty(len(begun) + self._block_bytes, np.uint8).data
        room[: len(begun)] = begun
        more = self._read_into(room[len(begun) :])
        if more:
            self._buffer, self._at, self._next = room[: len(begun) + more], 0, 0
            self._ends = row_ends(self._buffer, self._form.framing)
        return more > 0

    def _rows(self, max_rows: int) -> Piece | None:
        """Take rows that lie in the buffer."""
        ends = self._ends[self._next : self._next + max_rows]
        lengths = np.diff(ends, prepend=self._at)
        long = np.flatnonzero(lengths > self._limit)
        if len(long):
            ends = ends[: long[0]]
        if not len(ends):
            self._skipping = (bytes(self._buffer[self._at :]), self.offset)
            self._buffer, self._at, self._ends, self._next = _NOTHING, 0, _none(), 0
            return self.take(max_rows)
        stop = int(ends[-1])
        block = self._buffer[self._at : stop]
        rows = Rows(self._path, block, ends - self._at, self.offset, self.line)
        self._next += len(ends)
        self._at = stop
        self._advance(block, len(ends) if self._form.framing.quote is None else newlines(block))
        return self._decode(rows)

    def _rest(self) -> Piece | None:
        """Take what follows the last newline, if nothing more will come."""
        block = bytes(self._buffer[self._at :])
        if not self._final or not block:
            return None
        self._buffer, self._at, self._ends, self._next = _NOTHING, 0, _none(), 0
        rows = Rows(self._path, block, np.array([len(block)]), self.offset, self.line)
        if self._form.framing.quote is not None and b"\n" in block:
            rows = self._unclosed(block)
        self._advance(rows.block, newlines(rows.block))
        return self._decode(rows)

    def _unclosed(self, block: bytes) -> Rows:
        """A quote that never closes swallowed the rest: give up its first line only."""
        stop = block.index(b"\n") + 1
        self._buffer, self._at, self._next = memoryview(block)[stop:], 0, 0
        self._ends = row_ends(self._buffer, self._form.framing)
        return Rows(self._path, block[:stop], np.array([stop]), self.offset, self.line)

    def _skip(self) -> Piece | None:
        """Pass over an overlong line up to its newline, keeping only its beginning."""
        assert self._skipping is not None
        begun, start = self._skipping
        stop = begun.find(b"\n") + 1
        length = stop or len(begun)
        rest = begun[length:]
        while stop == 0:
            more = self._read(self._block_bytes)
            if not more and not self._final:
                self._jump(start, self.line)
                return None
            if not more:
                break
            begun += more[: max(0, DEAD_BYTES - len(begun))]
            stop = more.find(b"\n") + 1
            length += stop or len(more)
            rest = more[stop or len(more) :]
        where = Rows(self._path, begun[:length].removesuffix(b"\n"), _none(), start, self.line)
        self._skipping = None
        self._buffer, self._at, self._next = memoryview(rest), 0, 0
        self._ends = row_ends(rest, self._form.framing)
        self.offset += length
        self.line = None if self.line is None else self.line + 1
        return Piece(
            self._form.schema.to_frame(), overlong(where, length, self._limit, self._form.name)
        )

    @property
    def reached(self) -> int:
        """How far the file has been read, taken or not."""
        held = self._skipping[0] if self._skipping else self._buffer[self._at :]
        return self.offset + len(held)

    def finish(self) -> None:
        """The file will not grow any more: its last line is a row without a newline too."""
        self._final = True

    def _advance(self, block: Block, lines: int) -> None:
        self.offset += len(block)
        if self.line is not None:
            self.line += lines

    def _decode(self, rows: Rows) -> Piece:
        return Piece(*decode_rows(rows, self._form))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
