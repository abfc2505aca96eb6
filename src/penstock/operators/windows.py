"""Stateless halves of a windowed aggregation that emits changes."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.instants import duration_ns
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.window_aggregate import PANE
from penstock.windows import END, START, Hopping


class AssignWindows(Operator):
    """Copy each row into every window that holds it, the window's start in ``PANE``."""

    def __init__(self, window: Hopping, column: str, dtype: pl.DataType) -> None:
        self._window, self._column, self._dtype = window, column, dtype

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Assign."""
        delta = deltas[0]
        if delta is None:
            return None
        last = self._window.start_of(self._column, self._dtype, self._window.slide)
        if self._window.kind == "tumbling":
            result = self._with_start(delta, last)
        else:
            result = pl.concat([self._with_start(delta, start) for start in self._starts(last)])
            result = result.filter(
                self._window.end_of(pl.col(PANE), self._dtype) > pl.col(self._column)
            )
        return result if result.height else None

    def _starts(self, last: pl.Expr) -> list[pl.Expr]:
        size = duration_ns(self._window.size, step="hopping", option="size")
        slide = duration_ns(self._window.slide, step="hopping", option="slide")
        count = -(-size // slide)
        return [last] + [last.dt.offset_by(f"-{back * slide}ns") for back in range(1, count)]

    def _with_start(self, delta: pl.DataFrame, start: pl.Expr) -> pl.DataFrame:
        columns = [name for name in delta.columns if name != WEIGHT]
        weight = [WEIGHT] if WEIGHT in delta.columns else []
        return delta.select(*columns, start.cast(self._dtype).alias(PANE), *weight)


class WindowEnd(Operator):
    """Add ``window_end`` to rows that have ``window_start``, all columns in order."""

    def __init__(self, window: Hopping, dtype: pl.DataType, output: pl.Schema) -> None:
        self._end = window.end_of(pl.col(START), dtype).alias(END)
        self._output = list(output)

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Add the column."""
        delta = deltas[0]
        return (
            None if delta is None else delta.with_columns(self._end).select(*self._output, WEIGHT)
        )
