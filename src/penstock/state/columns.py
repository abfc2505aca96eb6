"""Rows of columns addressed by a dense integer id.

    store.set([0, 1, 2], frame)  ->  store.get([2, 0, 2])

Columns of fixed width lie in NumPy arrays. All other types lie in an **arena**: immutable chunks
of values one after another, and one pointer per id. Chunks are merged in geometric steps, so that
their number stays logarithmic and every value is copied a bounded number of times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import GrowArray, Ids, Mask
from penstock.state.physical import numpy_type, physical_type, to_numpy, to_series

LARGEST_CHUNK = 1 << 20
"""Rows of an arena chunk beyond which it is not merged again: bounds the cost of one merge."""

_SMALLEST_GARBAGE = 1024  # dead values below this are not worth a compaction
_SORTED_GATHER = 4096  # ids from which visiting chunks one by one beats one multi-chunk gather


class FixedColumn:
    """Values of fixed width in a NumPy array, and a validity array once a null was seen."""

    def __init__(self, name: str, dtype: pl.DataType) -> None:
        self.name = name
        self.dtype = dtype
        self._values = GrowArray(numpy_type(dtype))
        self._valid: GrowArray | None = None

    def set(self, ids: Ids, values: pl.Series) -> None:
        """Store ``values`` under ``ids``; the last wins where an id repeats."""
        if not len(ids):
            return
        self.set_physical(ids, *to_numpy(values, self.dtype))

    def set_physical(self, ids: Ids, physical: npt.NDArray[Any], valid: Mask | None) -> None:
        """Store physical values under ``ids``, null where not ``valid``."""
        size = int(ids.max()) + 1
        self._values.ensure(size)
        self._values.data[ids] = physical
        if valid is not None and self._valid is None:
            self._valid = GrowArray(np.bool_, fill=True)
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

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._values.nbytes + (0 if self._valid is None else self._valid.nbytes)


class ArenaColumn:
    """Values of any type in immutable chunks, with a pointer per id."""

    def __init__(self, name: str, dtype: pl.DataType, *, smallest_garbage: int) -> None:
        self.name = name
        self.dtype = dtype
        self._smallest_garbage = smallest_garbage
        self._pointers = GrowArray(np.int64, fill=-1)
        self._nothing = pl.Series(name, [None], dtype=dtype)
        self._chunks: list[pl.Series] = []
        self._starts: list[int] = []
        self._end = 0
        self._living = 0
        self._joined: pl.Series | None = None

    def set(self, ids: Ids, values: pl.Series) -> None:
        """Store ``values`` under ``ids``; the last wins where an id repeats."""
        if not len(ids):
            return
        self._pointers.ensure(int(ids.max()) + 1)
        pointers = self._pointers.data
        before = pointers[ids]
        pointers[ids] = np.arange(self._end, self._end + len(ids), dtype=np.int64)
        fresh = before < 0
        if fresh.any():
            added = ids[fresh]
            self._living += len(added) if len(added) == 1 else len(np.unique(added))
        self._append(values)
        self._collect()

    def _append(self, values: pl.Series) -> None:
        self._starts.append(self._end)
        self._chunks.append(values.alias(self.name))
        self._end += len(values)
        self._joined = None
        while len(self._chunks) > 1:
            last, previous = len(self._chunks[-1]), len(self._chunks[-2])
            if previous >= 2 * last or previous + last > LARGEST_CHUNK:
                return
            merged = pl.concat([self._chunks[-2], self._chunks[-1]], rechunk=True)
            self._chunks[-2:] = [merged]
            self._starts.pop()

    def get(self, ids: Ids) -> pl.Series:
        """Return the values under ``ids``; null where nothing was stored."""
        if not len(ids):
            return self._nothing[:0]
        pointers = self._pointers.data[ids]
        missing = pointers < 0
        if not missing.any():
            return self._gather(pointers)
        present = self._gather(pointers[~missing])
        places = np.where(missing, len(present), np.cumsum(~missing) - 1)
        return pl.concat([present, self._nothing])[places]

    def reserve(self, size: int) -> None:
        """Make ids below ``size`` valid to get."""
        self._pointers.ensure(size)

    def _gather(self, pointers: Ids) -> pl.Series:
        if not len(pointers):
            return self._nothing[:0]
        if len(self._chunks) == 1:
            return self._chunks[0][pointers - self._starts[0]]
        if len(pointers) < _SORTED_GATHER:
            if self._joined is None:
                self._joined = pl.concat(self._chunks, rechunk=False)
            return self._joined[pointers - self._starts[0]]
        return self._gather_by_chunk(pointers)

    def _gather_by_chunk(self, pointers: Ids) -> pl.Series:
        order = np.argsort(pointers)
        ordered = pointers[order]
        bounds = [*np.searchsorted(ordered, self._starts).tolist(), len(ordered)]
        pieces = [
            self._chunks[i][ordered[bounds[i] : bounds[i + 1]] - self._starts[i]]
            for i in range(len(self._chunks))
            if bounds[i] < bounds[i + 1]
        ]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return pl.concat(pieces, rechunk=True)[places]

    def clear(self, ids: Ids) -> None:
        """Drop the values under ``ids`` (unique); their memory is freed by and by."""
        inside = ids[ids < len(self._pointers.data)]
        pointers = self._pointers.data
        self._living -= int(np.count_nonzero(pointers[inside] >= 0))
        pointers[inside] = -1
        self._collect()

    def _collect(self) -> None:
        """Rewrite the arena when more than half of it is dead."""
        size = self._end - (self._starts[0] if self._starts else 0)
        dead = size - self._living
        if dead <= max(self._living, self._smallest_garbage):
            return
        ids = np.flatnonzero(self._pointers.data >= 0)
        pointers = self._pointers.data[ids]
        self._pointers.data[ids] = np.arange(len(ids), dtype=np.int64)
        chunks = [
            self._gather(pointers[at : at + LARGEST_CHUNK])
            for at in range(0, len(ids), LARGEST_CHUNK)
        ]
        self._chunks = chunks
        self._starts = list(range(0, len(ids), LARGEST_CHUNK))
        self._end = len(ids)
        self._joined = None

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._pointers.nbytes + sum(int(chunk.estimated_size()) for chunk in self._chunks)


class ColumnStore:
    """Rows of ``schema`` by dense id; the value of an id that was never set is not defined."""

    def __init__(self, schema: pl.Schema, *, smallest_garbage: int = _SMALLEST_GARBAGE) -> None:
        self.schema = pl.Schema(schema)
        self.columns: list[FixedColumn | ArenaColumn] = [
            FixedColumn(name, dtype)
            if physical_type(dtype)
            else ArenaColumn(name, dtype, smallest_garbage=smallest_garbage)
            for name, dtype in self.schema.items()
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

    def get(self, ids: Ids) -> pl.DataFrame:
        """Return the rows under ``ids``, which may repeat, in the schema's column order."""
        if not self.columns:
            return pl.DataFrame(height=len(ids))
        if len(ids) and int(ids.max()) >= self._size:
            self._reserve(int(ids.max()) + 1)
        first, *rest = [column.get(ids) for column in self.columns]
        frame = first.to_frame()
        return frame.hstack(rest) if rest else frame

    def _reserve(self, size: int) -> None:
        for column in self.columns:
            column.reserve(size)

    def clear(self, ids: Ids) -> None:
        """Drop the rows under ``ids`` (unique)."""
        for column in self.columns:
            column.clear(ids)

    def column(self, name: str) -> FixedColumn | ArenaColumn:
        """Return one column."""
        return self.columns[self.schema.names().index(name)]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(column.nbytes for column in self.columns)
