"""One number per slot: how many rows lie under it, where the rows themselves are not needed."""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state.arrays import GrowArray, Ids, IdSet, distinct
from penstock.state.contract import FULL, FULL_MARK, SLOT, Part, since_last_full
from penstock.state.index import numbered

_COUNT = "count"


class Tally:
    """Counts by slot; the slot numbers come from somebody else's KeyIndex."""

    must_rewrite = False

    def __init__(self) -> None:
        self._counts = GrowArray(np.int64)
        self._dirty = IdSet()
        self._slots = 0

    def __len__(self) -> int:
        return self._slots

    @property
    def rows(self) -> int:
        """Slots with a count."""
        return self._slots

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._counts.nbytes + self._dirty.nbytes

    def count(self, slots: Ids) -> Ids:
        """Return the count of each slot."""
        if len(slots):
            self._counts.ensure(int(slots.max()) + 1)
        counts: Ids = self._counts.data[slots]
        return counts

    def add(self, slots: Ids, amounts: Ids) -> None:
        """Add to the counts; slots may repeat. No count falls below zero."""
        if not len(slots):
            return
        touched = distinct(slots)
        before = np.count_nonzero(self.count(touched))
        np.add.at(self._counts.data, slots, amounts)
        counts = np.maximum(self._counts.data[touched], 0)
        self._counts.data[touched] = counts
        self._changed(touched, int(np.count_nonzero(counts) - before))

    def remove_slots(self, slots: Ids) -> None:
        """Set the counts of slots (unique) to zero."""
        self._set(slots, np.zeros(len(slots), np.int64))

    def _set(self, slots: Ids, counts: Ids) -> None:
        before = np.count_nonzero(self.count(slots))
        self._counts.data[slots] = counts
        self._changed(slots, int(np.count_nonzero(counts) - before))

    def _changed(self, slots: Ids, more: int) -> None:
        self._slots += more
        self._dirty.add(slots)

    def delta(self) -> Part:
        """Return the counts changed since the last snapshot."""
        slots = self._dirty.drain()
        return {"counts": self._frame(slots)} if len(slots) else {}

    def full(self) -> Part:
        """Return all counts."""
        self._dirty.drain()
        return {FULL: FULL_MARK, "counts": self._frame(np.flatnonzero(self._counts.data))}

    def _frame(self, slots: Ids) -> pl.DataFrame:
        return numbered(slots, [pl.Series(_COUNT, self.count(slots))])

    def load(self, parts: list[Part]) -> None:
        """Restore."""
        for part in since_last_full(parts):
            if "counts" in part:
                slots = part["counts"][SLOT].to_numpy().astype(np.int64)
                self._set(slots, part["counts"][_COUNT].to_numpy())
        self._dirty.drain()
