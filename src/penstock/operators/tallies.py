"""Tallies: amounts of the values in each group, found by value and by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.state.runs import SortedRuns
from penstock.state.table import KeyedTable

GROUP = "group"
VALUE = "value"
AMOUNT = "amount"

_OLD = "old"
_SMALLEST_GARBAGE = 4096
"""Dead pairs in the index by group that are not worth building it again."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What one call of ``add`` changed: a row for each group and value."""

    groups: np.ndarray
    values: pl.Series
    appeared: np.ndarray
    vanished: np.ndarray


class Tallies:
    """An amount for each value of each group; a value whose amount is zero takes no memory.

    ``signed`` amounts are sums, which may be below zero; others are counts, and a count below zero
    (of a value whose group was freed before it) counts as none. The entries of a group are found
    through sorted runs, which are not part of the state: they are built again from the entries.
    """

    def __init__(self, value: pl.DataType, amount: pl.DataType, *, signed: bool) -> None:
        keys = pl.Schema({GROUP: pl.Int64(), VALUE: value})
        self.table = KeyedTable(keys, pl.Schema({AMOUNT: amount}))
        self._signed = signed
        self._runs: SortedRuns | None = None
        self._indexed = 0

    def add(self, terms: pl.DataFrame) -> Changed:
        """Add terms, rows of ``GROUP, VALUE, AMOUNT``, to the amounts."""
        terms = terms.group_by(GROUP, VALUE).agg(pl.col(AMOUNT).sum())
        entries = self.table.assign(terms.select(GROUP, VALUE), unique=True)
        old = self.table.get(entries)[AMOUNT].fill_null(0)
        new = old + terms[AMOUNT]
        was = (old != 0).to_numpy()
        kept = ((new != 0) if self._signed else (new > 0)).to_numpy()
        groups = terms[GROUP].to_numpy()
        fresh = kept & ~was
        self._index(groups[fresh], entries[fresh])
        self.table.set(entries[kept], pl.DataFrame({AMOUNT: new.filter(kept)}))
        self.table.delete(entries[~kept])
        return Changed(groups, terms[VALUE], fresh, was & ~kept)

    def of(self, groups: np.ndarray) -> tuple[np.ndarray, pl.DataFrame]:
        """Return positions in ``groups`` (unique), ascending, and ``VALUE, AMOUNT`` under each."""
        positions, entries, values = self._find(groups)
        return positions, values.select(VALUE).hstack(self.table.get(entries))

    def free(self, groups: np.ndarray) -> None:
        """Forget all values of some groups (unique)."""
        if groups.size and len(self.table):
            self.table.delete(self._find(groups)[1])

    def _find(self, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
        if self._runs is None:
            self._rebuild()
        assert self._runs is not None
        positions, entries = self._runs.find(groups)
        # An entry may be gone, belong to another group by now, or be there twice.
        good = self.table.is_live(entries)
        good[1:] &= (positions[1:] != positions[:-1]) | (entries[1:] != entries[:-1])
        positions, entries = positions[good], entries[good]
        values = self.table.keys(entries)
        mine = values[GROUP].to_numpy() == groups[positions]
        return positions[mine], entries[mine], values.filter(mine)

    def _index(self, groups: np.ndarray, entries: np.ndarray) -> None:
        if self._runs is None:
            return
        if self._indexed > 2 * len(self.table) + _SMALLEST_GARBAGE:
            self._runs = None
            return
        if entries.size:
            self._runs.add(groups, entries)
            self._indexed += entries.size

    def _rebuild(self) -> None:
        entries = self.table.live_slots()
        self._runs, self._indexed = SortedRuns(), entries.size
        if entries.size:
            self._runs.add(self.table.keys(entries)[GROUP].to_numpy(), entries)
