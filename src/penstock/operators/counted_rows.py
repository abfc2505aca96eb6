"""CountedRows: the distinct rows of a changelog."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import weighted
from penstock.operators.expiry import Expiry
from penstock.state.table import KeyedTable

_COUNT = "_penstock_rows"


class CountedRows(Operator):
    """Count each distinct row of a changelog; show it once while it is there at all.

    ``+2 x``, ``-1 x``, ``-1 x`` -> ``+x``, nothing, ``-x``. With ``once`` a row is shown while its
    count is exactly one.

    State: a count a distinct row, freed at zero or when the expiry says so.
    """

    def __init__(
        self,
        schema: pl.Schema,
        *,
        once: bool,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._once = once
        self._table = KeyedTable(schema, pl.Schema({_COUNT: pl.Int64()}))
        self._expiry = expiry(self._table) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {"rows": self._table, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Add up the weights; emit the rows that appeared and vanished."""
        delta = deltas[0]
        result = None if delta is None else self._count(delta, tick)
        if self._expiry is not None:
            self._table.delete(self._expiry.expired(tick))
        return result

    def _count(self, delta: pl.DataFrame, tick: Tick) -> Delta | None:
        keys = delta.drop(WEIGHT)
        weights = delta[WEIGHT].to_numpy()
        all_slots = self._table.assign(keys)
        slots, first, inverse = np.unique(all_slots, return_index=True, return_inverse=True)
        before = np.zeros(len(slots), dtype=np.int64)
        known = self._table.exists(slots)
        before[known] = self._table.get(slots[known])[_COUNT].to_numpy()
        after = before.copy()
        np.add.at(after, inverse, weights)
        rows = keys[first]
        if self._expiry is not None:
            self._expiry.touch(slots, rows, tick)
        gone = after == 0
        self._table.set(slots[~gone], pl.DataFrame({_COUNT: after[~gone]}))
        # A row is retracted as it was shown: 0.0 and -0.0 are one key.
        vanished = self._shown(before) & ~self._shown(after)
        removed = self._table.keys(slots[vanished])
        added = self._table.keys(slots[self._shown(after) & ~self._shown(before)])
        self._table.delete(slots[gone])
        parts = [weighted(f, w) for f, w in ((removed, -1), (added, 1)) if f.height]
        return pl.concat(parts) if parts else None

    def _shown(self, count: np.ndarray) -> np.ndarray:
        return count == 1 if self._once else count > 0
