"""What a window function gives over frames: one partition at a time, in order.

Sums, counts and means are differences of running totals, smallest and largest values come from tables
of powers of two, so that they cost no more for wide frames than for narrow ones. Sums of floats, which
do not cancel, and all other aggregates are computed of every row's frame afresh.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from penstock.plan.expressions.repeatable import Repeatable
from penstock.sql_plan.frames import Frame, Intervals
from penstock.sql_plan.types import MAX_DIGITS, scale_of

_RESULT, _INPUT, _OWNER = "_frame_result", "_frame_input", "_frame_owner"
_ROWS_AT_ONCE = 1_000_000
"""Rows of frames that stand side by side when they are computed afresh: some hundred megabytes."""


class Shortcut(enum.Enum):
    """How a function is computed without looking at each frame; ``NONE`` is afresh."""

    NONE = enum.auto()
    SUM = enum.auto()
    MEAN = enum.auto()
    COUNT = enum.auto()
    ROWS = enum.auto()
    LEAST = enum.auto()
    MOST = enum.auto()
    FIRST = enum.auto()
    LAST = enum.auto()
    NTH = enum.auto()


@dataclass(frozen=True, slots=True)
class OverFrame:
    """``expr`` of the rows each row sees; with a shortcut, of the values ``expr`` of single rows."""

    frame: Frame
    expr: pl.Expr
    dtype: pl.DataType
    shortcut: Shortcut = Shortcut.NONE
    nth: int = 1

    def over(self, columns: list[str | pl.Expr]) -> pl.Expr:
        """Return the expression over the rows of one partition in order."""
        rows = pl.struct(columns)
        return rows.map_batches(Repeatable(self._apply), return_dtype=self.dtype)

    def _apply(self, column: pl.Series) -> pl.Series:
        rows = column.struct.unnest()
        if not rows.height:
            return pl.Series(column.name, [], dtype=self.dtype)
        found = self._found(rows, self.frame.intervals(rows))
        return found.cast(self.dtype).alias(column.name)

    def _found(self, rows: pl.DataFrame, seen: Intervals) -> pl.Series:
        if self.shortcut is Shortcut.NONE:
            return _afresh(rows, self.expr, seen, self.dtype)
        if self.shortcut is Shortcut.ROWS:
            return pl.Series(np.sum([end - start for start, end in seen], axis=0))
        values = rows.select(self.expr.alias(_INPUT)).to_series()
        if self.shortcut in (Shortcut.LEAST, Shortcut.MOST):
            return _extreme(values, seen, largest=self.shortcut is Shortcut.MOST)
        if self.shortcut in (Shortcut.FIRST, Shortcut.LAST, Shortcut.NTH):
            return values.gather(self._places(seen))
        return _total(values, seen, self.shortcut)

    def _places(self, seen: Intervals) -> pl.Series:
        """Return the position of the first, last or nth row that each row sees; null if none is."""
        backwards = self.shortcut is Shortcut.LAST
        left = np.full(len(seen[0][0]), self.nth)
        found = np.full(len(left), -1)
        for start, end in reversed(seen) if backwards else seen:
            here = (found < 0) & (end - start >= left)
            place = end - left if backwards else start + left - 1
            found = np.where(here, place, found)
            left = np.where(found < 0, left - (end - start), left)
        return pl.Series(found).set(pl.Series(found < 0), None)


def _total(values: pl.Series, seen: Intervals, kind: Shortcut) -> pl.Series:
    known = np.concatenate([[0], np.cumsum(values.is_not_null().to_numpy())])
    count = pl.Series(np.sum([known[end] - known[start] for start, end in seen], axis=0))
    if kind is Shortcut.COUNT:
        return count
    dtype = values.dtype
    units = values.to_physical() if isinstance(dtype, pl.Decimal) else values
    wide = pl.Series([0], dtype=pl.Int128)
    running = wide.append(units.cast(pl.Int128).fill_null(0).cum_sum())
    total = sum(
        (running.gather(end) - running.gather(start) for start, end in seen),
        pl.zeros(len(values), dtype=pl.Int128, eager=True),
    )
    total = total.set(count == 0, None)
    if kind is Shortcut.MEAN:
        return total.cast(pl.Float64) / count.cast(pl.Float64) / 10.0 ** scale_of(dtype)
    if isinstance(dtype, pl.Decimal):
        return total.to_frame("units").select(decimal_of(pl.col("units"), dtype)).to_series()
    return total


def decimal_of(units: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """Return decimals of counts of their last digit; Polars adds up whole numbers only."""
    unit = pl.lit(Decimal(1).scaleb(-dtype.scale), dtype=pl.Decimal(MAX_DIGITS, dtype.scale))
    return (units.cast(pl.Decimal(MAX_DIGITS, 0)) * unit).cast(dtype)


def _extreme(values: pl.Series, seen: Intervals, *, largest: bool) -> pl.Series:
    """Return the smallest or largest: of ranks, of which each power of two has a table."""
    sorted_ = values.drop_nulls().unique().sort(descending=largest)
    none = len(sorted_)
    ranks = values.rank("dense", descending=largest).cast(pl.Int64).fill_null(none + 1).to_numpy()
    tables, width = [ranks - 1], 1
    while 2 * width <= len(ranks):
        below = tables[-1]
        tables.append(np.minimum(below[:-width], below[width:]))
        width *= 2
    best = np.full(len(ranks), none)
    for start, end in seen:
        size = end - start
        level = np.maximum(np.frexp(size.astype(np.float64))[1] - 1, 0)
        for number in np.unique(level[size > 0]):
            rows = np.flatnonzero((level == number) & (size > 0))
            table = tables[number]
            both = table[start[rows]], table[end[rows] - (1 << number)]
            best[rows] = np.minimum(best[rows], np.minimum(*both))
    places = pl.Series(best).set(pl.Series(best >= none), None)
    return sorted_.gather(places)


def _afresh(rows: pl.DataFrame, expr: pl.Expr, seen: Intervals, dtype: pl.DataType) -> pl.Series:
    """Compute an aggregate of every row's frame, some rows at a time."""
    sizes = np.sum([end - start for start, end in seen], axis=0)
    parts = np.cumsum(sizes) // _ROWS_AT_ONCE
    empty = rows.clear().select(expr.alias(_RESULT)).to_series().cast(dtype)
    found = []
    for part in np.unique(parts):
        owners = np.flatnonzero(parts == part)
        places, owner = _listed(seen, owners)
        frame = rows[places].with_columns(pl.Series(_OWNER, owner))
        made = frame.group_by(_OWNER, maintain_order=True).agg(expr.alias(_RESULT).cast(dtype))
        all_ = pl.DataFrame({_OWNER: pl.Series(owners, dtype=pl.Int64)})
        joined = all_.join(made, on=_OWNER, how="left", maintain_order="left")[_RESULT]
        nothing = pl.Series(sizes[owners] == 0)
        found.append(joined.zip_with(~nothing, empty.new_from_index(0, len(joined))))
    return pl.concat(found)


def _listed(seen: Intervals, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the rows that some rows see, and which of these sees each, in order."""
    places, owner = [], []
    for start, end in seen:
        size = (end - start)[owners]
        skipped = np.cumsum(size) - size
        places.append(np.arange(size.sum()) + np.repeat(start[owners] - skipped, size))
        owner.append(np.repeat(owners, size))
    order = np.argsort(np.concatenate(owner), kind="stable")
    return np.concatenate(places)[order], np.concatenate(owner)[order].astype(np.int64)
