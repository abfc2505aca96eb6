"""Arrivals: the processing time of each row."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.operators.contract import Delta, Operator, Tick


class Arrivals(Operator):
    """Add the instant of the epoch as a column of every row. Keeps nothing."""

    def __init__(self, columns: Sequence[str], column: str) -> None:
        self._columns, self._column = list(columns), column

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Add the column."""
        delta = deltas[0]
        if delta is None:
            return None
        now = pl.lit(tick.now // 1000, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
        return delta.select(*self._columns, now.alias(self._column))
