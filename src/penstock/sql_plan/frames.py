"""The frame of a window function: which rows of its partition a row sees.

ROWS counts rows, GROUPS counts groups of rows that are equal in the order, RANGE measures the
distance in the value that is ordered by. EXCLUDE takes the row or its equals out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Ids = npt.NDArray[np.int64]

VALUE, LOW, HIGH = "_frame_value", "_frame_low", "_frame_high"
"""Columns of a RANGE frame: the value ordered by, and the ends of the frame, all ascending."""

Intervals = list[tuple[Ids, Ids]]
"""For every row where the rows it sees begin, and where they are over."""


@dataclass(frozen=True, slots=True)
class Frame:
    """``kind`` is ROWS, GROUPS or RANGE; ``start`` and ``end`` count from the row, negative backwards.

    None is as far as the partition goes. In RANGE an end that is measured is 1 whatever its
    distance, as ``LOW`` and ``HIGH`` hold it; 0 is CURRENT ROW. ``order`` are the columns that hold
    the order, ``exclude`` is NO OTHERS, CURRENT ROW, GROUP or TIES.
    """

    kind: str
    start: int | None
    end: int | None
    order: tuple[str, ...]
    exclude: str = "NO OTHERS"

    @property
    def is_whole(self) -> bool:
        """Whether every row sees its whole partition."""
        return self.start is None and self.end is None and self.exclude == "NO OTHERS"

    def intervals(self, rows: pl.DataFrame) -> Intervals:
        """Return what each row of a partition sees; ``rows`` are in order."""
        at = np.arange(rows.height)
        first, past = _peers(rows, self.order)
        start, end = self._ends(rows, at, first, past)
        start, end = np.clip(start, 0, len(at)), np.clip(end, 0, len(at))
        whole = (start, np.maximum(start, end))
        return list(self._without(whole, at, first, past))

    def _ends(self, rows: pl.DataFrame, at: Ids, first: Ids, past: Ids) -> tuple[Ids, Ids]:
        start, end = np.zeros_like(at), np.full_like(at, len(at))
        if self.kind == "ROWS":
            start = start if self.start is None else at + self.start
            end = end if self.end is None else at + self.end + 1
        elif self.kind == "GROUPS":
            group = np.cumsum(first == at)
            if self.start is not None:
                start = np.searchsorted(group, group + self.start, "left")
            if self.end is not None:
                end = np.searchsorted(group, group + self.end, "right")
        else:
            if self.start is not None:
                start = _measured(rows, LOW, "left", first) if self.start else first
            if self.end is not None:
                end = _measured(rows, HIGH, "right", past) if self.end else past
        return start, end

    def _without(
        self, whole: tuple[Ids, Ids], at: Ids, first: Ids, past: Ids
    ) -> Iterator[tuple[Ids, Ids]]:
        """Yield what is left of a frame without the rows that are excluded, in order."""
        start, end = whole
        if self.exclude == "NO OTHERS":
            yield whole
            return
        out = (at, at + 1) if self.exclude == "CURRENT ROW" else (first, past)
        yield start, np.maximum(start, np.minimum(end, out[0]))
        if self.exclude == "TIES":
            inside = (start <= at) & (at < end)
            yield at, at + inside
        begin = np.maximum(start, out[1])
        yield begin, np.maximum(begin, end)


def _peers(rows: pl.DataFrame, order: tuple[str, ...]) -> tuple[Ids, Ids]:
    """Return where the rows equal to each row begin, and where they are over."""
    group = rows.select(pl.struct(order).rle_id()).to_series().to_numpy()
    return np.searchsorted(group, group, "left"), np.searchsorted(group, group, "right")


def _measured(rows: pl.DataFrame, edge: str, side: str, peers: Ids) -> Ids:
    """Return the positions of ends by value; a null is at no distance but to other nulls."""
    known = np.flatnonzero(rows[VALUE].is_not_null().to_numpy())
    found = peers.copy()
    if known.size:
        begin, over = known[0], known[-1] + 1
        values = rows[VALUE][begin:over].to_numpy()
        edges = rows[edge][begin:over].to_numpy()
        found[begin:over] = begin + np.searchsorted(values, edges, side)  # type: ignore[call-overload]
    return found
