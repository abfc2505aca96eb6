"""Panes: the slices of time that windows are put together from."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.instants import duration_ns, interval_literal, is_calendar, unit_ns
from penstock.operators.contract import Delta, Operator, Tick
from penstock.windows import END, START, Hopping

PANE = "_penstock_pane"
"""The start of the pane (or window) a row belongs to, in the type of the event-time column."""

_TIME = "_penstock_time"


class PaneAssignment:
    """Which pane a row is in, and which windows a pane is in. All numbers in the column's unit.

    Fixed lengths: panes of gcd(size, slide), a window is a whole number of them. Otherwise each
    window is its own pane, and rows are copied into each: for calendar lengths and time zones, and
    if not ``divided``, where an aggregate depends on the order in which a window's rows arrived.
    """

    def __init__(
        self,
        window: Hopping,
        column: str,
        dtype: pl.DataType,
        columns: Sequence[str],
        *,
        divided: bool,
    ) -> None:
        self._window, self._column, self._dtype = window, column, dtype
        self._columns = list(columns)
        regular = not is_calendar(window.size) and window.time_zone is None
        self._fixed = regular and (divided or window.size == window.slide)
        self.pane_is_window = not self._fixed or window.size == window.slide
        unit = unit_ns(dtype)
        if self._fixed:
            self._pane = window.pane_ns // unit
            self._size = duration_ns(window.size, step="window", option="size") // unit
            self._slide = duration_ns(window.slide, step="window", option="slide") // unit
            self._offset = window.offset_ns // unit

    @property
    def shortest(self) -> int:
        """Length of the shortest pane there can be."""
        return self._pane if self._fixed else 0

    def apply(self, delta: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with their pane, without what is not needed."""
        if not self._fixed and self._window.kind == "hopping":
            return copied(delta, self._window, self._column, self._dtype, self._columns)
        every = f"{self._window.pane_ns}ns" if self._fixed else self._window.size
        pane = self._window.start_of(self._column, self._dtype, every)
        frame = delta.select(*self._columns, pane.alias(PANE))
        gaps = self._fixed and self._slide > self._size
        return frame.filter(self._in_window()) if gaps else frame

    def _in_window(self) -> pl.Expr:
        """With gaps between windows, only panes inside a window are kept."""
        physical = pl.col(PANE).to_physical().cast(pl.Int64)
        return (physical - self._offset) % self._slide < self._size

    def end(self, pane: pl.Expr) -> pl.Expr:
        """Return the end of a pane."""
        if not self._fixed:
            return self._window.end_of(pane, self._dtype)
        if isinstance(self._dtype, pl.Date):
            return (
                self._window.end_of(pane, self._dtype)
                if self.pane_is_window
                else (pane.dt.offset_by(f"{self._window.pane_ns}ns"))
            )
        return pane + interval_literal(self._window.pane_ns, self._dtype)

    def windows_of(self, pane: int) -> list[int]:
        """Return the starts of the windows that hold a pane."""
        if self.pane_is_window:
            return [pane]
        last = (pane - self._offset) // self._slide * self._slide + self._offset
        return [s for s in range(last, pane - self._size, -self._slide) if s + self._size > pane]

    def panes_of(self, start: int) -> Sequence[int]:
        """Return the panes of a window, in order of time."""
        return [start] if self.pane_is_window else range(start, start + self._size, self._pane)

    def window_end(self, start: int) -> int:
        """Return the end of the window that starts there."""
        if self._fixed:
            return start + self._size
        first = pl.lit(start, pl.Int64).cast(self._dtype)
        end = pl.select(self._window.end_of(first, self._dtype).to_physical().cast(pl.Int64)).item()
        assert isinstance(end, int)
        return end

    def needed_until(self, pane: int) -> int:
        """Return the end of the last window that holds a pane."""
        return max(self.window_end(start) for start in self.windows_of(pane))


def copied(
    delta: pl.DataFrame, window: Hopping, column: str, dtype: pl.DataType, columns: Sequence[str]
) -> pl.DataFrame:
    """Copy each row into every window that holds it, the window's start in ``PANE``."""
    size = duration_ns(window.size, step="hopping", option="size")
    slide = duration_ns(window.slide, step="hopping", option="slide")
    weight = [WEIGHT] if WEIGHT in delta.columns else []
    starts = [
        window.start_of(column, dtype, window.slide, back).cast(dtype)
        for back in range(-(-size // slide))
    ]
    own, panes = pl.col(column).alias(_TIME), pl.concat_list(starts).alias(PANE)
    wanted: list[str | pl.Expr] = [*columns, own, panes, *weight]
    frame = delta.select(*wanted).explode(PANE)  # keeps the order of arrival within a window
    return frame.filter(window.end_of(pl.col(PANE), dtype) > pl.col(_TIME)).drop(_TIME)


class AssignWindows(Operator):
    """Copy each row into every window that holds it. Keeps nothing."""

    def __init__(
        self, window: Hopping, column: str, dtype: pl.DataType, columns: Sequence[str]
    ) -> None:
        self._window, self._column, self._dtype = window, column, dtype
        self._columns = list(columns)

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Assign."""
        delta = deltas[0]
        if delta is None:
            return None
        if self._window.kind == "tumbling":
            start = self._window.start_of(self._column, self._dtype, self._window.size)
            weight = [WEIGHT] if WEIGHT in delta.columns else []
            return delta.select(*self._columns, start.alias(PANE), *weight)
        result = copied(delta, self._window, self._column, self._dtype, self._columns)
        return result if result.height else None


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
