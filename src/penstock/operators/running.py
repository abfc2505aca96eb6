"""Running: functions along the rows of a key that carry little from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.state.arrays import Ids, distinct
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore

_SLOT = "_penstock_slot"


@dataclass(frozen=True, slots=True)
class Carried:
    """``run`` over the column ``name``, which holds ``value`` of each row.

    Its last ``depth`` values are carried, or with ``accumulates`` its result so far.
    """

    name: str
    value: pl.Expr
    run: pl.Expr
    depth: int
    accumulates: bool


class Running(Operator):
    """Evaluate running functions over append-only rows; each row goes through at once.

    ``cum_sum`` of ``1 2`` then ``3`` -> ``1 3`` then ``6``: the rows of an epoch follow a row that
    holds the sum so far, the sum is taken over both, and the first is dropped again.

    State: a few rows of carried values a key, freed when the expiry says so; a key that comes again
    begins afresh.
    """

    def __init__(
        self,
        schema: pl.Schema,
        keys: Sequence[str],
        calls: Sequence[Carried],
        finish: Callable[[pl.DataFrame], pl.DataFrame],
        expiry: Callable[[KeyIndex], Expiry] | None = None,
    ) -> None:
        self._keys, self._calls, self._finish = list(keys), list(calls), finish
        self._depth = max(call.depth for call in calls)
        values = [call.value.alias(call.name) for call in calls]
        self._index = KeyIndex(pl.Schema({name: schema[name] for name in keys}))
        self._names = [call.name for call in calls]
        carried = pl.DataFrame(schema=schema).with_columns(values).select(self._names)
        self._carried = RowStore(carried.schema)
        self._values = values
        self._expiry = expiry(self._index) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {"keys": self._index, "carried": self._carried, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Run along the rows and carry on."""
        delta = deltas[0]
        result = None if delta is None else self._run(delta, tick)
        if self._expiry is not None:
            expired = self._expiry.expired(tick)
            self._carried.remove_slots(expired)
            self._index.release(expired)
        return result

    def _run(self, delta: pl.DataFrame, tick: Tick) -> pl.DataFrame:
        rows = delta.with_columns(self._values).select(self._names)
        slots = self._slots(delta)
        used = distinct(slots)
        if self._expiry is not None:
            self._expiry.touch(used, self._index.keys(used), tick)
        positions, before = self._carried.lookup(used)
        every = pl.Series(_SLOT, np.concatenate([used[positions], slots]), dtype=pl.Int64)
        both = pl.concat([before, rows]).with_columns(every)
        runs = both.select(
            (call.run.over(_SLOT) if self._keys else call.run).alias(call.name)
            for call in self._calls
        )
        self._carry(both, runs)
        return self._finish(delta.hstack(runs.tail(delta.height)))

    def _slots(self, delta: pl.DataFrame) -> Ids:
        if self._keys:
            return self._index.assign(delta.select(self._keys))
        self._index.assign(pl.DataFrame(height=1))
        return np.zeros(delta.height, dtype=np.int64)

    def _carry(self, both: pl.DataFrame, runs: pl.DataFrame) -> None:
        """Keep the last rows of each key, with results so far in the very last."""
        from_end = pl.int_range(pl.len(), 0, -1, dtype=pl.Int64).over(_SLOT).alias("end")
        end = both.select(from_end)["end"]
        so_far = [
            pl.when(pl.lit(end) == 1).then(self._so_far(call)).alias(call.name)
            for call in self._calls
            if call.accumulates
        ]
        totals = runs.with_columns(both[_SLOT]).select(so_far)
        last = both.with_columns(totals).filter(end <= self._depth)
        self._carried.replace(last[_SLOT].to_numpy(), last.select(self._names))

    @staticmethod
    def _so_far(call: Carried) -> pl.Expr:
        """A null leaves the result so far as it was."""
        return pl.col(call.name).forward_fill().over(_SLOT)
