"""A column of text: as numbers where texts come again and again, else in an arena.

Names of places, channels, types, addresses repeat; four bytes a row are kept of these instead of the text and
24 bytes of pointers. Which way is taken is decided by the texts seen, again whenever there are four
times as many, and given up when there are too many different ones.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state.arena import ArenaColumn
from penstock.state.arrays import GrowArray, Ids
from penstock.state.lexicon import Lexicon
from penstock.state.memory import MemoryBudget

FIRST_LOOK = 1 << 14
"""Rows from which it is worth to look whether texts repeat."""

MOST_TEXTS = 1 << 17
"""Different texts up to which they are numbered: the table of these is not moved to disk."""

MOST_BYTES = 1 << 25
"""What that table may take."""

_ROWS_EACH = 4  # rows that share a text, on average, for numbers to be worth while
_AGAIN = 4
_SAMPLE = 1 << 16
_BLOCK = 1 << 18  # rows per step of a conversion


class TextColumn:
    """Column of texts by id."""

    dtype: pl.DataType = pl.String()

    def __init__(
        self, name: str, *, smallest_garbage: int, budget: MemoryBudget | None = None
    ) -> None:
        self.name = name
        self._smallest_garbage = smallest_garbage
        self._budget = budget
        self._next_look = FIRST_LOOK
        self._plain: ArenaColumn | None = self._arena()
        self._lexicon = Lexicon(name)
        self._numbers = GrowArray(np.uint32, budget=budget)

    def _arena(self) -> ArenaColumn:
        return ArenaColumn(
            self.name, self.dtype, smallest_garbage=self._smallest_garbage, budget=self._budget
        )

    def set(self, ids: Ids, values: pl.Series) -> None:
        """Store ``values`` under ``ids``; the last wins where an id repeats."""
        if not len(ids):
            return
        if self._plain is None:
            self._number(ids, values)
            if self._is_full:
                self._renumber()
            return
        self._plain.set(ids, values)
        if len(self._plain) >= self._next_look:
            self._next_look = len(self._plain) * _AGAIN
            self._look(self._plain)

    def get(self, ids: Ids) -> pl.Series:
        """Return the values under ``ids``; null where nothing was stored."""
        if self._plain is not None:
            return self._plain.get(ids)
        return self._lexicon.decode(self._numbers.data[ids])

    def reserve(self, size: int) -> None:
        """Make ids below ``size`` valid to get."""
        if self._plain is not None:
            self._plain.reserve(size)
        else:
            self._numbers.ensure(size)

    def clear(self, ids: Ids) -> None:
        """Drop the values under ``ids`` (unique)."""
        if self._plain is not None:
            self._plain.clear(ids)
        else:
            self._numbers.data[ids[ids < len(self._numbers.data)]] = 0

    def take(self, ids: Ids) -> None:
        """Keep the values of ``ids``, under the ids from 0 on."""
        if self._plain is not None:
            self._plain.take(ids)
        else:
            self._numbers.take(ids)

    @property
    def is_numbered(self) -> bool:
        """Whether texts are kept as numbers."""
        return self._plain is None

    @property
    def nbytes(self) -> int:
        """Bytes held, in memory or on disk."""
        if self._plain is not None:
            return self._plain.nbytes
        return self._numbers.nbytes + self._lexicon.nbytes

    @property
    def _is_full(self) -> bool:
        return len(self._lexicon) > MOST_TEXTS or self._lexicon.nbytes > MOST_BYTES

    def _number(self, ids: Ids, values: pl.Series) -> None:
        self._numbers.ensure(int(ids.max()) + 1)
        self._numbers.data[ids] = self._lexicon.encode(values)

    def _look(self, plain: ArenaColumn) -> None:
        """Go over to numbers if the texts of some rows repeat enough, and those of all are few."""
        ids = plain.ids()
        sample = plain.get(ids[:: max(len(ids) // _SAMPLE, 1)])
        if sample.n_unique() * _ROWS_EACH > len(sample):
            return
        self._numbers.ensure(plain.size)
        for begin in range(0, len(ids), _BLOCK):
            part = ids[begin : begin + _BLOCK]
            self._number(part, plain.get(part))
            if self._is_full:
                self._forget()
                return
        self._plain = None

    def _forget(self) -> None:
        self._lexicon = Lexicon(self.name)
        self._numbers.clear()

    def _renumber(self) -> None:
        """Let go of texts that no row has any more; if they are not half of all, of numbers."""
        numbers = self._numbers.data
        used = np.flatnonzero(np.bincount(numbers, minlength=1))
        used = used[used > 0]
        if 2 * len(used) > len(self._lexicon):
            self._spell()
            return
        texts = self._lexicon.decode(used)
        table = np.zeros(len(self._lexicon) + 1, np.uint32)
        self._lexicon = Lexicon(self.name)
        table[used] = self._lexicon.encode(texts)
        numbers[:] = table[numbers]
        if self._is_full:
            self._spell()

    def _spell(self) -> None:
        """Go back to texts, for good or until there are many more rows."""
        ids = np.flatnonzero(self._numbers.data)
        plain = self._arena()
        for begin in range(0, len(ids), _BLOCK):
            part = ids[begin : begin + _BLOCK]
            plain.set(part, self._lexicon.decode(self._numbers.data[part]))
        plain.reserve(len(self._numbers.data))
        self._plain = plain
        self._next_look = max(len(plain) * _AGAIN, FIRST_LOOK)
        self._forget()
