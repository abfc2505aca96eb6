"""Final: changes held back until they can no longer be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import concat, consolidate, repeat_rows
from penstock.state.cell import Cell
from penstock.state.contract import Stateful
from penstock.state.log import RowLog

_COMPACT_GROWTH = 2


class FinalRows(Operator):
    """Hold the changes of rows that are not due, emit each row once it is.

    ``+(w1, 1)``, then ``-(w1, 1) +(w1, 2)``, then the watermark passes w1 -> ``(w1, 2)``.
    With ``refined``, changes of rows already emitted follow as changes. Without ``due``, rows are
    due at the end of the input. State: the rows not yet due.
    """

    def __init__(self, schema: pl.Schema, due: Passing | None, *, refined: bool) -> None:
        self._due = due
        self._refined = refined
        self._held = RowLog(pl.Schema({**schema, WEIGHT: pl.Int64()}))
        self._reached: Cell = Cell(MIN_INSTANT)
        self._compacted = 0
        self.state: Mapping[str, Stateful] = {"held": self._held, "reached": self._reached}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Hold the changes; release what is due."""
        out = []
        delta = deltas[0]
        if delta is not None:
            early = self._closed(delta, self._reached.value)
            out.append(delta.filter(early))
            self._hold(delta.filter(~early))
        if tick.watermark > self._reached.value:
            out.append(self._release(tick.watermark))
            self._reached.value = tick.watermark
        frame = concat(out)
        if frame is None:
            return None
        frame = consolidate(frame)
        if not self._refined:
            frame = repeat_rows(frame)
        return frame if frame.height else None

    def _hold(self, delta: pl.DataFrame) -> None:
        self._held.append(delta)
        if len(self._held) > _COMPACT_GROWTH * self._compacted + 1024:
            rows = consolidate(self._held.read())
            self._held.replace([rows])
            self._compacted = rows.height

    def _release(self, watermark: int) -> pl.DataFrame:
        held = self._held.read()
        mask = self._closed(held, watermark)
        if not mask.any():
            return held.clear()
        self._held.replace([held.filter(~mask)])
        return held.filter(mask)

    def _closed(self, frame: pl.DataFrame, watermark: int) -> pl.Series:
        if watermark == MAX_INSTANT:
            return pl.repeat(value=True, n=frame.height, eager=True)
        if self._due is None or watermark == MIN_INSTANT:
            return pl.repeat(value=False, n=frame.height, eager=True)
        return (self._due.values(frame) <= self._due.limit(watermark)).fill_null(value=False)
