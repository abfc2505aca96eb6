"""WindowAggregate: each window once, when the watermark passes its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, duration_ns, unit_ns
from penstock.operators.aggregate import PartialAggregates
from penstock.operators.contract import Delta, Operator, Tick
from penstock.state.cell import Cell
from penstock.state.log import RowLog
from penstock.windows import END, START, Hopping

PANE = "_penstock_pane"
_COMPACT_ROWS = 1 << 20
"""Raw rows held before they are reduced to partials: about one full-speed second, tens of MB."""


@dataclass(frozen=True, slots=True)
class WindowedGroups:
    """What to compute: the window over ``column``, key and aggregate expressions, output schema.

    ``partials`` has the pane among its keys (as ``PANE``); None where an aggregate does not split,
    and then raw rows are kept until their last window closes.
    """

    window: Hopping
    column: str
    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    partials: PartialAggregates | None
    input: pl.Schema
    output: pl.Schema

    @property
    def dtype(self) -> pl.DataType:
        """Type of the event-time column."""
        return self.input[self.column]

    @property
    def key_names(self) -> list[str]:
        """Output names of the keys."""
        return [key.meta.output_name() for key in self.keys]

    @property
    def roots(self) -> list[str]:
        """Input columns that keys and aggregates read."""
        used = {name for expr in (*self.keys, *self.aggs) for name in expr.meta.root_names()}
        return [name for name in self.input if name in used]


class WindowAggregate(Operator):
    """Aggregate append-only rows over tumbling or hopping windows, each emitted when it closes.

    A window closes when its end is at or below the watermark. Rows wait raw in the order of
    arrival (reduced to partials beyond a million), so that the work of a window is one ``group_by``,
    as in a batch engine. A hopping window is put together from panes of gcd(size, slide), after
    Li et al., "No pane, no gain", SIGMOD Record 2005.

    State: the rows or partials of the panes that an open window still needs.
    """

    def __init__(self, groups: WindowedGroups) -> None:
        self._groups = groups
        self._single = groups.window.kind == "tumbling"
        raw = {name: groups.input[name] for name in groups.roots}
        self._raw = RowLog(pl.Schema({**raw, PANE: groups.dtype}))
        self._closed: Cell = Cell(MIN_INSTANT)
        self.state = {"raw": self._raw, "closed": self._closed}
        if groups.partials is not None:
            partials = groups.partials
            self._panes = RowLog(pl.Schema({**partials.key_schema, **partials.schema}))
            self.state = {**self.state, "panes": self._panes}
        every = groups.window.size if self._single else f"{groups.window.pane_ns}ns"
        self._pane = groups.window.start_of(groups.column, groups.dtype, every).alias(PANE)
        self._lowest: int | None = None

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; close what the watermark has passed."""
        delta = deltas[0]
        if delta is not None:
            frame = delta.select(*self._groups.roots, self._pane)
            low = frame[PANE].to_physical().min()
            assert isinstance(low, int)
            # None: not known, because rows left; _due() then looks at all rows that are held.
            self._lowest = None if self._lowest is None else min(low, self._lowest)
            self._raw.append(frame)
            if self._raw.rows > _COMPACT_ROWS and self._groups.partials is not None:
                self._reduce(self._raw.read())
                self._raw.replace([])
        return self._close(tick.watermark) if tick.watermark > self._closed.value else None

    def _close(self, watermark: int) -> Delta | None:
        unit = unit_ns(self._groups.dtype)
        bound = watermark if watermark == MAX_INSTANT else watermark // unit
        result = None
        if self._due(bound, unit):
            if self._groups.partials is None:
                result = self._close_rows(bound)
            elif self._single:
                result = self._close_tumbling(bound)
            else:
                result = self._close_hopping(bound)
        self._closed.value = watermark
        return result if result is not None and result.height else None

    def _due(self, bound: int, unit: int) -> bool:
        """Cheap test: can any window have closed?"""
        if self._lowest is None:
            held = [log for log in (self._raw, getattr(self, "_panes", None)) if log is not None]
            lows = [log.read()[PANE].to_physical().min() for log in held if log.rows]
            self._lowest = min((v for v in lows if isinstance(v, int)), default=None)
        step = self._groups.window.pane_ns // unit
        return self._lowest is not None and self._lowest + step <= bound

    def _end(self, start: str, bound: int) -> pl.Expr:
        """Return the predicate: the window that starts at column ``start`` has closed."""
        end = self._groups.window.end_of(pl.col(start), self._groups.dtype)
        return end.to_physical().cast(pl.Int64) <= bound

    def _split(self, log: RowLog, closed: pl.Expr) -> pl.DataFrame:
        """Take the rows that match out of a log."""
        taken, kept = [], []
        for frame in log.frames():
            mask = frame.select(closed).to_series()
            if mask.all():
                taken.append(frame)
            elif mask.any():
                taken.append(frame.filter(mask))
                kept.append(frame.filter(~mask))
            else:
                kept.append(frame)
        if taken:
            log.replace(kept)
        self._lowest = None
        return pl.concat(taken) if taken else pl.DataFrame(schema=log.schema)

    def _close_tumbling(self, bound: int) -> pl.DataFrame | None:
        partials = self._groups.partials
        assert partials is not None
        rows = self._split(self._raw, self._end(PANE, bound))
        panes = self._split(self._panes, self._end(PANE, bound))
        if not panes.height:
            return self._aggregate_rows(rows)
        fresh = partials.of_rows(rows)
        return self._finish(self._merged(pl.concat([panes, fresh]), partials.key_names))

    def _close_hopping(self, bound: int) -> pl.DataFrame | None:
        partials = self._groups.partials
        assert partials is not None
        pane = self._groups.window.pane_ns // unit_ns(self._groups.dtype)
        ready = self._split(self._raw, pl.col(PANE).to_physical().cast(pl.Int64) + pane <= bound)
        self._reduce(ready)
        panes = self._panes.read()
        windows = self._windows(panes, bound)
        result = self._finish(self._merged(windows, partials.key_names)) if windows.height else None
        self._split(self._panes, self._last_window_closed(bound))
        return result

    def _close_rows(self, bound: int) -> pl.DataFrame | None:
        rows = self._windows(self._raw.read(), bound)
        self._split(self._raw, self._last_window_closed(bound))
        return self._aggregate_rows(rows) if rows.height else None

    def _last_window_closed(self, bound: int) -> pl.Expr:
        if self._single:
            return self._end(PANE, bound)
        last = self._starts(PANE, 0)
        end = self._groups.window.end_of(last, self._groups.dtype)
        return end.to_physical().cast(pl.Int64) <= bound

    def _starts(self, column: str, back: int) -> pl.Expr:
        """Return the start of the ``back``-th last window that holds the pane in ``column``."""
        groups = self._groups
        start = groups.window.start_of(column, groups.dtype, groups.window.slide)
        slide = duration_ns(groups.window.slide, step="hopping", option="slide")
        return start.dt.offset_by(f"-{back * slide}ns") if back else start

    def _windows(self, frame: pl.DataFrame, bound: int) -> pl.DataFrame:
        """Replace panes by the closed windows, not emitted before, that hold them."""
        groups, unit = self._groups, unit_ns(self._groups.dtype)
        if self._single:
            return frame.filter(self._end(PANE, bound))
        done = self._closed.value // unit
        size = duration_ns(groups.window.size, step="hopping", option="size")
        slide = duration_ns(groups.window.slide, step="hopping", option="slide")
        parts = []
        for back in range(-(-size // slide)):
            start = self._starts(PANE, back).cast(groups.dtype)
            end = groups.window.end_of(start, groups.dtype).to_physical().cast(pl.Int64)
            holds = end > pl.col(PANE).to_physical().cast(pl.Int64)
            chosen = frame.filter(holds & (end <= bound) & (end > done))
            parts.append(chosen.with_columns(start.alias(PANE)))
        return pl.concat(parts)

    def _reduce(self, rows: pl.DataFrame) -> None:
        """Turn raw rows into partials by pane."""
        partials = self._groups.partials
        assert partials is not None
        self._panes.append(partials.of_rows(rows).select(*self._panes.schema))
        if len(self._panes.frames()) > 8:
            merged = self._merged(self._panes.read(), partials.key_names)
            self._panes.replace([merged.select(*self._panes.schema)])

    def _merged(self, frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
        assert self._groups.partials is not None
        return frame.group_by(keys, maintain_order=True).agg(*self._groups.partials.merge)

    def _finish(self, merged: pl.DataFrame) -> pl.DataFrame:
        assert self._groups.partials is not None
        names = [name for name in self._groups.partials.key_names if name != PANE]
        return self._labelled(merged.select(*names, PANE, *self._groups.partials.finish))

    def _aggregate_rows(self, rows: pl.DataFrame) -> pl.DataFrame | None:
        if not rows.height:
            return None
        grouped = rows.group_by(*self._groups.keys, PANE).agg(*self._groups.aggs)
        return self._labelled(grouped)

    def _labelled(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Name the window's columns and put all columns in order."""
        groups = self._groups
        end = groups.window.end_of(pl.col(PANE), groups.dtype)
        frame = frame.with_columns(pl.col(PANE).alias(START), end.alias(END))
        return frame.select(*groups.output)
