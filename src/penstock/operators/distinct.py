"""Distinct: the first row of each key, and the keys seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.state.arrays import Ids
from penstock.state.index import KeyIndex


class Distinct(Operator):
    """Let the first row of each key through, of append-only rows.

    ``(a, 1) (a, 2) (b, 3)`` on the first column -> ``(a, 1) (b, 3)``.

    State: the keys seen, freed when the expiry says so; a key that comes again after that is new.
    """

    def __init__(
        self,
        schema: pl.Schema,
        subset: Sequence[str],
        expiry: Callable[[KeyIndex], Expiry] | None = None,
    ) -> None:
        self._subset = list(subset)
        self._seen = KeyIndex(pl.Schema({name: schema[name] for name in subset}))
        self._expiry = expiry(self._seen) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {"seen": self._seen, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Drop the rows whose key was there before, in this epoch or an earlier one."""
        delta = deltas[0]
        result = None if delta is None else self._new_rows(delta, tick)
        if self._expiry is not None:
            self._seen.release(self._expiry.expired(tick))
        return result

    def _new_rows(self, delta: pl.DataFrame, tick: Tick) -> Delta | None:
        keys = delta.select(self._subset)
        if self._expiry is not None:
            return self._noted(delta, keys, tick)
        rows = np.flatnonzero(self._seen.lookup(keys) < 0)
        if not rows.size:
            return None
        slots = self._seen.assign(keys if rows.size == keys.height else keys[rows])
        return delta[rows[first_of_each(slots)]]

    def _noted(self, delta: pl.DataFrame, keys: pl.DataFrame, tick: Tick) -> Delta | None:
        """Do the same, telling the expiry which keys were used."""
        assert self._expiry is not None
        known = self._seen.lookup(keys)
        slots = self._seen.assign(keys)
        used = first_of_each(slots)
        self._expiry.touch(slots[used], keys[used], tick)
        fresh = used[known[used] < 0]
        return delta[fresh] if fresh.size else None


def first_of_each(slots: Ids) -> Ids:
    """Return the positions, ascending, at which each value occurs first."""
    positions: Ids = np.unique(slots, return_index=True)[1]
    positions.sort()
    return positions
