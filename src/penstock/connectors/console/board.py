"""The rows that a console shows: a bounded window on the stream, kept per epoch."""

from __future__ import annotations

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import consolidate, keyed_changes

_PLACE = "_penstock_place"


class Board:
    """Living rows in the order in which they first appeared.

    Append-only rows beyond ``max_rows`` are dropped, oldest first. Of a changelog every living row
    is kept, since any of them may have to be shown once others are deleted.
    """

    def __init__(self, step: str, key: tuple[str, ...], max_rows: int) -> None:
        self._step = step
        self._key = key
        self._max_rows = max_rows
        self._rows: pl.DataFrame | None = None
        self.seen = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take one more batch."""
        self.seen += frame.height
        if self._key:
            self._replace(frame)
        elif WEIGHT in frame.columns:
            self._rows = consolidate(self._with(frame))
        else:
            self._rows = self._with(frame).tail(self._max_rows)

    def shown(self) -> pl.DataFrame:
        """Return the rows to show."""
        if self._rows is None:
            return pl.DataFrame()
        return self._rows.head(self._max_rows).drop(WEIGHT, strict=False)

    @property
    def hidden(self) -> int:
        """Return how many living rows of a changelog there is no place for."""
        return 0 if self._rows is None else max(0, self._rows.height - self._max_rows)

    def _replace(self, frame: pl.DataFrame) -> None:
        changes = keyed_changes([frame], self._key, self._step)
        if self._rows is None:
            self._rows = changes.upserts
            return
        on = list(self._key)
        kept = self._rows.join(changes.deletes, on=on, how="anti", nulls_equal=True)
        old = kept.select(on).with_row_index(_PLACE)
        new = changes.upserts.join(old, on=on, how="left", nulls_equal=True)
        unchanged = kept.with_row_index(_PLACE).join(
            changes.upserts.select(on), on=on, how="anti", nulls_equal=True
        )
        columns = [_PLACE, *self._rows.columns]
        together = pl.concat([unchanged.select(columns), new.select(columns)])
        self._rows = together.sort(_PLACE, nulls_last=True, maintain_order=True).drop(_PLACE)

    def _with(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame if self._rows is None else pl.concat([self._rows, frame])
