"""Aggregate: groups kept as partial aggregates, results emitted as changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.merging import Merging
from penstock.state.cell import Cell
from penstock.state.table import KeyedTable

_COUNT = "_penstock_rows"


@dataclass(frozen=True, slots=True)
class PartialAggregates:
    """Aggregates split into partials: how to get them from rows, merge them, and finish them.

    ``keys`` are expressions over the input's rows; ``extract`` runs in ``group_by`` over rows,
    ``merge`` in ``group_by`` over partials, old before new, ``finish`` on one row of partials a
    group. ``schema`` is that of the partials.
    """

    keys: tuple[pl.Expr, ...]
    key_schema: pl.Schema
    extract: tuple[pl.Expr, ...]
    merge: tuple[pl.Expr, ...]
    finish: tuple[pl.Expr, ...]
    schema: pl.Schema

    @property
    def key_names(self) -> list[str]:
        """Output names of the keys."""
        return list(self.key_schema)

    def of_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return one row of keys and partials a group."""
        if not self.keys:
            return frame.select(*self.extract)
        return frame.group_by(*self.keys).agg(*self.extract)


class RunningAggregate(Operator):
    """Keep the partials of every group; after each epoch emit how the touched groups changed.

    ``(k, 1)`` then ``(k, 2)`` with ``sum`` -> ``+(k, 1)`` then ``-(k, 1) +(k, 3)``.

    State: one row of partials a group, freed when the expiry says so (a key bounded by the
    watermark, or a time to live), or, under retraction, when no row is left in the group. Without
    keys there is one group that always exists: an empty input has a result too.
    """

    def __init__(
        self,
        partials: PartialAggregates,
        *,
        input_schema: pl.Schema,
        changelog: bool,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._partials = partials
        self._input_schema = input_schema
        self._changelog = changelog
        self._combined = Merging(partials.merge, partials.schema)
        self._table = KeyedTable(partials.key_schema, partials.schema)
        self._started: Cell = Cell(value=False)
        self._expiry = expiry(self._table) if expiry else None
        self.state = {"groups": self._table, "started": self._started}
        if self._expiry is not None:
            self.state = {**self.state, **self._expiry.state}

    @property
    def wants_idle_steps(self) -> bool:
        """A global aggregate emits its first row before any input."""
        return not self._partials.keys and not self._started.value

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Merge the epoch's partials into the groups and emit the difference."""
        delta = deltas[0]
        result = None
        if delta is not None or self.wants_idle_steps:
            frame = delta if delta is not None else self._nothing()
            result = self._update(frame, tick)
            self._started.value = True
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return result

    def _free(self, slots: np.ndarray) -> None:
        self._table.delete(slots)

    def _nothing(self) -> pl.DataFrame:
        weight = {WEIGHT: pl.Int64()} if self._changelog else {}
        return pl.DataFrame(schema={**self._input_schema, **weight})

    def _update(self, frame: pl.DataFrame, tick: Tick) -> Delta | None:
        fresh = self._partials.of_rows(frame)
        table, names = self._table, self._partials.key_names
        columns = fresh.get_columns()
        keys = pl.DataFrame(columns[: len(names)])
        fresh = pl.DataFrame(columns[len(names) :])
        slots = table.assign(keys, unique=True) if names else np.zeros(1, dtype=np.int64)
        if not names and not len(table):
            table.assign(pl.DataFrame(height=1), unique=True)
        existed = table.exists(slots)
        old = table.get(slots[existed]) if existed.any() else fresh.clear()
        merged = self._combined(old, fresh, existed)
        table.set(slots, merged)
        if self._expiry is not None:
            self._expiry.touch(slots, keys, tick)
        return self._changes(slots, keys, existed, old, merged)

    def _changes(
        self,
        slots: np.ndarray,
        keys: pl.DataFrame,
        existed: np.ndarray,
        old: pl.DataFrame,
        merged: pl.DataFrame,
    ) -> Delta | None:
        known = old.height
        kept = known if known == len(slots) else np.flatnonzero(existed)
        keys_before = keys if known == len(slots) else keys[kept]
        finished = (pl.concat([old, merged]) if known else merged).select(self._partials.finish)
        gone = np.zeros(len(slots), dtype=bool)
        if self._changelog and keys.width:
            gone = (merged[_COUNT] <= 0).to_numpy()
        same = np.zeros(len(slots), dtype=bool)
        if known:
            after = finished[known:] if known == len(slots) else finished[known:][kept]
            same[existed] = equal_rows(finished[:known], after)
        whole = pl.concat([keys_before, keys]) if known else keys
        weights = np.ones(whole.height or finished.height, dtype=np.int64)
        weights[:known] = -1
        changed = np.concatenate([(~same | gone)[existed], ~same & ~gone])
        columns = [*whole.get_columns(), *finished.get_columns(), pl.Series(WEIGHT, weights)]
        result = pl.DataFrame(columns)
        if gone.any():
            self._free(slots[gone])
        if not changed.all():
            result = result.filter(pl.Series(changed))
        return result if result.height else None


def equal_rows(left: pl.DataFrame, right: pl.DataFrame) -> np.ndarray:
    """Compare two frames of equal height row by row; null equals null."""
    same = np.ones(left.height, dtype=bool)
    for one, other in zip(left.get_columns(), right.get_columns(), strict=True):
        same &= one.eq_missing(other).to_numpy()
    return same


def count_partial(*, changelog: bool) -> tuple[pl.Expr, pl.Expr]:
    """Return the partial that counts the living rows of a group: (extract, merge)."""
    extract = pl.col(WEIGHT).sum() if changelog else pl.len().cast(pl.Int64)
    return extract.alias(_COUNT), pl.col(_COUNT).sum()
