"""Open-addressing hash table from 64-bit hashes to slots, probed in vectorised rounds.

An entry is ``fingerprint << 32 | slot``: the home position comes from the high bits of the hash,
the fingerprint from the low ones. Linear probing; 0 is an empty entry, 1 a tombstone (fingerprints
are odd, so neither can match). A match of fingerprints is only a candidate: the caller verifies
the true key and probes on from the next position if it differs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from penstock.state.arrays import GrowArray, Hashes, Ids, Mask
from penstock.state.memory import MemoryBudget

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_ODD = np.uint64(1 << 32)
_EMPTY = np.uint64(0)
_TOMBSTONE = np.uint64(1)
_ONE = np.uint64(1)
_SMALLEST_BITS = 6

MAX_LOAD = 0.625
"""Share of used entries that triggers a rebuild; a miss takes 4 probes on average there."""

_REBUILT_LOAD = 0.5

_SORTED_FROM = 1 << 14
"""Entries from which a rebuild sorts them first: places in memory are then written in order, which
is several times faster than at random once the table does not fit the processor's caches."""

_SORTED_BYTES = 16
"""What sorting takes for each entry, for a while: the entry and the sorted word."""

_SORTED_STEP = 1 << 18

_WINDOW = np.arange(8, dtype=np.int64)
_WINDOWED_BELOW = 512
"""Active rows below which eight entries are looked at in one round: calls cost more than bytes."""


class HashTable:
    """Slots by hash. Several slots may have the same hash."""

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self._budget = budget
        self._entries = GrowArray(np.uint64, budget=budget)
        self._bits = _SMALLEST_BITS
        self._used = 0
        self._entries.ensure_exactly(1 << self._bits)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._entries.nbytes

    def home(self, hashes: Hashes) -> Ids:
        """Return the position at which to begin probing for each hash."""
        return (hashes >> np.uint64(64 - self._bits)).view(np.int64)

    def after(self, positions: Ids) -> Ids:
        """Return the positions that follow."""
        return (positions + 1) & self._mask

    @property
    def _mask(self) -> int:
        return (1 << self._bits) - 1

    def probe(self, hashes: Hashes, positions: Ids) -> tuple[Ids, Ids]:
        """Return the first slot with a matching fingerprint at or after each position, and where.

        The slot is -1, and the position that of an empty entry, if there is none.
        """
        if len(hashes) < _WINDOWED_BELOW:
            found, positions = self._probe_windowed(hashes, positions)
        else:
            found, positions = self._probe_single(hashes, positions)
        slots = (found & _LOW).view(np.int64)
        slots[found == _EMPTY] = -1
        return slots, positions

    def _probe_single(self, hashes: Hashes, positions: Ids) -> tuple[Hashes, Ids]:
        entries = self._entries.data
        fingerprints = (hashes & _LOW) | _ONE
        found = entries[positions]
        rest = np.flatnonzero((found != _EMPTY) & (found >> _HALF != fingerprints))
        if not len(rest):
            return found, positions
        positions = positions.copy()
        while len(rest) >= _WINDOWED_BELOW:
            at = (positions[rest] + 1) & self._mask
            positions[rest] = at
            now = entries[at]
            found[rest] = now
            rest = rest[(now != _EMPTY) & (now >> _HALF != fingerprints[rest])]
        if len(rest):
            after = self.after(positions[rest])
            found[rest], positions[rest] = self._probe_windowed(hashes[rest], after)
        return found, positions

    def _probe_windowed(self, hashes: Hashes, positions: Ids) -> tuple[Hashes, Ids]:
        found, at, stopped = self._window(hashes, positions)
        if stopped.all():
            return found, at
        rest = np.flatnonzero(~stopped)
        while len(rest):
            begin = (at[rest] + 1) & self._mask
            now, now_at, stopped = self._window(hashes[rest], begin)
            found[rest] = now
            at[rest] = now_at
            rest = rest[~stopped]
        return found, at

    def _window(self, hashes: Hashes, positions: Ids) -> tuple[Hashes, Ids, Mask]:
        """Look at eight entries per hash: the first that stops probing, else the last."""
        fingerprints = (hashes & _LOW) | _ONE
        places = (positions[:, None] + _WINDOW) & self._mask
        seen = self._entries.data[places]
        stops = (seen == _EMPTY) | (seen >> _HALF == fingerprints[:, None])
        stops_any = stops.any(axis=1)
        first = np.where(stops_any, stops.argmax(axis=1), len(_WINDOW) - 1)
        rows = np.arange(len(hashes))
        return seen[rows, first], places[rows, first], stops_any

    def needs_rebuild(self, added: int) -> bool:
        """Tell whether ``added`` more entries would make probing slow."""
        return self._used + added > MAX_LOAD * (1 << self._bits)

    def insert(self, hashes: Hashes, slots: Ids, positions: Ids) -> None:
        """Add entries that are not in the table, trying ``positions`` first."""
        self._put((hashes << _HALF) | _ODD | slots.view(np.uint64), positions)

    def _put(self, wanted: Hashes, positions: Ids) -> None:
        entries = self._entries.data
        while len(wanted):
            before = entries[positions]
            free = before <= _TOMBSTONE
            entries[positions[free]] = wanted[free]
            placed = entries[positions] == wanted
            self._used += int(np.count_nonzero(placed & (before == _EMPTY)))
            if placed.all():
                return
            rest = ~placed
            wanted = wanted[rest]
            positions = (positions[rest] + 1) & self._mask

    def remove(self, hashes: Hashes, slots: Ids) -> None:
        """Turn the entries of ``slots``, which must be in the table, into tombstones."""
        entries = self._entries.data
        wanted = (hashes << _HALF) | _ODD | slots.view(np.uint64)
        positions = self.home(hashes)
        while len(wanted):
            hit = entries[positions] == wanted
            entries[positions[hit]] = _TOMBSTONE
            rest = ~hit
            wanted = wanted[rest]
            positions = (positions[rest] + 1) & self._mask

    def rebuild(self, blocks: Iterable[tuple[Hashes, Ids]], count: int) -> None:
        """Start over with the entries in ``blocks``, and room for ``count`` in all."""
        needed = max(1.0, count / _REBUILT_LOAD)
        self._bits = max(_SMALLEST_BITS, int(np.ceil(np.log2(needed))))
        self._entries.clear()
        self._entries.ensure_exactly(1 << self._bits)
        self._used = 0
        if count >= _SORTED_FROM and (
            self._budget is None or self._budget.fits(count * _SORTED_BYTES)
        ):
            self._fill(*_joined(blocks, count))
            return
        for hashes, slots in blocks:
            self.insert(hashes, slots, self.home(hashes))

    def _fill(self, entries: Hashes, order: Hashes) -> None:
        """Put entries into the empty table in the order of their places, from front to back.

        Linear probing puts the next one at its home or behind the one before, whichever is later;
        what would come behind the end is inserted one by one.
        """
        order.sort()
        before = -1
        for begin in range(0, len(order), _SORTED_STEP):
            part = order[begin : begin + _SORTED_STEP]
            homes = self.home(part)
            steps = np.arange(len(part))
            places = homes - steps
            places[0] = max(places[0], before + 1)
            np.maximum.accumulate(places, out=places)
            places += steps
            before = int(places[-1])
            rows = (part & _LOW).view(np.int64)
            inside = int(np.searchsorted(places, 1 << self._bits))
            self._entries.data[places[:inside]] = entries[rows[:inside]]
            self._used += inside
            if inside < len(rows):
                self._put(entries[rows[inside:]], homes[inside:])


def _joined(blocks: Iterable[tuple[Hashes, Ids]], count: int) -> tuple[Hashes, Hashes]:
    """Return the entries of the blocks, at most ``count``, and words that sort them by place."""
    entries, order = np.empty(count, np.uint64), np.empty(count, np.uint64)
    end = 0
    for hashes, slots in blocks:
        begin, end = end, end + len(hashes)
        entries[begin:end] = (hashes << _HALF) | _ODD | slots.view(np.uint64)
        order[begin:end] = (hashes & _HIGH) | np.arange(begin, end, dtype=np.uint64)
    return entries[:end], order[:end]
