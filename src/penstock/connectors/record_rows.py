"""From records to rows: what sources share whose messages have a key, a time and an offset.

key value  offset                     a  offset
k1  {"a":1}     7   format json  ->   1       7    and a dead letter for offset 8
k1  null        8   extra offset
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from penstock.columns import dead_letters
from penstock.connectors.decoding import Decoder, decode_messages, join_dead

VALUE = "value"
_NUMBER = "_penstock_number"
_MISSING = pl.col(VALUE).is_null()
"""Filtered by as an expression: a mask leaves chunks without rows, of which pl.format panics."""


@dataclass(frozen=True, slots=True)
class RecordRows:
    """How records become rows: ``decoder`` reads ``value``, ``extra`` names the columns beside it.

    ``places`` gives the position of each record of a frame, for dead letters. ``names``: the
    columns of the rows, in order. Without a value a record is a dead letter, unless
    ``keeps_null``: then it is a row whose decoded columns are null.
    """

    step: str
    decoder: Decoder
    extra: tuple[str, ...]
    names: tuple[str, ...]
    places: Callable[[pl.DataFrame], pl.Series]
    keeps_null: bool = False

    def of(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Return the rows of the good records, in order, and the refused ones as dead letters."""
        if not frame[VALUE].null_count():
            return self._decoded(frame)
        if self.keeps_null:
            return self._with_absent(frame.with_row_index(_NUMBER))
        rows, dead = self._decoded(frame.filter(~_MISSING))
        return rows, join_dead(dead, self._no_value(frame.filter(_MISSING)))

    def _decoded(
        self, present: pl.DataFrame, beside: tuple[str, ...] = ()
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        rows = decode_messages(
            self.decoder, present[VALUE], self.step, lambda index: self.places(present[index])
        )
        if not self.extra and not beside:
            return rows.frame, rows.dead
        extra = present.select(*self.extra, *beside)
        if rows.kept is not None:
            extra = extra[rows.kept]
        return rows.frame.hstack(extra).select(*self.names, *beside), rows.dead

    def _with_absent(self, numbered: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        rows, dead = self._decoded(numbered.filter(~_MISSING), (_NUMBER,))
        absent = numbered.filter(_MISSING).select(*self.extra, _NUMBER)
        both = pl.concat([rows, absent], how="diagonal").sort(_NUMBER)
        return both.select(self.names), dead

    def _no_value(self, frame: pl.DataFrame) -> pl.DataFrame:
        reasons = ["the record has no value"] * frame.height
        return dead_letters(self.step, self.places(frame), frame[VALUE], reasons)
