"""CountWindows: every so many rows of a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.distinct import first_of_each
from penstock.operators.expiry import Expiry
from penstock.state.arrays import Ids
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable
from penstock.windows import END, START

_WINDOW = "_penstock_window"
_DONE = "done"


@dataclass(frozen=True, slots=True)
class CountedGroups:
    """What to compute over every ``count`` rows of a key; ``column`` gives the window's ends."""

    count: int
    column: str | None
    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    input: pl.Schema
    output: pl.Schema

    @property
    def key_schema(self) -> pl.Schema:
        """Names and types of the keys."""
        return pl.DataFrame(schema=self.input).select(*self.keys).schema


class CountWindows(Operator):
    """Aggregate each run of ``count`` rows of a key, in order of arrival, once it is complete.

    What is left at the end of the input is emitted then. State: the rows of the incomplete run of
    each key, and how many rows were emitted; freed when the expiry says so.
    """

    def __init__(
        self, groups: CountedGroups, expiry: Callable[[KeyedTable], Expiry] | None = None
    ) -> None:
        self._groups = groups
        self._table = KeyedTable(groups.key_schema, pl.Schema({_DONE: pl.Int64()}))
        self._rows = RowStore(groups.input)
        self._expiry = expiry(self._table) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {"keys": self._table, "rows": self._rows, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; emit the complete runs, at the end all."""
        delta = deltas[0]
        used = None if delta is None else self._take(delta, tick)
        result = None
        if tick.watermark == MAX_INSTANT:
            living = self._table.live_slots()
            result = self._emit(living[self._rows.count(living) > 0], 1)
        elif used is not None:
            full = self._rows.count(used) >= self._groups.count
            result = self._emit(used[full], self._groups.count)
        if self._expiry is not None:
            expired = self._expiry.expired(tick)
            self._rows.remove_slots(expired)
            self._table.delete(expired)
        return result

    def _take(self, delta: pl.DataFrame, tick: Tick) -> Ids:
        groups = self._groups
        if groups.keys:
            keys = delta.select(*groups.keys)
            slots = self._table.assign(keys)
        else:
            keys = pl.DataFrame(height=1)
            self._table.assign(keys)
            slots = np.zeros(delta.height, dtype=np.int64)
        first = first_of_each(slots)
        used = slots[first]
        if self._expiry is not None:
            self._expiry.touch(used, keys[first], tick)
        new = used[~self._table.exists(used)]
        self._table.set(new, pl.DataFrame({_DONE: np.zeros(len(new), dtype=np.int64)}))
        self._rows.append(slots, delta.select(*groups.input))
        return np.sort(used)

    def _emit(self, slots: Ids, smallest: int) -> Delta | None:
        """Emit the runs of at least ``smallest`` rows of these keys."""
        if not slots.size:
            return None
        groups = self._groups
        positions, ids = self._rows.lookup_ids(slots)
        starts = np.flatnonzero(np.diff(positions, prepend=-1))
        place = np.arange(len(ids)) - np.repeat(starts, np.diff(starts, append=len(ids)))
        lengths = np.bincount(positions)[positions]
        whole = place < lengths // groups.count * groups.count if smallest > 1 else place >= 0
        ids, positions, place = ids[whole], positions[whole], place[whole]
        done = self._table.get(slots)[_DONE].to_numpy()
        result = self._aggregate(self._rows.rows(ids), positions, place, done[positions])
        emitted = np.bincount(positions, minlength=len(slots))
        self._table.set(slots, pl.DataFrame({_DONE: done + emitted}))
        self._rows.remove(ids)
        return result

    def _aggregate(self, rows: pl.DataFrame, positions: Ids, place: Ids, done: Ids) -> pl.DataFrame:
        groups = self._groups
        column = groups.column
        if column is None:
            column = START
            rows = rows.with_columns(pl.Series(START, done + place, dtype=pl.Int64))
            start, end = pl.col(START).first(), pl.col(START).last() + 1
        else:
            start, end = pl.col(column).first(), pl.col(column).last()
        number = positions * (int(place.max()) + 1) + place // groups.count
        rows = rows.with_columns(pl.Series(_WINDOW, number, dtype=pl.Int64))
        grouped = rows.group_by(*groups.keys, _WINDOW, maintain_order=True)
        return grouped.agg(start.alias(START), end.alias(END), *groups.aggs).select(*groups.output)
