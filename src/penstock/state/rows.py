"""Many rows per slot.

    append([3, 5, 3], rows)    lookup([5, 3])  ->  positions [0, 1, 1], their rows in arrival order

The slot numbers come from somebody else's KeyIndex. A slot with one row finds it in an array; the
rows of others are found through sorted runs of ``slot << 32 | row id``, merged in geometric steps
and made when somebody first looks for such rows: what is only ever added, or unique under its slots,
never pays for them. A row id ascends with arrival and stays valid until the next append(), which
may renumber the rows when more than half of them are dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import GrowArray, IdList, Ids, Mask, distinct
from penstock.state.columns import ColumnStore, FixedColumn
from penstock.state.contract import FULL, FULL_MARK, ROW, SLOT, Part, since_last_full
from penstock.state.index import numbered
from penstock.state.memory import MemoryBudget, current
from penstock.state.minima import BlockMinima
from penstock.state.runs import SortedRuns

_SMALLEST_GARBAGE = 4096  # dead rows below this are not worth a compaction


class RowStore:
    """Rows of ``schema`` under slots, in order of arrival."""

    def __init__(
        self,
        schema: pl.Schema,
        *,
        budget: MemoryBudget | None = None,
        smallest_garbage: int = _SMALLEST_GARBAGE,
    ) -> None:
        budget = budget or current()
        self.schema = pl.Schema(schema)
        self._budget = budget
        self._smallest_garbage = smallest_garbage
        self._removed = IdList(budget)
        self._counts = GrowArray(np.int64, budget=budget)
        self.generation = 0
        self._start_over()
        self._must_rewrite = False

    def _start_over(self) -> None:
        budget, garbage = self._budget, self._smallest_garbage
        self._store = ColumnStore(self.schema, budget=budget, smallest_garbage=garbage)
        self._slots = GrowArray(np.uint32, budget=budget)
        self._alive = GrowArray(np.bool_, budget=budget)
        self._runs = SortedRuns(budget)
        self._sorted = 0  # rows below this id are in the sorted runs
        self._latest = GrowArray(np.uint32, budget=budget)  # the row added last under each slot
        self._minima: dict[str, BlockMinima] = {}
        self._next = 0
        self._living = 0
        self._snapshot = 0  # rows below this id are in the last snapshot
        self._removed.clear()

    def __len__(self) -> int:
        return self._living

    def append(self, slots: Ids, frame: pl.DataFrame) -> Ids:
        """Add a row under each slot and return the row ids.

        Ids from before this call are no longer valid if ``generation`` has changed.
        """
        self._compact_if_worth()
        if not len(slots):
            return np.empty(0, np.int64)
        slots = np.asarray(slots, np.int64)
        ids = np.arange(self._next, self._next + len(slots), dtype=np.int64)
        self._next += len(slots)
        self._insert(ids, slots, frame)
        return ids

    def _insert(self, ids: Ids, slots: Ids, frame: pl.DataFrame) -> None:
        self._store.set(ids, frame)
        self._slots.ensure(self._next)
        self._slots.data[ids] = slots
        self._alive.ensure(self._next)
        self._alive.data[ids] = True
        self._living += len(ids)
        highest = int(slots.max()) + 1
        self._counts.ensure(highest)
        np.add.at(self._counts.data, slots, 1)
        self._latest.ensure(highest)
        self._latest.data[slots] = ids
        for name, minima in self._minima.items():
            minima.add(ids, *self._fixed(name).physical(ids))

    def count(self, slots: Ids) -> Ids:
        """Return the number of living rows under each slot; none under -1, an unknown key."""
        if not len(slots):
            return np.empty(0, np.int64)
        self._counts.ensure(max(int(slots.max()) + 1, 1))
        counts: Ids = self._counts.data[slots]
        if slots.min() < 0:
            counts[slots < 0] = 0
        return counts

    def lookup_ids(self, slots: Ids) -> tuple[Ids, Ids]:
        """Return positions in ``slots``, ascending, and the ids of the rows under them."""
        counts = self.count(slots)
        wanted = np.flatnonzero(counts)
        ids = self._latest.data[slots[wanted]].astype(np.int64)
        sole = (counts[wanted] == 1) & self._alive.data[ids]
        if sole.all():
            return wanted, ids
        several = wanted[~sole]
        found, others = self._find(slots[several])
        if not sole.any():
            return several[found], others
        positions = np.concatenate([wanted[sole], several[found]])
        order = np.argsort(positions, kind="stable")
        return positions[order], np.concatenate([ids[sole], others])[order]

    def _find(self, slots: Ids) -> tuple[Ids, Ids]:
        """Return positions and row ids from the sorted runs, after putting new rows into them."""
        if self._sorted < self._next:
            fresh = self.live_ids(self._sorted)
            self._sorted = self._next
            if len(fresh):
                self._runs.add(self.slots_of(fresh), fresh)
        found, ids = self._runs.find(slots)
        alive = self._alive.data[ids]
        return (found, ids) if alive.all() else (found[alive], ids[alive])

    def lookup(self, slots_unique: Ids) -> tuple[Ids, pl.DataFrame]:
        """Return positions in ``slots_unique``, ascending, and the rows under them."""
        positions, ids = self.lookup_ids(slots_unique)
        return positions, self.rows(ids)

    def rows(self, row_ids: Ids) -> pl.DataFrame:
        """Return rows by id."""
        return self._store.get(row_ids)

    def values(self, name: str, row_ids: Ids) -> pl.Series:
        """Return one column of rows by id."""
        return self._store.column(name).get(row_ids)

    def columns(self, row_ids: Ids, names: Sequence[str]) -> pl.DataFrame:
        """Return some columns of rows by id."""
        return pl.DataFrame([self.values(name, row_ids) for name in names])

    def slots_of(self, row_ids: Ids) -> Ids:
        """Return the slots of rows by id."""
        return self._slots.data[row_ids].astype(np.int64)

    def remove(self, row_ids: Ids) -> None:
        """Remove rows by id; those already removed are ignored."""
        ids = row_ids[self._alive.data[row_ids]]
        if not len(ids):
            return
        if len(ids) > 1:
            ids = distinct(ids)
        self._alive.data[ids] = False
        self._living -= len(ids)
        np.subtract.at(self._counts.data, self._slots.data[ids], 1)
        self._store.clear(ids)
        self._removed.extend(ids[ids < self._snapshot])

    def remove_slots(self, slots: Ids) -> None:
        """Remove all rows under ``slots`` (unique)."""
        self.remove(self.lookup_ids(slots)[1])

    def replace(self, slots: Ids, frame: pl.DataFrame) -> None:
        """Remove all rows under the slots that occur in ``slots``, then append the new ones."""
        self.remove_slots(distinct(slots))
        self.append(slots, frame)

    def is_alive(self, row_ids: Ids) -> Mask:
        """Tell for each row id whether the row is still there."""
        alive: Mask = self._alive.data[row_ids]
        return alive

    def live_ids(self, first: int = 0) -> Ids:
        """Return the ids of all living rows, from ``first`` on, ascending."""
        return np.flatnonzero(self._alive.data[first : self._next]) + first

    def column(self, name: str) -> tuple[Ids, npt.NDArray[Any]]:
        """Return ids and physical values of a fixed-width column of living rows, nulls left out."""
        ids = self.live_ids()
        values, valid = self._fixed(name).physical(ids)
        if valid is None or valid.all():
            return ids, values
        return ids[valid], values[valid]

    def expire(self, column: str, below: int) -> tuple[Ids, pl.DataFrame]:
        """Remove and return slots and rows whose physical value is below ``below``; never nulls."""
        ids = self._expired(column, below)
        slots, frame = self.slots_of(ids), self.rows(ids)
        self.remove(ids)
        return slots, frame

    def lowest(self, column: str) -> int | None:
        """Return a physical value that no living row's is below; None without rows.

        It is that of a row, but for one that was removed since the last ``expire``.
        """
        if not len(self):
            return None
        minima = self._minima.get(column) or self._track(column)
        return int(minima.lowest(self._next))

    def drop_below(self, column: str, below: int) -> None:
        """Remove rows whose physical value is below ``below``; never nulls."""
        self.remove(self._expired(column, below))

    def _expired(self, column: str, below: int) -> Ids:
        minima = self._minima.get(column)
        if minima is None:
            minima = self._track(column)
        found = []
        for begin, end in minima.blocks_below(below, self._next):
            ids = np.flatnonzero(self._alive.data[begin:end]) + begin
            values, valid = self._fixed(column).physical(ids)
            due = values < below
            if valid is not None:
                due &= valid
            found.append(ids[due])
            kept = ~due
            minima.reset(begin, values[kept], None if valid is None else valid[kept])
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _track(self, column: str) -> BlockMinima:
        ids, values = self.column(column)
        minima = self._minima[column] = BlockMinima(values.dtype)
        minima.add(ids, values, None)
        return minima

    def _fixed(self, name: str) -> FixedColumn:
        column = self._store.column(name)
        if not isinstance(column, FixedColumn):
            raise TypeError(f"column {name!r} of type {column.dtype} has no fixed width")
        return column

    def _compact_if_worth(self) -> None:
        dead = self._next - self._living
        if dead <= max(self._living, self._smallest_garbage):
            return
        ids = self.live_ids()
        for part in (self._store, self._slots, self._alive):
            part.take(ids)
        self._next = len(ids)
        self._latest.data[self._slots.data[: self._next]] = np.arange(self._next)
        self._runs, self._sorted = SortedRuns(self._budget), 0
        tracked = list(self._minima)
        self._minima.clear()
        for name in tracked:
            self._track(name)
        self._removed.clear()
        self._snapshot = 0
        self._must_rewrite = True
        self.generation += 1

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        parts = (self._store, self._slots, self._alive, self._runs, self._latest, self._counts)
        return self._removed.nbytes + sum(part.nbytes for part in parts)

    @property
    def must_rewrite(self) -> bool:
        """Whether rows were renumbered, so that the next delta() is a full part."""
        return self._must_rewrite

    def delta(self) -> Part:
        """Return rows added and row ids removed since the last snapshot."""
        if self._must_rewrite:
            return self.full()
        part: Part = {}
        if len(self._removed):
            part["removed"] = numbered(np.sort(self._removed.view()), [], ROW)
            self._removed.clear()
        added = self.live_ids(self._snapshot)
        self._snapshot = self._next
        if len(added):
            part["rows"] = self._frame(added)
        return part

    def full(self) -> Part:
        """Return all living rows."""
        self._must_rewrite = False
        self._removed.clear()
        self._snapshot = self._next
        return {
            FULL: FULL_MARK,
            "rows": self._frame(self.live_ids()),
        }

    def _frame(self, ids: Ids) -> pl.DataFrame:
        slots = pl.Series(SLOT, self._slots.data[ids])
        return numbered(ids, [slots, *self.rows(ids).get_columns()], ROW)

    def load(self, parts: list[Part]) -> None:
        """Restore rows under the same ids."""
        for part in since_last_full(parts):
            if "removed" in part:
                self.remove(part["removed"].get_column(ROW).to_numpy())
            if "rows" in part and part["rows"].height:
                frame = part["rows"]
                ids = frame.get_column(ROW).to_numpy()
                self._next = int(ids[-1]) + 1
                self._insert(ids, frame.get_column(SLOT).to_numpy().astype(np.int64), frame)
        self._snapshot = self._next
        self._removed.clear()
