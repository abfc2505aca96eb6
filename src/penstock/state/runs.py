"""Sorted runs of ``slot << 32 | row id``: which rows lie under a slot, a number below 2^31."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from penstock.state.arrays import GrowArray, Ids
from penstock.state.memory import MemoryBudget

_LOW = 0xFFFFFFFF
_NEXT = 1 << 32


class SortedRuns:
    """Pairs of slot and row id, appended in batches of ascending row ids."""

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self._budget = budget
        self._runs: list[GrowArray] = []

    def add(self, slots: Ids, ids: Ids) -> None:
        """Add pairs; the ids are larger than all before."""
        self._runs.append(self._run([(slots << 32) | ids]))
        while len(self._runs) > 1:
            previous, last = self._runs[-2:]
            if len(previous.data) >= 2 * len(last.data):
                return
            self._runs[-2:] = [self._run([previous.data, last.data])]

    def _run(self, parts: list[npt.NDArray[np.int64]]) -> GrowArray:
        run = GrowArray(np.int64, budget=self._budget)
        run.ensure_exactly(sum(map(len, parts)))
        np.concatenate(parts, out=run.data)
        run.data.sort()
        return run

    def count(self, slots: Ids) -> Ids:
        """Return how many pairs each of ``slots`` has."""
        found = np.zeros(len(slots), np.int64)
        for run in self._runs:
            low = run.data.searchsorted(slots << 32)
            found += run.data.searchsorted((slots << 32) + _NEXT) - low
        return found

    def find(self, slots: Ids) -> tuple[Ids, Ids]:
        """Return positions in ``slots``, ascending, and the row ids under each, ascending."""
        count = len(slots)
        bounds = np.empty(2 * count, np.int64)  # neighbours find each other's path in the cache
        bounds[::2] = slots << 32
        bounds[1::2] = bounds[::2] + _NEXT
        found: list[tuple[Ids, Ids]] = []
        for run in self._runs if count else ():
            places = run.data.searchsorted(bounds)
            starts = places[::2]
            lengths = places[1::2] - starts
            total = int(lengths.sum())
            if total:
                found.append(_expand(run.data, starts, lengths, total))
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if len(found) == 1:
            return found[0]
        packed = np.concatenate([(at << 32) | ids for at, ids in found])
        packed.sort()
        return packed >> 32, packed & _LOW

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(run.nbytes for run in self._runs)


def _expand(run: Ids, starts: Ids, lengths: Ids, total: int) -> tuple[Ids, Ids]:
    positions = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.arange(total) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return positions, run[offsets] & _LOW
