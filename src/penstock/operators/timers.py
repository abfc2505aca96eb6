"""Timers: instants under the slots of a keyed store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT
from penstock.state.rows import RowStore

_AT = "at"

Due = list[tuple[int, int]]
"""Pairs of slot and instant."""


class TimerStore:
    """The pending timers of one kind; at most one for each slot and instant."""

    def __init__(self) -> None:
        self.rows = RowStore(pl.Schema({_AT: pl.Int64}))
        self._earliest: int | None = None  # a lower bound; None: to be looked up

    def due(self, instant: int) -> Due:
        """Remove and return the (slot, instant) of all timers up to an instant."""
        if not len(self.rows) or self.earliest() > instant:
            return []
        slots, frame = self.rows.expire(_AT, min(instant, MAX_INSTANT - 1) + 1)
        self._earliest = None
        return list(zip(slots.tolist(), frame[_AT].to_list(), strict=True))

    def of(self, slots: np.ndarray) -> dict[int, set[int]]:
        """Return the instants under each of some slots (unique)."""
        found: dict[int, set[int]] = {int(slot): set() for slot in slots}
        if len(self.rows):
            positions, frame = self.rows.lookup(slots)
            for slot, at in zip(slots[positions].tolist(), frame[_AT].to_list(), strict=True):
                found[slot].add(at)
        return found

    def replace(self, wanted: Mapping[int, Iterable[int]]) -> None:
        """Make these the timers of these slots."""
        if not wanted:
            return
        self.rows.remove_slots(np.array(sorted(wanted), dtype=np.int64))
        pairs = [(slot, at) for slot, instants in wanted.items() for at in sorted(instants)]
        if not pairs:
            return
        slots, instants = np.array(pairs, dtype=np.int64).T
        self.rows.append(slots.copy(), pl.DataFrame({_AT: instants.copy()}))
        if self._earliest is not None:
            self._earliest = min(self._earliest, int(instants.min()))

    def remove(self, slots: np.ndarray) -> None:
        """Remove all timers of some slots."""
        if slots.size:
            self.rows.remove_slots(slots)

    def earliest(self) -> int:
        """Return an instant before which none is due."""
        if self._earliest is None:
            values = self.rows.column(_AT)[1]
            self._earliest = int(values.min()) if values.size else MAX_INSTANT
        return self._earliest
