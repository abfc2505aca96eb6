"""Values of any type in immutable chunks, one after another, and a pointer per id.

Chunks are merged in geometric steps, so that their number stays logarithmic and every value is
copied a bounded number of times; merging neighbours leaves all pointers as they are.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state.arrays import GrowArray, Ids
from penstock.state.memory import SMALLEST, MemoryBudget, SpilledBlock
from penstock.state.owned import owned

LARGEST_CHUNK = 1 << 20
"""Rows of a chunk beyond which it is not merged again: bounds the cost of one merge."""

SPILLED_ROWS = 1 << 16
"""Rows of a block on disk: what is read to get at one value."""

_REWRITTEN = (128, 4096)  # rows of merged chunks whose text is gathered in one buffer
_SORTED_GATHER = 4096  # ids from which visiting chunks one by one beats one multi-chunk gather


class ArenaColumn:
    """Column of values of any type by id."""

    def __init__(
        self,
        name: str,
        dtype: pl.DataType,
        *,
        smallest_garbage: int,
        budget: MemoryBudget | None = None,
    ) -> None:
        self.name = name
        self.dtype = dtype
        self._smallest_garbage = smallest_garbage
        self._budget = budget
        self._pointers = GrowArray(np.int64, fill=-1, budget=budget)
        self._nothing = pl.Series(name, [None], dtype=dtype)
        self._chunks: list[pl.Series | SpilledBlock] = []
        self._starts: list[int] = []
        self._end = 0
        self._living = 0
        self._on_disk = 0
        self._joined: pl.Series | None = None
        if budget is not None:
            budget.register(self)

    def __len__(self) -> int:
        return self._living

    @property
    def size(self) -> int:
        """One more than the highest id that is valid to get."""
        return len(self._pointers.data)

    def ids(self) -> Ids:
        """Return the ids under which something is stored, ascending."""
        return np.flatnonzero(self._pointers.data >= 0)

    def set(self, ids: Ids, values: pl.Series) -> None:
        """Store ``values`` under ``ids``; the last wins where an id repeats."""
        if not len(ids):
            return
        self._pointers.ensure(int(ids.max()) + 1)
        pointers = self._pointers.data
        fresh = pointers[ids] < 0
        pointers[ids] = np.arange(self._end, self._end + len(ids), dtype=np.int64)
        if fresh.any():
            added = ids[fresh]
            self._living += 1 if len(added) == 1 else _distinct(added)
        self._append(values)
        self._collect()

    def _append(self, values: pl.Series) -> None:
        values = owned(values.alias(self.name))
        self._starts.append(self._end)
        self._chunks.append(values)
        self._end += len(values)
        self._joined = None
        if self._budget is not None:
            self._budget.note(_size(values))
        while len(self._chunks) > 1:
            previous, last = self._chunks[-2:]
            if isinstance(previous, SpilledBlock) or isinstance(last, SpilledBlock):
                return
            if len(previous) >= 2 * len(last) or len(previous) + len(last) > LARGEST_CHUNK:
                return
            merged = pl.concat([previous, last], rechunk=True)
            # text stays in the buffers of its origins: here many small ones become one
            small = _REWRITTEN[0] <= len(merged) < _REWRITTEN[1]
            self._chunks[-2:] = [owned(merged) if small else merged]
            self._starts.pop()

    def get(self, ids: Ids) -> pl.Series:
        """Return the values under ``ids``; null where nothing was stored."""
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
        if len(pointers) < _SORTED_GATHER and not self._on_disk:
            if self._joined is None:
                chunks = [chunk for chunk in self._chunks if isinstance(chunk, pl.Series)]
                self._joined = pl.concat(chunks, rechunk=False) if len(chunks) > 1 else chunks[0]
            return self._joined[pointers - self._starts[0]]
        if len(self._chunks) == 1:
            return self._chunk(0)[pointers - self._starts[0]]
        return self._gather_by_chunk(pointers)

    def _gather_by_chunk(self, pointers: Ids) -> pl.Series:
        ascending = bool((pointers[1:] > pointers[:-1]).all())
        order = np.arange(len(pointers)) if ascending else np.argsort(pointers)
        ordered = pointers[order]
        bounds = np.append(np.searchsorted(ordered, self._starts), len(ordered))
        pieces = [
            self._chunk(i)[ordered[bounds[i] : bounds[i + 1]] - self._starts[i]]
            for i in np.flatnonzero(np.diff(bounds)).tolist()
        ]
        gathered = pl.concat(pieces, rechunk=True)
        if ascending:
            return gathered
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return gathered[places]

    def _chunk(self, number: int) -> pl.Series:
        chunk = self._chunks[number]
        return chunk.read() if isinstance(chunk, SpilledBlock) else chunk

    def clear(self, ids: Ids) -> None:
        """Drop the values under ``ids`` (unique); their memory is freed by and by."""
        inside = ids[ids < len(self._pointers.data)]
        pointers = self._pointers.data
        self._living -= int(np.count_nonzero(pointers[inside] >= 0))
        pointers[inside] = -1
        self._collect()

    def take(self, ids: Ids) -> None:
        """Keep the values of ``ids``, each once, under the ids from 0 on; no value is moved."""
        self._pointers.take(ids)
        self._living = int(np.count_nonzero(self._pointers.data >= 0))
        self._collect()

    def _collect(self) -> None:
        """Rewrite the arena when more than half of it is dead, chunk by chunk."""
        dead = self._end - self._living
        if dead <= max(self._living, self._smallest_garbage):
            return
        ids = self.ids()
        pointers = self._pointers.data[ids]
        order = np.argsort(pointers)
        bounds = np.append(np.searchsorted(pointers[order], self._starts), len(order))
        found, pieces, waiting = list[pl.Series | SpilledBlock](), list[pl.Series](), 0
        for number, start in enumerate(self._starts):
            rows = pointers[order[bounds[number] : bounds[number + 1]]] - start
            if len(rows):
                pieces.append(owned(self._chunk(number)[rows]))
                waiting += len(rows)
            self._chunks[number] = self._nothing  # the old one is let go of
            if waiting >= LARGEST_CHUNK:
                found += self._cut(pieces)
                pieces, waiting = [], 0
        found += self._cut(pieces)
        self._pointers.data[ids[order]] = np.arange(len(ids), dtype=np.int64)
        self._chunks = found
        self._starts = [0, *np.cumsum([len(chunk) for chunk in found]).tolist()][: len(found)]
        self._end = len(ids)
        self._on_disk = sum(isinstance(chunk, SpilledBlock) for chunk in found)
        self._joined = None

    def _cut(self, pieces: list[pl.Series]) -> list[pl.Series | SpilledBlock]:
        """Return the values of pieces as chunks of the size in which they are kept."""
        if not pieces:
            return []
        whole = pl.concat(pieces, rechunk=True) if len(pieces) > 1 else pieces[0]
        if self._budget is None or self._budget.fits(_size(whole)):
            return [self._placed(whole)]
        begins = range(0, len(whole), SPILLED_ROWS)
        return [self._placed(owned(whole[at : at + SPILLED_ROWS])) for at in begins]

    def _placed(self, chunk: pl.Series) -> pl.Series | SpilledBlock:
        """Return a chunk where the budget has room for it."""
        if self._budget is None:
            return chunk
        size = int(chunk.estimated_size())
        if size >= SMALLEST and not self._budget.fits(size):
            return SpilledBlock(chunk, self._budget)
        self._budget.note(size)
        return chunk

    @property
    def anonymous(self) -> int:
        """Bytes of chunks in memory."""
        return sum(_size(chunk) for chunk in self._chunks)

    def spill(self) -> None:
        """Move the largest chunk in memory to disk, in blocks."""
        if self._budget is None:
            return
        number = max(range(len(self._chunks)), key=lambda i: _size(self._chunks[i]))
        chunk = self._chunks[number]
        if isinstance(chunk, SpilledBlock):
            return
        begins = range(0, len(chunk), SPILLED_ROWS)
        blocks = [SpilledBlock(chunk[at : at + SPILLED_ROWS], self._budget) for at in begins]
        start = self._starts[number]
        self._chunks[number : number + 1] = blocks
        self._starts[number : number + 1] = [start + at for at in begins]
        self._on_disk += len(blocks)
        self._joined = None

    @property
    def nbytes(self) -> int:
        """Bytes held, in memory or on disk."""
        return self._pointers.nbytes + sum(
            chunk.nbytes if isinstance(chunk, SpilledBlock) else _size(chunk)
            for chunk in self._chunks
        )


def _size(chunk: pl.Series | SpilledBlock) -> int:
    return 0 if isinstance(chunk, SpilledBlock) else int(chunk.estimated_size())


def _distinct(ids: Ids) -> int:
    if bool((ids[1:] > ids[:-1]).all()):
        return len(ids)
    ordered = np.sort(ids)
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
