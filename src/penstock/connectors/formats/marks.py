"""Where certain bytes stand in a block: one bit for each byte of it.

    a "b" \\n   ->   00101010 for quotes   ->   next(0) = 2, next(3) = 4, before(4) = 1, places 2 4

Bits are made for eight bytes in the time that a list of places takes for one, and the next place is
found in them for 8 ns, however many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.deferred import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint64]

_WORD = 64
_SEEN = _WORD - 7
"""Places that a word surely shows, as it begins at any of eight."""

_AT_ONCE = 1 << 18
"""Bytes that are compared at once, so that their flags stay in the cache; eights of eights."""

_BEHIND = 4096
"""Places behind a block for which there are zeros."""


class Marks:
    """The bytes of a block for which ``compare(byte, value)`` holds."""

    def __init__(self, data: Bytes, compare: np.ufunc, value: int) -> None:
        size = (len(data) + _BEHIND) // _WORD * 8 + 16
        self._bits = np.empty(size, np.uint8)
        self._bits[len(data) // 8 :] = 0
        flags = np.empty(min(len(data), _AT_ONCE), np.bool_)
        for start in range(0, len(data), _AT_ONCE):
            part = data[start : start + _AT_ONCE]
            bits = np.packbits(compare(part, value, out=flags[: len(part)]), bitorder="little")
            self._bits[start // 8 : start // 8 + len(bits)] = bits
        self._from = np.ndarray((size - 7,), "<u8", self._bits, 0, (1,))
        self._words = self._bits.view("<u8")

    def places(self) -> Places:
        """Return all places, in order."""
        words = np.flatnonzero(self._words != 0)
        bits, found = self._words[words], []
        while len(words):
            found.append(words * _WORD + _first(bits))
            bits &= bits - np.uint64(1)
            more = bits != 0
            if not more.any():
                break
            words, bits = words[more], bits[more]
        places: Places = np.concatenate(found) if found else words
        if len(found) > 1:
            places.sort(kind="stable")
        return places

    def before(self, places: Places) -> Places:
        """Count the marks in front of each place."""
        counts = np.bitwise_count(self._words)
        whole = np.cumsum(counts, dtype=np.int64) - counts
        at = places >> 6
        behind = np.uint64(1) << (places & 63).astype(np.uint64)
        found: Places = whole[at] + np.bitwise_count(self._words[at] & (behind - np.uint64(1)))
        return found

    def next(self, places: Places, last: Places) -> Places:
        """Return the first mark at or behind each place; ``last`` if there is none before that."""
        ahead = self._ahead(places)
        found = places + ahead
        waiting = (ahead == _WORD).nonzero()[0]
        while len(waiting):
            at = found[waiting] - (_WORD - _SEEN)
            ahead = self._ahead(at)
            found[waiting] = at + ahead
            waiting = waiting[(ahead == _WORD) & (at + _SEEN < last[waiting])]
        nearest: Places = np.minimum(found, last)
        return nearest

    def _ahead(self, places: Places) -> Places:
        return _first(self._from[places >> 3] >> (places & 7).astype(np.uint64))


def _first(bits: Words) -> Places:
    """Return the number of the lowest bit of each word; 64 if there is none."""
    found: Places = np.bitwise_count((bits & -bits) - np.uint64(1))
    return found
