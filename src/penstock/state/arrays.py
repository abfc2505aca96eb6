"""Arrays that grow: what every store keeps its fixed-width data in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.state.memory import SMALLEST, MemoryBudget, ScratchFile

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint64]

_SMALLEST = 64
_DOUBLE_BELOW = 1 << 20  # entries; above it growth is by half, to waste less memory


def grown(capacity: int, needed: int) -> int:
    """Return the capacity to take so that growth costs an amortised constant per entry."""
    step = capacity if capacity < _DOUBLE_BELOW else capacity // 2
    return max(needed, capacity + step, _SMALLEST)


class GrowArray:
    """One-dimensional array that is extended with a fill value when a higher index is needed.

    ``data`` is the whole allocation; take it afresh after every call that may grow it. It lies in
    anonymous memory, or in a mapped scratch file once the budget has no room for it.
    """

    __slots__ = ("__weakref__", "_budget", "_file", "data", "fill")

    def __init__(
        self, dtype: npt.DTypeLike, fill: Any = 0, budget: MemoryBudget | None = None
    ) -> None:
        self.fill = fill
        self.data: npt.NDArray[Any] = np.empty(0, dtype)
        self._budget = budget
        self._file: ScratchFile | None = None

    def ensure(self, size: int) -> None:
        """Make indices below ``size`` valid."""
        old = len(self.data)
        if size > old:
            self.ensure_exactly(grown(old, size))

    def ensure_exactly(self, capacity: int) -> None:
        """Make indices below ``capacity``, which must not shrink, valid, and no others."""
        old = self.data
        fresh = self._extended(capacity)
        if self.fill:
            fresh[len(old) :] = self.fill
        self.data = fresh

    def _extended(self, capacity: int) -> npt.NDArray[Any]:
        old, budget = self.data, self._budget
        if self._file is not None:
            return self._file.map(old.dtype, capacity)
        size = capacity * old.itemsize
        if budget is not None and size >= SMALLEST:
            if budget.fits(size):
                budget.register(self)
                budget.note(size - old.nbytes)
            else:
                self._file = ScratchFile(budget.scratch)
        # Zero pages of anonymous memory cost nothing until they are touched.
        file = self._file
        fresh = np.zeros(capacity, old.dtype) if file is None else file.map(old.dtype, capacity)
        fresh[: len(old)] = old
        return fresh

    @property
    def anonymous(self) -> int:
        """Bytes of anonymous memory held."""
        return 0 if self._file is not None else self.data.nbytes

    def spill(self) -> None:
        """Move to a mapped scratch file."""
        if self._budget is None or self._file is not None:
            return
        self._file = ScratchFile(self._budget.scratch)
        mapped = self._file.map(self.data.dtype, len(self.data))
        mapped[:] = self.data
        self.data = mapped

    def take(self, ids: Ids) -> None:
        """Keep the entries ``ids`` as the first ones, in this order; there are no others then."""
        kept = self.data[ids]
        if self._file is not None:
            self.data[: len(ids)] = kept
            self.data[len(ids) :] = self.fill
            return
        if self._budget is not None and self.data.nbytes >= SMALLEST:
            self._budget.note(kept.nbytes - self.data.nbytes)
        self.data = kept

    def clear(self) -> None:
        """Forget everything and free the memory."""
        if self._budget is not None and self._file is None and self.data.nbytes >= SMALLEST:
            self._budget.note(-self.data.nbytes)
        self._file = None
        self.data = np.empty(0, self.data.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self.data.nbytes


class IdList:
    """Growable list of ids, appended in batches."""

    __slots__ = ("_array", "_size")

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self._array = GrowArray(np.int64, budget=budget)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def extend(self, ids: Ids) -> None:
        """Append ``ids``."""
        end = self._size + len(ids)
        self._array.ensure(end)
        self._array.data[self._size : end] = ids
        self._size = end

    def view(self) -> Ids:
        """Return the ids, valid until the next change."""
        return self._array.data[: self._size]

    def pop(self, count: int) -> Ids:
        """Remove and return the last ``count`` ids."""
        taken = self._array.data[self._size - count : self._size].copy()
        self._size -= count
        return taken

    def clear(self) -> None:
        """Forget all ids."""
        self._array.clear()
        self._size = 0

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self._array.nbytes


class IdSet:
    """Set of ids that costs, to add to and to drain, only what is in it: marks what is dirty."""

    __slots__ = ("_list", "_member")

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        self._member = GrowArray(np.bool_, budget=budget)
        self._list = IdList(budget)

    def __len__(self) -> int:
        return len(self._list)

    def add(self, ids: Ids) -> None:
        """Add ``ids``; repeats within one call may be listed twice until drained."""
        if not len(ids):
            return
        self._member.ensure(int(ids.max()) + 1)
        member = self._member.data
        fresh = ids[~member[ids]]
        if len(fresh):
            member[fresh] = True
            self._list.extend(fresh)

    def drain(self) -> Ids:
        """Return the ids, ascending and unique, and become empty."""
        ids = distinct(self._list.view())
        self._member.data[ids] = False
        self._list.clear()
        return ids

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return self._member.nbytes + self._list.nbytes


def distinct(values: Ids) -> Ids:
    """Return the distinct values, ascending; by sorting, which beats NumPy's hashing here."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return ordered
    fresh = np.empty(len(ordered), np.bool_)
    fresh[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    result: Ids = ordered if fresh.all() else ordered[fresh]
    return result
