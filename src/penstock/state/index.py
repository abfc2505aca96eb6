"""From key rows to dense slots.

    assign(["a", "b", "a"])  ->  [0, 1, 0]        lookup(["b", "c"])  ->  [1, -1]

Slots are small integers under which other stores keep what belongs to a key. A released slot is
given to another key later. Hash table and hashes are rebuilt on load, never stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from penstock.state import keys as keys_of
from penstock.state.arrays import GrowArray, Hashes, IdList, Ids, IdSet, Mask, distinct
from penstock.state.columns import SMALLEST_GARBAGE, ColumnStore
from penstock.state.contract import FULL, FULL_MARK, SLOT, Part, since_last_full
from penstock.state.hashtable import HashTable
from penstock.state.keys import KeyBatch
from penstock.state.memory import MemoryBudget, current
from penstock.state.physical import physical_type

_BLOCK = 1 << 18  # slots per step of a rebuild


class KeyIndex:
    """Dense slots by key; NULL equals NULL, NaN equals NaN, -0.0 equals 0.0.

    A schema without columns has one key, in slot 0.
    """

    must_rewrite = False

    def __init__(
        self,
        schema: pl.Schema,
        *,
        budget: MemoryBudget | None = None,
        smallest_garbage: int = SMALLEST_GARBAGE,
    ) -> None:
        budget = budget or current()
        self.schema = pl.Schema(schema)
        self._budget = budget
        self._store = ColumnStore(self.schema, budget=budget, smallest_garbage=smallest_garbage)
        self._table = HashTable(budget)
        fixed = all(physical_type(dtype) for dtype in self.schema.values())
        # Keys of fixed width are hashed again when the table grows: that is cheaper than the memory.
        self._hashes = None if fixed else GrowArray(np.uint64, budget=budget)
        self._living = GrowArray(np.bool_, budget=budget)
        self._free = IdList(budget)
        self._high = 0  # slots ever given
        self._dirty = IdSet(budget)
        self._released = IdSet(budget)
        self._tracked = False  # whether there is a snapshot to which a delta could relate

    def __len__(self) -> int:
        return self._high - len(self._free)

    @property
    def capacity(self) -> int:
        """One more than the highest slot ever given."""
        return self._high

    def lookup(self, keys: pl.DataFrame) -> Ids:
        """Return the slot of each key row, -1 where the key is unknown."""
        return self._find(keys_of.read(keys, self.schema))[0]

    def assign(self, keys: pl.DataFrame, *, unique: bool = False) -> Ids:
        """Return the slot of each key row, giving unknown keys new slots in order of arrival.

        ``unique`` promises that no two rows are equal, and saves looking for them.
        """
        batch = keys_of.read(keys, self.schema)
        slots, positions = self._find(batch)
        missing = np.flatnonzero(slots < 0)
        if not len(missing):
            return slots
        if unique:
            slots[missing] = self._add(batch, missing, positions[missing])
            return slots
        while len(missing):
            leader = keys_of.leaders(batch.hashes[missing])
            new = missing[leader == np.arange(len(missing))]
            slots[new] = self._add(batch, new, positions[new])
            if len(new) == len(missing):
                return slots
            led = missing[leader]
            same = keys_of.same_in_batch(batch, missing, led)
            slots[missing[same]] = slots[led[same]]
            missing = missing[~same]  # another key with the same 64-bit hash: once more
            positions = self._table.home(batch.hashes)
        return slots

    def _find(self, batch: KeyBatch) -> tuple[Ids, Ids]:
        hashes = batch.hashes
        slots, positions = self._table.probe(hashes, self._table.home(hashes))
        candidates = slots >= 0
        if candidates.all():
            same = keys_of.same_as_stored(self._store, slots, batch, None)
            wrong = np.flatnonzero(~same)
        else:
            wrong = self._differing(batch, slots, np.flatnonzero(candidates))
        while len(wrong):
            after = self._table.after(positions[wrong])
            slots[wrong], positions[wrong] = self._table.probe(hashes[wrong], after)
            wrong = self._differing(batch, slots, wrong[slots[wrong] >= 0])
        return slots, positions

    def _differing(self, batch: KeyBatch, slots: Ids, rows: Ids) -> Ids:
        if not len(rows):
            return rows
        return rows[~keys_of.same_as_stored(self._store, slots[rows], batch, rows)]

    def _add(self, batch: KeyBatch, rows: Ids, positions: Ids) -> Ids:
        slots = self._allocate(len(rows))
        if self._tracked:
            self._dirty.add(slots)
        self._place(batch, rows, slots, positions)
        return slots

    def _place(self, batch: KeyBatch, rows: Ids, slots: Ids, positions: Ids | None) -> None:
        hashes = batch.hashes[rows]
        if self._table.needs_rebuild(len(rows)):
            living = int(np.count_nonzero(self._living.data))
            self._table.rebuild(self._blocks(), living + len(rows))
            positions = None
        self._keep_hashes(slots, hashes)
        self._living.ensure(self._high)
        self._living.data[slots] = True
        keys_of.write(self._store, slots, batch, rows if len(rows) < batch.height else None)
        home = self._table.home(hashes) if positions is None else positions
        self._table.insert(hashes, slots, home)
        if self._budget is not None:
            self._budget.enforce()

    def _keep_hashes(self, slots: Ids, hashes: Hashes) -> None:
        if self._hashes is not None:
            self._hashes.ensure(self._high)
            self._hashes.data[slots] = hashes

    def _hashes_of(self, slots: Ids) -> Hashes:
        """Return the hashes of living keys."""
        if self._hashes is not None:
            kept: Hashes = self._hashes.data[slots]
            return kept
        return keys_of.stored_hashes(self._store, slots)

    def _blocks(self) -> Iterator[tuple[Hashes, Ids]]:
        """Yield hashes and slots of the living keys, in pieces that fit the processor's cache."""
        for begin in range(0, len(self._living.data), _BLOCK):
            slots = begin + np.flatnonzero(self._living.data[begin : begin + _BLOCK])
            yield self._hashes_of(slots), slots

    def _allocate(self, count: int) -> Ids:
        reused = min(count, len(self._free))
        fresh = np.arange(self._high, self._high + count - reused, dtype=np.int64)
        self._high += count - reused
        if not reused:
            return fresh
        return np.concatenate([self._free.pop(reused), fresh])

    def release(self, slots: Ids) -> None:
        """Forget the keys of ``slots``, which other keys may get then."""
        slots = self._forget(slots)
        if self._tracked:
            self._released.add(slots)

    def _forget(self, slots: Ids) -> Ids:
        slots = slots[slots >= 0]
        slots = distinct(slots[self.is_live(slots)])
        if len(slots):
            self._table.remove(self._hashes_of(slots), slots)
            self._living.data[slots] = False
            self._store.clear(slots)
            self._free.extend(slots)
        return slots

    def keys(self, slots: Ids) -> pl.DataFrame:
        """Return the keys of living slots."""
        return self._store.get(slots)

    def live_slots(self) -> Ids:
        """Return all slots in use, ascending."""
        return np.flatnonzero(self._living.data[: self._high])

    def is_live(self, slots: Ids) -> Mask:
        """Tell for each slot whether it is in use."""
        size = len(self._living.data)
        if len(slots) and int(slots.max()) >= size:
            self._living.ensure(int(slots.max()) + 1)
        living: Mask = self._living.data[slots]
        return living

    @property
    def rows(self) -> int:
        """Living keys."""
        return len(self)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        parts = (self._table, self._living, self._free, self._dirty, self._released)
        hashes = 0 if self._hashes is None else self._hashes.nbytes
        return self._store.nbytes + hashes + sum(part.nbytes for part in parts)

    def delta(self) -> Part:
        """Return keys assigned and slots released since the last snapshot, if any was made.

        What changes is noted from the first snapshot on: a run without checkpoints pays nothing.
        """
        part: Part = {}
        released = self._released.drain()
        if len(released):
            part["released"] = numbered(released, [])
        dirty = self._dirty.drain() if self._tracked else self.live_slots()
        self._tracked = True
        dirty = dirty[self._living.data[dirty]]
        if len(dirty):
            part["keys"] = numbered(dirty, self.keys(dirty).get_columns())
        return part

    def full(self) -> Part:
        """Return all keys."""
        self._dirty.drain()
        self._released.drain()
        self._tracked = True
        living = self.live_slots()
        return {FULL: FULL_MARK, "keys": numbered(living, self.keys(living).get_columns())}

    def load(self, parts: list[Part]) -> None:
        """Restore keys under the same slots."""
        self._tracked = True
        for part in since_last_full(parts):
            if "released" in part:
                self._vacate(part["released"].get_column(SLOT).to_numpy().astype(np.int64))
            if "keys" in part and part["keys"].height:
                frame = part["keys"]
                slots = frame.get_column(SLOT).to_numpy().astype(np.int64)
                self._vacate(slots)
                self._high = max(self._high, int(slots.max()) + 1)
                batch = keys_of.read(frame, self.schema)
                self._keep_hashes(slots, batch.hashes)
                self._living.ensure(self._high)
                self._living.data[slots] = True
                keys_of.write(self._store, slots, batch, None)
        self._table.rebuild(self._blocks(), int(np.count_nonzero(self._living.data)))
        self._free.clear()
        self._free.extend(np.flatnonzero(~self._living.data[: self._high]))

    def _vacate(self, slots: Ids) -> None:
        """Forget the keys of slots (unique) while the hash table is still to be built."""
        slots = slots[self.is_live(slots)]
        if len(slots):
            self._living.data[slots] = False
            self._store.clear(slots)


def numbered(slots: Ids, columns: list[pl.Series], name: str = SLOT) -> pl.DataFrame:
    """Return a snapshot frame of ids and what belongs to them."""
    dtype = pl.UInt32 if name == SLOT else pl.Int64
    return pl.Series(name, slots).cast(dtype).to_frame().hstack(columns)
