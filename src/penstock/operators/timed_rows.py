"""TimedRows: rows of one side of a join that are found by their keys, and dropped by their time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT
from penstock.operators.equal_keys import equal_keys
from penstock.operators.pairs import BLOCK
from penstock.state import keys as keys_of
from penstock.state.arrays import Ids
from penstock.state.rows import RowStore
from penstock.state.runs import SortedRuns

_SCANNED = 4
"""Rows held for each row that looks for its like, up to which all of them are read: a hash table for
one epoch takes 14 ns a row on both sides, a look into the index 200."""

_FEW = 256
"""Rows below which the index is looked into, to save the fixed price of a query."""


class TimedRows:
    """Rows that live for a while: cheap to add and to drop, found by key through what is there.

    Nothing is done for a row that is added until somebody looks for few rows among many; then what
    came since is put into sorted runs of 31 bits of the hash of its key. That index is not kept in
    snapshots.
    """

    def __init__(self, schema: pl.Schema, keys: Sequence[str], time: str) -> None:
        self.store = RowStore(schema)
        self._keys = list(keys)
        self._key_schema = pl.Schema({name: schema[name] for name in keys})
        self._time = time
        self._runs = SortedRuns()
        self._sorted = 0  # rows below this id are in the runs
        self._generation = 0

    def __len__(self) -> int:
        return len(self.store)

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows."""
        if rows.height:
            self.store.append(np.zeros(rows.height, np.int64), rows)

    def drop(self, limit: int) -> None:
        """Forget the rows whose time is at most ``limit``."""
        if len(self.store):
            self.store.drop_below(self._time, min(limit, MAX_INSTANT - 1) + 1)

    def match(self, keys: pl.DataFrame) -> Iterator[tuple[Ids, Ids]]:
        """Yield, in blocks, pairs of a position in ``keys`` and the id of a row with that key."""
        if not len(self.store) or not keys.height:
            return
        if keys.height >= _FEW and len(self.store) <= _SCANNED * keys.height:
            ids = self.store.live_ids()
            held = [self.store.values(name, ids) for name in self._keys]
            named = [column.alias(name) for column, name in zip(held, keys.columns, strict=True)]
            for positions, at in equal_keys(keys, pl.DataFrame(named)):
                yield positions, ids[at]
            return
        self._index()
        columns = [column.alias(n) for column, n in zip(keys, self._keys, strict=True)]
        batch = keys_of.read(pl.DataFrame(columns), self._key_schema)
        hashes = _shortened(batch)
        ends = np.cumsum(self._runs.count(hashes)) if keys.height > 1 else np.zeros(1, np.int64)
        begin, done = 0, 0
        while begin < len(hashes):
            end = max(int(np.searchsorted(ends, done + BLOCK, side="right")), begin + 1)
            found, ids = self._runs.find(hashes[begin:end])
            positions = found + begin
            alive = self.store.is_alive(ids)
            positions, ids = positions[alive], ids[alive]
            stored = self._keys_of(ids)
            same = keys_of.same_in_batches(batch, positions, stored, np.arange(len(ids)))
            yield positions[same], ids[same]
            begin, done = end, int(ends[end - 1])

    def _index(self) -> None:
        """Put the rows that came since into the runs."""
        if self._generation != self.store.generation:
            self._generation = self.store.generation
            self._runs, self._sorted = SortedRuns(), 0
        fresh = self.store.live_ids(self._sorted)
        if len(fresh):
            self._runs.add(_shortened(self._keys_of(fresh)), fresh)
            self._sorted = int(fresh[-1]) + 1

    def _keys_of(self, ids: Ids) -> keys_of.KeyBatch:
        columns = [self.store.values(name, ids) for name in self._keys]
        return keys_of.read(pl.DataFrame(columns), self._key_schema)


def _shortened(batch: keys_of.KeyBatch) -> Ids:
    return (batch.hashes >> np.uint64(33)).view(np.int64)
