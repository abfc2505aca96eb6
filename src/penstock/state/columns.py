"""Rows of columns addressed by a dense integer id.

    store.set([0, 1, 2], frame)  ->  store.get([2, 0, 2])

Columns of fixed width lie in NumPy arrays, text as ``text.py`` says, all other types in an arena
(``arena.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arena import ArenaColumn
from penstock.state.arrays import GrowArray, Ids, Mask
from penstock.state.memory import MemoryBudget
from penstock.state.physical import numpy_type, physical_type, to_numpy, to_series
from penstock.state.text import TextColumn

SMALLEST_GARBAGE = 1024
"""Dead values below this are not worth a compaction."""


class FixedColumn:
    """Values of fixed width in a NumPy array, and a validity array once a null was seen."""

    def __init__(self, name: str, dtype: pl.DataType, *, budget: MemoryBudget | None) -> None:
        self.name = name
        self.dtype = dtype
        self._budget = budget
        self._values = GrowArray(numpy_type(dtype), budget=budget)
        self._valid: GrowArray | None = None

    def set(self, ids: Ids, values: pl.Series) -> None:
        """Store ``values`` under ``ids``; the last wins where an id repeats."""
        if len(ids):
            self.set_physical(ids, *to_numpy(values, self.dtype))

    def set_physical(self, ids: Ids, physical: npt.NDArray[Any], valid: Mask | None) -> None:
        """Store physical values under ``ids``, null where not ``valid``."""
        size = int(ids.max()) + 1
        self._values.ensure(size)
        self._values.data[ids] = physical
        if valid is not None and self._valid is None:
            self._valid = GrowArray(np.bool_, fill=True, budget=self._budget)
            self._valid.ensure(len(self._values.data))
        if self._valid is not None:
            self._valid.ensure(size)
            self._valid.data[ids] = True if valid is None else valid

    def get(self, ids: Ids) -> pl.Series:
        """Return the values under ``ids``."""
        values, valid = self.physical(ids)
        return to_series(self.name, values, valid, self.dtype)

    def physical(self, ids: Ids) -> tuple[npt.NDArray[Any], Mask | None]:
        """Return the physical values under ``ids`` and their validity (None: all valid)."""
        valid = None if self._valid is None else self._valid.data[ids]
        return self._values.data[ids], valid

    def reserve(self, size: int) -> None:
        """Make ids below ``size`` valid to get."""
        self._values.ensure(size)
        if self._valid is not None:
            self._valid.ensure(size)

    def clear(self, ids: Ids) -> None:
        """Do nothing: the place is reused with its id."""

    def take(self, ids: Ids) -> None:
        """Keep the values of ``ids``, under the ids from 0 on."""
        self._values.take(ids)
        if self._valid is not None:
            self._valid.take(ids)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._values.nbytes + (0 if self._valid is None else self._valid.nbytes)


Column = FixedColumn | TextColumn | ArenaColumn


def _column(
    name: str, dtype: pl.DataType, smallest_garbage: int, budget: MemoryBudget | None
) -> Column:
    if physical_type(dtype):
        return FixedColumn(name, dtype, budget=budget)
    if dtype == pl.String:
        return TextColumn(name, smallest_garbage=smallest_garbage, budget=budget)
    return ArenaColumn(name, dtype, smallest_garbage=smallest_garbage, budget=budget)


class ColumnStore:
    """Rows of ``schema`` by dense id; the value of an id that was never set is not defined."""

    def __init__(
        self,
        schema: pl.Schema,
        *,
        budget: MemoryBudget | None = None,
        smallest_garbage: int = SMALLEST_GARBAGE,
    ) -> None:
        self.schema = pl.Schema(schema)
        self._budget = budget
        self.columns = [
            _column(name, dtype, smallest_garbage, budget) for name, dtype in self.schema.items()
        ]
        self._size = 0

    def __len__(self) -> int:
        """Return one more than the highest id that was set."""
        return self._size

    def set(self, ids: Ids, frame: pl.DataFrame) -> None:
        """Store the rows of ``frame`` under ``ids``; the last wins where an id repeats."""
        if not len(ids):
            return
        self._size = max(self._size, int(ids.max()) + 1)
        for column in self.columns:
            column.set(ids, frame.get_column(column.name))
        if self._budget is not None:
            self._budget.enforce()

    def get(self, ids: Ids) -> pl.DataFrame:
        """Return the rows under ``ids``, which may repeat, in the schema's column order."""
        if not self.columns:
            return pl.DataFrame(height=len(ids))
        if len(ids):
            highest = int(ids.max())
            if highest >= self._size:
                self._reserve(highest + 1)
        first, *rest = [column.get(ids) for column in self.columns]
        frame = first.to_frame()
        return frame.hstack(rest) if rest else frame

    def physical(self, ids: Ids) -> list[npt.NDArray[Any]] | None:
        """Return the physical values under ``ids`` by column; None if one is null or not fixed."""
        found = []
        for column in self.columns:
            if not isinstance(column, FixedColumn):
                return None
            values, valid = column.physical(ids)
            if valid is not None and not valid.all():
                return None
            found.append(values)
        return found

    def physical_columns(self, ids: Ids) -> list[tuple[npt.NDArray[Any], Mask | None]]:
        """Return values and validity under ``ids`` of columns that are all of fixed width."""
        return [column.physical(ids) for column in self.columns if isinstance(column, FixedColumn)]

    def set_physical(self, ids: Ids, columns: list[npt.NDArray[Any]]) -> None:
        """Store physical values under ``ids`` (unique), in columns of fixed width."""
        self._size = max(self._size, int(ids.max()) + 1)
        for column, values in zip(self.columns, columns, strict=True):
            assert isinstance(column, FixedColumn)
            column.set_physical(ids, values, None)
        if self._budget is not None:
            self._budget.enforce()

    def _reserve(self, size: int) -> None:
        for column in self.columns:
            column.reserve(size)

    def clear(self, ids: Ids) -> None:
        """Drop the rows under ``ids`` (unique)."""
        for column in self.columns:
            column.clear(ids)

    def take(self, ids: Ids) -> None:
        """Keep the rows under ``ids``, each set and of its own, under the ids from 0 on."""
        for column in self.columns:
            column.take(ids)
        self._size = len(ids)

    def column(self, name: str) -> Column:
        """Return one column."""
        return self.columns[self.schema.names().index(name)]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(column.nbytes for column in self.columns)
