"""Cutting a byte stream into whole lines, in blocks rather than one by one.

    chunk 1  b"a\\nb\\nc"   ->  Block(line 1, b"a\\nb\\n", 2 lines);  keeps b"c"
    chunk 2  b"d\\n"        ->  Block(line 3, b"cd\\n", 1 line)

A line longer than the limit becomes a `LongLine`: its beginning and its length; nothing more of it
is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

HEAD_BYTES = 64 << 10
"""How much of a line that is too long goes to the dead letters."""
_NEWLINE = 10


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of one connection, each with its newline."""

    peer: str
    first_line: int  # counted from 1
    data: bytes
    lines: int


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was too long, or broke off."""

    peer: str
    line: int
    head: bytes
    reason: str
    lines: int = 1


Piece = Block | LongLine


class LineCutter:
    """Keeps the unfinished last line of one connection."""

    def __init__(self, peer: str, max_line_bytes: int) -> None:
        self._peer = peer
        self._limit = max_line_bytes
        self._partial: list[bytes] = []
        self._next_line = 1
        self._dropped = 0  # bytes of a too long line that are not kept
        self.held_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Take bytes; bring the lines that are whole now."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._keep(chunk)
            return
        if self._dropped:
            cut = chunk.index(b"\n") + 1
            self._dropped += cut - 1
            yield self._too_long()
            data = chunk[cut:end]
        else:
            data = b"".join((*self._partial, chunk[:end])) if self._partial else chunk[:end]
        self._partial, self.held_bytes = [], 0
        yield from self._blocks(data)
        self._keep(chunk[end:])

    def finish(self) -> Iterator[Piece]:
        """The peer has closed in good order: what is left is a line."""
        if self._dropped:
            yield self._too_long()
        elif self.held_bytes:
            yield from self._blocks(b"".join(self._partial) + b"\n")
        self._partial, self.held_bytes = [], 0

    def abandon(self, reason: str) -> Iterator[Piece]:
        """The connection is lost: what is left is not a line."""
        if self.held_bytes:
            head = b"".join(self._partial)[:HEAD_BYTES]
            yield LongLine(self._peer, self._next_line, head, reason)
        self._partial, self.held_bytes = [], 0

    def _keep(self, rest: bytes) -> None:
        if self._dropped:
            self._dropped += len(rest)
        elif rest:
            self._partial.append(rest)
            self.held_bytes += len(rest)
            if self.held_bytes > self._limit:
                head = b"".join(self._partial)[:HEAD_BYTES]
                self._dropped = self.held_bytes
                self._partial, self.held_bytes = [head], len(head)

    def _too_long(self) -> LongLine:
        length, self._dropped = self._dropped, 0
        head = self._partial[0]
        self._partial, self.held_bytes = [], 0
        return self._long(head, length)

    def _long(self, head: bytes, length: int) -> LongLine:
        line = self._next_line
        self._next_line += 1
        reason = f"the line has {length} bytes, more than {self._limit}"
        return LongLine(self._peer, line, head[:HEAD_BYTES], reason)

    def _blocks(self, data: bytes) -> Iterator[Piece]:
        if len(data) <= self._limit:
            if data:
                yield self._block(data, data.count(b"\n"))
            return
        ends = newlines(data) + 1
        starts = np.concatenate(([0], ends[:-1]))
        begin, first = 0, 0
        for long in np.flatnonzero(ends - 1 - starts > self._limit).tolist():
            start, end = int(starts[long]), int(ends[long])
            if start > begin:
                yield self._block(data[begin:start], long - first)
            yield self._long(data[start : min(start + HEAD_BYTES, end - 1)], end - 1 - start)
            begin, first = end, long + 1
        if begin < len(data):
            yield self._block(data[begin:], len(ends) - first)

    def _block(self, data: bytes, lines: int) -> Block:
        first, self._next_line = self._next_line, self._next_line + lines
        return Block(self._peer, first, data, lines)


class LineQueue:
    """Pieces that wait to be handed over, in order of arrival."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()
        self.lines = 0

    def put(self, pieces: Iterator[Piece]) -> None:
        """Add pieces."""
        for piece in pieces:
            self._pieces.append(piece)
            self.lines += piece.lines

    def take(self, max_lines: int) -> list[Piece]:
        """Remove up to ``max_lines`` lines from the front."""
        taken: list[Piece] = []
        room = max_lines
        while self._pieces and room > 0:
            piece = self._pieces.popleft()
            if isinstance(piece, Block) and piece.lines > room:
                piece, rest = _split(piece, room)
                self._pieces.appendleft(rest)
            taken.append(piece)
            room -= piece.lines
        self.lines -= max_lines - room
        return taken


def newlines(data: bytes) -> npt.NDArray[np.int64]:
    """Return where the newlines of ``data`` are."""
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE)


def _split(block: Block, lines: int) -> tuple[Block, Block]:
    cut = int(newlines(block.data)[lines - 1]) + 1
    front = Block(block.peer, block.first_line, block.data[:cut], lines)
    rest = Block(block.peer, block.first_line + lines, block.data[cut:], block.lines - lines)
    return front, rest
