"""What a sink holds, followed from the rows and changes that reach it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate
from penstock.runtime.progress import Rows

_KEPT_ROWS = 2_000
"""A larger view is not followed any further: nobody reads so many rows on a page."""

_FOLD_ROWS, _FOLD_FRAMES = 50_000, 256
"""Changes that wait for somebody to look, before they are added up anyway."""


class Contents:
    """The rows of a view, or the latest rows of an append-only sink."""

    def __init__(self, key: Sequence[str]) -> None:
        self._key = list(key)
        self._rows: pl.DataFrame | None = None
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._too_large = False

    def add(self, frame: pl.DataFrame) -> None:
        """Take the rows or changes of an epoch."""
        if WEIGHT not in frame.columns:
            frame = frame.tail(_KEPT_ROWS)
        elif self._too_large:
            return
        self._pending.append(frame)
        self._pending_rows += frame.height
        if self._pending_rows > _FOLD_ROWS or len(self._pending) > _FOLD_FRAMES:
            self._fold()

    def _fold(self) -> None:
        if not self._pending:
            return
        known = [] if self._rows is None else [self._rows]
        rows = pl.concat([*known, *self._pending])
        self._pending, self._pending_rows = [], 0
        if WEIGHT not in rows.columns:
            self._rows = rows.tail(_KEPT_ROWS)
            return
        rows = consolidate(rows)
        self._too_large = rows.height > _KEPT_ROWS
        self._rows = rows.clear() if self._too_large else rows

    def rows(self) -> Rows | None:
        """Return the rows as they are now, those with a key in its order."""
        self._fold()
        if self._rows is None:
            return None
        shown = self._rows
        if WEIGHT in shown.columns:
            shown = shown.filter(pl.col(WEIGHT) > 0).drop(WEIGHT)
            sortable = [name for name in self._key if not shown.schema[name].is_nested()]
            shown = shown.sort(sortable) if sortable else shown
        return Rows(
            shown,
            time.perf_counter(),
            view=WEIGHT in self._rows.columns,
            key=tuple(self._key),
            too_large=self._too_large,
        )
