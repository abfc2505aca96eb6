"""One row of values per key.

slots = table.assign(keys)          table.get(table.lookup(keys))  ->  values
table.set(slots, values)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import GrowArray, Ids, IdSet, Mask, distinct
from penstock.state.columns import SMALLEST_GARBAGE, ColumnStore
from penstock.state.contract import SLOT, Part, since_last_full
from penstock.state.index import KeyIndex, numbered
from penstock.state.memory import MemoryBudget, current


class KeyedTable:
    """A KeyIndex and one row of values under each of its slots."""

    must_rewrite = False

    def __init__(
        self,
        key_schema: pl.Schema,
        value_schema: pl.Schema,
        *,
        budget: MemoryBudget | None = None,
        smallest_garbage: int = SMALLEST_GARBAGE,
    ) -> None:
        budget = budget or current()
        self.index = KeyIndex(key_schema, budget=budget, smallest_garbage=smallest_garbage)
        self._values = ColumnStore(value_schema, budget=budget, smallest_garbage=smallest_garbage)
        self._present = GrowArray(np.bool_, budget=budget)
        self._dirty = IdSet(budget)
        self._tracked = False  # as in the index

    def __len__(self) -> int:
        return len(self.index)

    def assign(self, keys: pl.DataFrame, *, unique: bool = False) -> Ids:
        """Return the slot of each key row, giving unknown keys new slots."""
        return self.index.assign(keys, unique=unique)

    def lookup(self, keys: pl.DataFrame) -> Ids:
        """Return the slot of each key row, -1 where the key is unknown."""
        return self.index.lookup(keys)

    def get(self, slots: Ids) -> pl.DataFrame:
        """Return the values of ``slots``; all null where none was ever set or the slot is -1."""
        present = self.exists(slots)
        if present.all():
            return self._values.get(slots)
        known = self._values.get(slots[present])
        if not known.width:
            return pl.DataFrame(height=len(slots))
        places = np.where(present, np.cumsum(present) - 1, known.height)
        blank = pl.DataFrame(
            [pl.Series(name, [None], dtype=dtype) for name, dtype in known.schema.items()]
        )
        return pl.concat([known, blank])[places]

    def set(self, slots: Ids, frame: pl.DataFrame) -> None:
        """Store one row of values under each slot; the last wins where a slot repeats."""
        if not len(slots):
            return
        self._values.set(slots, frame)
        self._note(slots)

    def physical(self, slots: Ids) -> list[npt.NDArray[Any]] | None:
        """Return the values of ``slots``, all set before, as arrays; None if one is null."""
        return self._values.physical(slots)

    def set_physical(self, slots: Ids, columns: list[npt.NDArray[Any]]) -> None:
        """Store arrays of values, all of fixed width, under ``slots`` (unique, at least one)."""
        self._values.set_physical(slots, columns)
        self._note(slots)

    def _note(self, slots: Ids) -> None:
        self._present.ensure(int(slots.max()) + 1)
        self._present.data[slots] = True
        if self._tracked:
            self._dirty.add(slots)

    def exists(self, slots: Ids) -> Mask:
        """Tell for each slot whether a value was ever set under it; False for slot -1."""
        self._present.ensure(self.index.capacity + 1)  # so that -1 is an unused place
        present: Mask = self._present.data[slots]
        return present

    def keys(self, slots: Ids) -> pl.DataFrame:
        """Return the keys of living slots."""
        return self.index.keys(slots)

    def is_live(self, slots: Ids) -> Mask:
        """Tell for each slot whether it is in use."""
        return self.index.is_live(slots)

    def live_slots(self) -> Ids:
        """Return all slots in use, ascending."""
        return self.index.live_slots()

    def delete(self, slots: Ids) -> None:
        """Forget keys and values of ``slots``, which other keys may get then."""
        slots = distinct(slots[slots >= 0])
        present = slots[self.exists(slots)]
        self._values.clear(present)
        self._present.data[present] = False
        self.index.release(slots)

    @property
    def rows(self) -> int:
        """Living keys."""
        return len(self)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        own = self._values.nbytes + self._present.nbytes + self._dirty.nbytes
        return self.index.nbytes + own

    def delta(self) -> Part:
        """Return keys, values and released slots since the last snapshot."""
        part = self.index.delta()
        dirty = self._dirty.drain() if self._tracked else self.live_slots()
        self._tracked = True
        dirty = dirty[self.exists(dirty)]
        if len(dirty):
            part["values"] = numbered(dirty, self._values.get(dirty).get_columns())
        return part

    def full(self) -> Part:
        """Return all keys and values."""
        self._dirty.drain()
        self._tracked = True
        part = self.index.full()
        slots = self.live_slots()
        slots = slots[self.exists(slots)]
        part["values"] = numbered(slots, self._values.get(slots).get_columns())
        return part

    def load(self, parts: list[Part]) -> None:
        """Restore keys and values under the same slots."""
        self._tracked = True
        parts = since_last_full(parts)
        self.index.load(parts)
        for part in parts:
            if "released" in part:
                self._drop(_slots(part["released"]))
            if "values" in part:
                slots = _slots(part["values"])
                self._values.set(slots, part["values"])
                self._present.ensure(self.index.capacity + 1)
                self._present.data[slots] = True

    def _drop(self, slots: Ids) -> None:
        if len(slots):
            self._present.ensure(int(slots.max()) + 1)
            present = slots[self._present.data[slots]]
            self._values.clear(present)
            self._present.data[present] = False


def _slots(frame: pl.DataFrame) -> Ids:
    return frame.get_column(SLOT).to_numpy().astype(np.int64)
