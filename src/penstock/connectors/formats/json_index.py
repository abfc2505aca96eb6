"""Where the lines and quotes of a block are, and what is written at many places at once.

{"a":1}\\n{"b":"x"}\\n   ->   starts 0, 8   ends 7, 17   counts 2, 4 (quotes of each line)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.connectors.formats.json_shapes import LONGEST_TEXT
from penstock.connectors.formats.marks import Marks
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from penstock.connectors.formats.contract import Block

    Numbers = npt.NDArray[np.int64]
    Places = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint64]
    Flags = npt.NDArray[np.bool_]

WORD = 8
"""Bytes that are looked at together."""

_BEFORE, _BEHIND = 2 * WORD, 2 * LONGEST_TEXT + WORD
"""Zeros around a block: numbers are read from their ends backwards; a text that would stand beyond
the block, or (as indices wrap around) up to its length before it, is not there by chance."""

_NEWLINE, _QUOTE, _BACKSLASH, _BLANK = b'\n"\\ '


class Index:
    """The lines of a block of UTF-8, the last perhaps without a newline."""

    def __init__(self, block: Block) -> None:
        size = len(block)
        padded = np.empty(_BEFORE + size + _BEHIND, np.uint8)
        padded[:_BEFORE] = 0
        padded[_BEFORE + size :] = 0
        data = padded[_BEFORE : _BEFORE + size]
        data[:] = np.frombuffer(block, np.uint8)
        self._bytes, self._data = padded[_BEFORE:], data
        self._words = np.ndarray((len(padded) - WORD + 1,), "<u8", padded, 0, (1,))
        low = Marks(data, np.less, _BLANK).places()
        newline = data[low] == _NEWLINE
        newlines = low if newline.all() else low[newline]
        closed = size > 0 and data[-1] == _NEWLINE
        self.ends = newlines if closed else np.append(newlines, size)
        self.starts = np.concatenate(([0], self.ends[:-1] + 1))
        self.quotes = Marks(data, np.equal, _QUOTE)
        self.counts = np.diff(self.quotes.before(self.ends), prepend=0)
        if len(newlines) < len(low):
            self._leave_out(low[~newline])
        escapes = data == _BACKSLASH
        if escapes.any():
            self._leave_out(np.flatnonzero(escapes))

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self.ends)

    def _leave_out(self, places: Places) -> None:
        """Give lines with escapes or control characters a count that no shape has."""
        self.counts[np.searchsorted(self.ends, places)] = -1

    @property
    def block(self) -> bytes:
        """All that there is."""
        return self._data.tobytes()

    def line(self, number: int) -> bytes:
        """Return a line without its newline."""
        return self.between(self.starts[number], self.ends[number])

    def between(self, start: np.integer, end: np.integer) -> bytes:
        """Return what stands from one place up to another."""
        return self._data[start:end].tobytes()

    def says(self, places: Places, text: bytes) -> Flags | np.bool_:
        """Tell at which places a text stands; if at all of them, by one value."""
        size = len(text)
        views = np.ndarray((len(self._bytes) - size + 1,), f"S{size}", self._bytes, 0, (1,))
        found = views[places]
        if found.tobytes() == text * len(places):  # to compare one by one takes ten times as long
            return np.True_
        same: Flags = found == text
        return same

    def byte(self, places: Places) -> npt.NDArray[np.uint8]:
        """Return the byte at each place."""
        found: npt.NDArray[np.uint8] = self._bytes[places]
        return found

    def word(self, places: Places, ahead: int = 0) -> Words:
        """Return the eight bytes from ``ahead`` of each place on, the first in the lowest bits."""
        found: Words = self._words[_BEFORE + ahead :][places]
        return found
