"""From the rows of two sides to the rows of a join."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate
from penstock.state.arrays import Ids
from penstock.state.rows import RowStore

Side = Literal[0, 1]
LEFT: Side = 0
RIGHT: Side = 1

_BLOCK = 1 << 20
"""Pairs made at once: bounds memory where a condition drops most of them (tens of MB a column)."""


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """Where an output column comes from; both sides for a key that is put together from the two."""

    name: str
    left: str | None
    right: str | None

    def on(self, side: Side) -> str | None:
        """Return the column of one side."""
        return self.left if side == LEFT else self.right


@dataclass(frozen=True, slots=True)
class Pairing:
    """How output rows are put together; ``condition`` then drops pairs for which it is not true."""

    columns: tuple[OutputColumn, ...]
    schema: pl.Schema
    condition: pl.Expr | None = None

    def needs(self, side: Side) -> list[str]:
        """Return the columns of one side that must be kept."""
        return list(
            dict.fromkeys(c for column in self.columns if (c := column.on(side)) is not None)
        )

    def both(self, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        """Put rows of equal height side by side."""
        found = []
        for column in self.columns:
            name = column.left
            series = right[str(column.right)] if name is None else left[name]
            found.append(self._typed(series, column.name))
        return pl.DataFrame(found)

    def alone(self, side: Side, rows: pl.DataFrame) -> pl.DataFrame:
        """Fill the columns of the other side with nulls."""
        found = []
        for column in self.columns:
            name = column.on(side)
            if name is None:
                found.append(self._nulls(column.name, rows.height))
            else:
                found.append(self._typed(rows[name], column.name))
        return pl.DataFrame(found)

    def _nulls(self, name: str, height: int) -> pl.Series:
        return pl.Series(name, [None], dtype=self.schema[name]).new_from_index(0, height)

    def _typed(self, series: pl.Series, name: str) -> pl.Series:
        dtype = self.schema[name]
        return (series if series.dtype == dtype else series.cast(dtype)).alias(name)


def matches(slots: Ids, store: RowStore) -> Iterator[tuple[Ids, Ids]]:
    """Yield, in blocks, the pairs of a position in ``slots`` and the id of a row under that slot."""
    if not len(store) or not len(slots):
        return
    unique, inverse = np.unique(slots, return_inverse=True)
    positions, ids = store.lookup_ids(unique)
    if not len(ids):
        return
    counts = np.bincount(positions, minlength=len(unique))
    starts = np.cumsum(counts) - counts
    lengths = counts[inverse]
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(slots):
        done = int(ends[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(ends, done + _BLOCK, side="right")), begin + 1)
        some = lengths[begin:end]
        total = int(some.sum())
        if total:
            take = np.repeat(np.arange(begin, end), some)
            firsts = np.repeat(starts[inverse[begin:end]] - (np.cumsum(some) - some), some)
            yield take, ids[firsts + np.arange(total)]
        begin = end


class Changes:
    """Collects output rows of one step; weights only where the output is a changelog."""

    def __init__(self, *, changelog: bool) -> None:
        self._changelog = changelog
        self._parts: list[pl.DataFrame] = []

    def add(self, rows: pl.DataFrame, weights: Ids | int = 1) -> None:
        """Add rows with their weights."""
        if not rows.height:
            return
        if self._changelog:
            column = (
                pl.lit(weights, pl.Int64).alias(WEIGHT)
                if isinstance(weights, int)
                else pl.Series(WEIGHT, weights, dtype=pl.Int64)
            )
            rows = rows.with_columns(column)
        self._parts.append(rows)

    def result(self) -> pl.DataFrame | None:
        """Return the delta: consolidated, deletions first."""
        if not self._parts:
            return None
        frame = pl.concat(self._parts) if len(self._parts) > 1 else self._parts[0]
        if not self._changelog:
            return frame
        lowest, highest = frame[WEIGHT].min(), frame[WEIGHT].max()
        if isinstance(lowest, int) and isinstance(highest, int) and lowest < 0 < highest:
            frame = consolidate(frame)
        return frame if frame.height else None
