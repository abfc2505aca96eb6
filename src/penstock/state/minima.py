"""The smallest value of a column per block of rows, so that nothing to expire costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.state.arrays import GrowArray, Ids, Mask

BLOCK = 1 << 16
"""Rows per block: rows arrive roughly in order of time, so few blocks hold something to expire."""


class BlockMinima:
    """Lower bounds of the living values per block of row ids."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        kind = np.dtype(dtype)
        self._highest = np.inf if kind.kind == "f" else np.iinfo(kind).max
        self._minima = GrowArray(kind, fill=self._highest)

    def add(self, ids: Ids, values: npt.NDArray[Any], valid: Mask | None) -> None:
        """Take account of new rows."""
        if valid is not None:
            ids, values = ids[valid], values[valid]
        if not len(ids):
            return
        self._minima.ensure(int(ids[-1]) // BLOCK + 1)
        blocks = ids // BLOCK
        begins = np.flatnonzero(np.diff(blocks, prepend=-1))
        lowest = np.fmin.reduceat(values, begins)
        at = blocks[begins]
        self._minima.data[at] = np.fmin(self._minima.data[at], lowest)

    def lowest(self, end: int) -> Any:
        """Return a bound that no value is below."""
        return self._minima.data[: -(-end // BLOCK)].min()

    def blocks_below(self, below: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield begin and end of each block that may hold a value less than ``below``."""
        for block in np.flatnonzero(self._minima.data < below).tolist():
            if block * BLOCK >= end:
                return
            yield block * BLOCK, min((block + 1) * BLOCK, end)

    def reset(self, begin: int, values: npt.NDArray[Any], valid: Mask | None) -> None:
        """Set the bound of the block at ``begin`` to the minimum of what it still holds."""
        if valid is not None:
            values = values[valid]
        bound = np.fmin.reduce(values) if len(values) else self._highest
        self._minima.data[begin // BLOCK] = bound
