"""Bag: the living rows of a changelog under the slots of their keys."""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state import keys as keys_of
from penstock.state.arrays import Ids
from penstock.state.rows import RowStore
from penstock.state.runs import SortedRuns

_SLOT = "_penstock_slot"
_ID = "_penstock_id"
_COPIES = "_penstock_copies"
_FROM_END = "_penstock_from_end"
_SCAN = 2048
"""Rows under the touched slots up to which deletions look through them all: about 0.2 ms."""


class Bag:
    """Rows under slots; a deletion takes the latest living row that is equal (NaN and null too).

    ``add(x x y)``, ``remove(x)`` -> ``x y``. Deleting a row that is not there does nothing.

    Deletions from slots with many rows find theirs by a hash of the whole row, which is made when
    it is first needed and not kept in snapshots; so they cost what they delete, not the slot.
    """

    def __init__(self, schema: pl.Schema) -> None:
        self.store = RowStore(schema)
        self._by_hash: SortedRuns | None = None
        self._generation = 0

    def apply(self, slots: Ids, rows: pl.DataFrame, weights: Ids | None) -> None:
        """Take in rows with weights (None: all one), the deletions first."""
        if weights is None:
            self.add(slots, rows)
            return
        gone = weights < 0
        if gone.any():
            self.remove(slots[gone], rows.filter(gone), -weights[gone])
            kept = ~gone
            slots, rows, weights = slots[kept], rows.filter(kept), weights[kept]
        if (weights != 1).any():
            index = np.repeat(np.arange(len(weights)), weights)
            slots, rows = slots[index], rows[index]
        self.add(slots, rows)

    def add(self, slots: Ids, rows: pl.DataFrame) -> Ids:
        """Add a row under each slot; returns their ids in the store."""
        ids = self.store.append(slots, rows)
        if self.store.generation != self._generation:
            self._by_hash = None
        elif self._by_hash is not None and len(ids):
            self._by_hash.add(self._hashes(slots, rows), ids)
        return ids

    def remove(
        self, slots: Ids, rows: pl.DataFrame, copies: Ids
    ) -> tuple[Ids, pl.DataFrame, Ids] | None:
        """Remove ``copies`` living rows equal to each row under its slot, if they are there.

        Returns the slots, rows and copies that were not there, None if all were.
        """
        columns = list(self.store.schema)
        match = [*columns, _SLOT]
        gone = rows.with_columns(
            pl.Series(_SLOT, slots, dtype=pl.Int64), pl.Series(_COPIES, copies, dtype=pl.Int64)
        ).select(*match, _COPIES)
        if gone.height > 1:
            gone = gone.group_by(match).agg(pl.col(_COPIES).sum())
        ids = self._candidates(np.unique(slots), gone)
        living = self.store.rows(ids).with_columns(
            pl.Series(_SLOT, self.store.slots_of(ids), dtype=pl.Int64), pl.Series(_ID, ids)
        )
        found = living.join(gone, on=match, how="inner", nulls_equal=True, maintain_order="left")
        latest = pl.int_range(pl.len(), 0, -1, dtype=pl.Int64).over(match).alias(_FROM_END)
        found = found.with_columns(latest).filter(pl.col(_FROM_END) <= pl.col(_COPIES))
        self.store.remove(found[_ID].to_numpy())
        if found.height == gone[_COPIES].sum():
            return None
        taken = found.group_by(match).len(_FROM_END)
        missing = gone.join(taken, on=match, how="left", nulls_equal=True).with_columns(
            pl.col(_COPIES) - pl.col(_FROM_END).fill_null(0).cast(pl.Int64)
        )
        missing = missing.filter(pl.col(_COPIES) > 0)
        return missing[_SLOT].to_numpy(), missing.select(columns), missing[_COPIES].to_numpy()

    def _candidates(self, touched: Ids, gone: pl.DataFrame) -> Ids:
        """Return, ascending per slot, ids of living rows that may be equal to one that is gone."""
        if int(self.store.count(touched).sum()) <= max(_SCAN, 4 * gone.height):
            return self.store.lookup_ids(touched)[1]
        if self._by_hash is None or self.store.generation != self._generation:
            self._index()
        assert self._by_hash is not None
        hashes = np.unique(self._hashes(gone[_SLOT].to_numpy(), gone))
        ids = np.sort(self._by_hash.find(hashes)[1])
        return ids[self.store.is_alive(ids)]

    def _index(self) -> None:
        ids = self.store.live_ids()
        self._by_hash = SortedRuns()
        self._generation = self.store.generation
        if len(ids):
            rows = self.store.rows(ids)
            self._by_hash.add(self._hashes(self.store.slots_of(ids), rows), ids)

    def _hashes(self, slots: Ids, rows: pl.DataFrame) -> Ids:
        """Return 31 bits of a hash over slot and row, equal for equal rows."""
        schema = pl.Schema({_SLOT: pl.Int64(), **self.store.schema})
        frame = rows.with_columns(pl.Series(_SLOT, slots, dtype=pl.Int64))
        hashes = keys_of.read(frame, schema).hashes
        return (hashes >> np.uint64(33)).view(np.int64)
