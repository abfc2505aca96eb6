"""Tallies: amounts of the values in each group, found by value and by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.operators.grouped_values import GROUP, VALUE, GroupedValues

AMOUNT = "amount"


@dataclass(frozen=True, slots=True)
class Changed:
    """What one call of ``add`` changed: a row for each group and value."""

    groups: np.ndarray
    values: pl.Series
    appeared: np.ndarray
    vanished: np.ndarray


class Tallies(GroupedValues):
    """An amount for each value of each group; a value whose amount is zero takes no memory.

    ``signed`` amounts are sums, which may be below zero; others are counts, and a count below zero
    (of a value whose group was freed before it) counts as none.
    """

    def __init__(self, value: pl.DataType, amount: pl.DataType, *, signed: bool) -> None:
        super().__init__(pl.Int64(), value, pl.Schema({AMOUNT: amount}))
        self._signed = signed

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
        self.index(groups[fresh], entries[fresh])
        self.table.set(entries[kept], pl.DataFrame({AMOUNT: new.filter(kept)}))
        self.table.delete(entries[~kept])
        return Changed(groups, terms[VALUE], fresh, was & ~kept)

    def of(self, groups: np.ndarray) -> tuple[np.ndarray, pl.DataFrame]:
        """Return positions in ``groups`` (unique), ascending, and ``VALUE, AMOUNT`` under each."""
        positions, entries, values = self.find(groups)
        return positions, values.select(VALUE).hstack(self.table.get(entries))
