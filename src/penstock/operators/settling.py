"""Settling: which results of a recomputed key are final, and which rows they leave behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.contract import Tick
from penstock.state.arrays import Ids, distinct
from penstock.state.cell import Cell
from penstock.state.rows import RowStore


@dataclass(frozen=True, slots=True)
class Settling:
    """Results whose ``end`` column is behind the watermark stay as they are.

    ``column`` is the event time of the rows they were made of. Rows up to the last settled end of
    their key are forgotten; with ``reach`` (in the column's unit) those within ``reach`` before the
    watermark are kept, because results still to come look back at them.
    """

    end: Passing
    column: str
    reach: int | None


class Settled:
    """Where the line between settled and open results runs, and what it frees."""

    def __init__(self, rule: Settling) -> None:
        self._rule = rule
        self.below: Cell = Cell(MIN_INSTANT)

    def open_only(self, results: pl.DataFrame) -> pl.DataFrame:
        """Drop the results that are settled already."""
        if self.below.value == MIN_INSTANT:
            return results
        end = pl.col(self._rule.end.column).to_physical().cast(pl.Int64)
        return results.filter(end >= self.below.value)

    def free(self, rows: RowStore, emitted: RowStore, tick: Tick) -> Ids:
        """Forget settled results and their rows; return the slots that may be empty now."""
        none = np.empty(0, dtype=np.int64)
        if tick.watermark in (MIN_INSTANT, MAX_INSTANT):
            return none
        below = self._rule.end.limit(tick.watermark) + 1
        if below <= self.below.value:
            return none
        self.below.value = below
        slots, results = emitted.expire(self._rule.end.column, below)
        if self._rule.reach is not None:
            freed, _ = rows.expire(self._rule.column, below - self._rule.reach + 1)
            return distinct(np.concatenate([slots, freed]))
        return self._free_up_to(rows, slots, results) if slots.size else none

    def _free_up_to(self, rows: RowStore, slots: Ids, results: pl.DataFrame) -> Ids:
        """Forget the rows of each key up to its last settled end."""
        used, where = np.unique(slots, return_inverse=True)
        last = np.full(len(used), MIN_INSTANT, dtype=np.int64)
        np.maximum.at(last, where, self._rule.end.values(results).to_numpy())
        positions, ids = rows.lookup_ids(used)
        times = rows.rows(ids)[self._rule.column].to_physical().cast(pl.Int64)
        over = (times <= pl.Series(last[positions], dtype=pl.Int64)).fill_null(value=True)
        rows.remove(ids[over.to_numpy()])
        return used
