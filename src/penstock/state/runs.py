"""Sorted runs of ``slot << 32 | row id``: which rows lie under a slot."""

from __future__ import annotations

import numpy as np

from penstock.state.arrays import Hashes, Ids

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_NEXT = np.uint64(1 << 32)


class SortedRuns:
    """Pairs of slot and row id, appended in batches of ascending row ids."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def add(self, slots: Ids, ids: Ids) -> None:
        """Add pairs; the ids are larger than all before."""
        run = (slots.view(np.uint64) << _HALF) | ids.view(np.uint64)
        run.sort()
        runs = self._runs
        runs.append(run)
        while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]):
            merged = np.concatenate(runs[-2:])
            merged.sort()
            runs[-2:] = [merged]

    def find(self, slots: Ids) -> tuple[Ids, Ids]:
        """Return positions in ``slots``, ascending, and the row ids under each, ascending."""
        count = len(slots)
        low = slots.astype(np.uint64) << _HALF
        bounds = np.concatenate([low, low + _NEXT])
        found: list[tuple[Ids, Ids]] = []
        for run in self._runs if count else ():
            places = run.searchsorted(bounds)
            lengths = places[count:] - places[:count]
            total = int(lengths.sum())
            if total:
                found.append(_expand(run, places[:count], lengths, total))
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if len(found) == 1:
            return found[0]
        packed = np.concatenate([(at << 32) | ids for at, ids in found])
        packed.sort()
        return packed >> 32, packed & 0xFFFFFFFF

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(run.nbytes for run in self._runs)


def _expand(run: Hashes, starts: Ids, lengths: Ids, total: int) -> tuple[Ids, Ids]:
    positions = np.repeat(np.arange(len(starts)), lengths)
    offsets = np.arange(total) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return positions, (run[offsets] & _LOW).view(np.int64)
