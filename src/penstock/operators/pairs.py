"""From the rows of two sides to the rows of a join."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate
from penstock.state.arrays import Ids, Mask
from penstock.state.rows import RowStore

Side = Literal[0, 1]
LEFT: Side = 0
RIGHT: Side = 1

BLOCK = 1 << 20
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
            found.append(self.typed(series, column.name))
        return pl.DataFrame(found)

    def alone(self, side: Side, rows: pl.DataFrame) -> pl.DataFrame:
        """Fill the columns of the other side with nulls."""
        found = []
        for column in self.columns:
            name = column.on(side)
            if name is None:
                found.append(self._nulls(column.name, rows.height))
            else:
                found.append(self.typed(rows[name], column.name))
        return pl.DataFrame(found)

    def _nulls(self, name: str, height: int) -> pl.Series:
        return pl.Series(name, [None], dtype=self.schema[name]).new_from_index(0, height)

    def typed(self, series: pl.Series, name: str) -> pl.Series:
        """Return a column with the name and the type it has in the output."""
        dtype = self.schema[name]
        return (series if series.dtype == dtype else series.cast(dtype)).alias(name)


def matches(slots: Ids, store: RowStore) -> Iterator[tuple[Ids, Ids]]:
    """Yield, in blocks, pairs of a position in ``slots`` and the id of a row under that slot."""
    if not len(store) or not len(slots):
        return
    counts = store.count(slots)
    found = np.flatnonzero(counts)
    if not len(found):
        return
    if counts.max() == 1:
        at, ids = store.lookup_ids(slots[found])
        yield found[at], ids
        return
    # Sorted slots make the search in the store's sorted runs walk memory in order.
    packed = (slots[found] << 32) | found
    packed.sort()
    positions, ordered = packed & 0xFFFFFFFF, packed >> 32
    ends = np.cumsum(counts[positions])
    begin, done = 0, 0
    while begin < len(ordered):
        end = max(int(np.searchsorted(ends, done + BLOCK, side="right")), begin + 1)
        at, ids = store.lookup_ids(ordered[begin:end])
        yield positions[begin:end][at], ids
        begin, done = end, int(ends[end - 1])


def chosen(rows: pl.DataFrame, mask: Mask) -> pl.DataFrame:
    """Return the rows for which ``mask`` is true; faster than a query where rows are few."""
    return rows if mask.all() else rows[np.flatnonzero(mask)]


def columns_of(rows: pl.DataFrame, exprs: Sequence[pl.Expr], schema: pl.Schema) -> pl.DataFrame:
    """Return the values of expressions with the names and types of ``schema``.

    Bare columns, the usual keys, are taken without a query: that saves an epoch of few rows most of
    its time.
    """
    found = []
    for expr, (name, dtype) in zip(exprs, schema.items(), strict=True):
        if expr.meta.is_column():
            series = rows.get_column(expr.meta.output_name())
        else:
            series = for_each(rows, rows.select(expr).to_series())
        found.append((series if series.dtype == dtype else series.cast(dtype)).alias(name))
    return pl.DataFrame(found) if found else pl.DataFrame(height=rows.height)


def for_each(rows: pl.DataFrame, values: pl.Series) -> pl.Series:
    """Return a value for each row also of an expression that is a constant, which Polars gives once."""
    return values if len(values) == rows.height else values.new_from_index(0, rows.height)


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
            if isinstance(weights, int):
                weights = np.full(rows.height, weights, np.int64)
            rows = rows.hstack([pl.Series(WEIGHT, weights, dtype=pl.Int64)])
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
