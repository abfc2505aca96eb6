"""LatestRows: the last row of each key, or the only one, as changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from penstock.operators.aggregate import equal_rows
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import weighted
from penstock.operators.expiry import Expiry
from penstock.state.table import KeyedTable

_COUNT = "_penstock_rows"


class LatestRows(Operator):
    """Keep the newest row of each key of append-only rows; ``once``: show it while it is alone.

    ``(a, 1) (a, 2)`` -> ``+(a, 1)`` then ``-(a, 1) +(a, 2)``; with ``once`` ``+(a, 1)`` then
    ``-(a, 1)``.

    State: a row a key, freed when the expiry says so.
    """

    def __init__(
        self,
        schema: pl.Schema,
        subset: Sequence[str],
        *,
        once: bool,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._subset, self._once = list(subset), once
        keys = pl.Schema({name: schema[name] for name in subset})
        self._table = KeyedTable(keys, pl.Schema({**schema, _COUNT: pl.Int64()}))
        self._expiry = expiry(self._table) if expiry else None
        self._columns = list(schema)
        extra = self._expiry.state if self._expiry else {}
        self.state = {"rows": self._table, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Replace the rows of the keys that came, and emit the difference."""
        delta = deltas[0]
        result = None if delta is None else self._replace(delta, tick)
        if self._expiry is not None:
            self._table.delete(self._expiry.expired(tick))
        return result

    def _replace(self, delta: pl.DataFrame, tick: Tick) -> Delta | None:
        keys = delta.select(self._subset)
        all_slots = self._table.assign(keys)
        slots, backwards, counts = np.unique(all_slots[::-1], return_index=True, return_counts=True)
        last = len(all_slots) - 1 - backwards
        after = delta[last]
        existed = self._table.exists(slots)
        old = self._table.get(slots[existed])
        total = counts.astype(np.int64)
        total[existed] += old[_COUNT].to_numpy()
        self._table.set(slots, after.with_columns(pl.Series(_COUNT, total)))
        if self._expiry is not None:
            self._expiry.touch(slots, keys[last], tick)
        before = old.select(self._columns)
        if self._once:
            removed = before.filter(old[_COUNT] == 1)
            added = after.filter(total == 1)
        else:
            changed = np.ones(len(slots), dtype=bool)
            changed[existed] = ~equal_rows(before, after.filter(existed))
            removed, added = before.filter(changed[existed]), after.filter(changed)
        parts = [weighted(f, w) for f, w in ((removed, -1), (added, 1)) if f.height]
        return pl.concat(parts) if parts else None
