"""The rows of a table or view: a bag, kept as frames that are added up when somebody reads."""

from __future__ import annotations

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate, repeat_rows, weighted

_FRAGMENTS = 64
"""Frames that are put together at the latest, so that a read never meets thousands."""


class Contents:
    """``apply`` deltas, read the rows. Equal rows are one row with a weight once added up."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self._base = weighted(pl.DataFrame(schema=schema), 1)
        self._pending: list[pl.DataFrame] = []

    def apply(self, delta: pl.DataFrame) -> None:
        """Add a delta, with or without a weight column."""
        if delta.height:
            self._pending.append(delta if WEIGHT in delta.columns else weighted(delta, 1))
        if len(self._pending) >= _FRAGMENTS:
            self._settle()

    def rows(self) -> pl.DataFrame:
        """Return every row, as often as it is there, in order of arrival as far as it is known."""
        return repeat_rows(self.weighted())

    def weighted(self) -> pl.DataFrame:
        """Return the rows with their weights."""
        self._settle()
        return self._base

    def __len__(self) -> int:
        return int(self.weighted()[WEIGHT].sum())

    def _settle(self) -> None:
        if not self._pending:
            return
        together = pl.concat([self._base, *self._pending])
        removed = any((frame[WEIGHT] < 0).any() for frame in self._pending)
        self._base = consolidate(together) if removed else together
        self._pending = []
