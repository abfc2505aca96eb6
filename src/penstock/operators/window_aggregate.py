"""WindowAggregate: each window once, when the watermark passes its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.instants import AT_WATERMARK, MAX_INSTANT, MIN_INSTANT, Reach, unit_ns
from penstock.operators.aggregate import PartialAggregates
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.panes import PANE, PaneAssignment
from penstock.state.cell import Cell
from penstock.state.contract import Stateful
from penstock.state.log import RowLog
from penstock.windows import END, START, Hopping

_COMPACT_ROWS = 1 << 22
"""Raw rows held before they are reduced to partials: bounds memory at some hundred MB, while the
windows of a fast stream still close with a single group_by."""


@dataclass(frozen=True, slots=True)
class WindowedGroups:
    """What to compute: the window over ``column``, key and aggregate expressions, output schema.

    ``partials`` has the pane among its keys (as ``PANE``); None where an aggregate does not split,
    and then raw rows are kept until their last window closes. ``divided``: a window may be put
    together from slices of time, as no aggregate depends on the order of arrival.
    """

    window: Hopping
    column: str
    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    partials: PartialAggregates | None
    input: pl.Schema
    output: pl.Schema
    divided: bool
    reach: Reach = AT_WATERMARK
    """Up to which instant the column is complete: that of a window's start lags behind."""

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
    arrival (reduced to partials beyond some millions), so that the work of a window is one
    ``group_by``, as in a batch engine. A hopping window is put together from panes of
    gcd(size, slide), each reduced once, after Li et al., "No pane, no gain", SIGMOD Record 2005;
    where lengths vary (calendar, time zone) a pane is a whole window and rows are copied into each.

    State: the rows or partials of the panes that an open window still needs.
    """

    def __init__(self, groups: WindowedGroups) -> None:
        self._groups = groups
        self._unit = unit_ns(groups.dtype)
        self._raw = RowLog(
            pl.Schema({**{n: groups.input[n] for n in groups.roots}, PANE: groups.dtype})
        )
        self._panes = RowLog(self._pane_schema())
        self._closed: Cell = Cell(MIN_INSTANT)
        self.state: Mapping[str, Stateful] = {
            "raw": self._raw,
            "panes": self._panes,
            "closed": self._closed,
        }
        self._assign = PaneAssignment(
            groups.window, groups.column, groups.dtype, groups.roots, divided=groups.divided
        )
        self._lowest: int | None = None

    def _pane_schema(self) -> pl.Schema:
        partials = self._groups.partials
        if partials is None:
            return self._raw.schema
        return pl.Schema({**partials.key_schema, **partials.schema})

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; close what the watermark has passed."""
        delta = deltas[0]
        if delta is not None:
            frame = self._assign.apply(delta)
            if frame.height:
                if self._lowest is not None:  # None: not known, rows may be held that are lower
                    self._lowest = min(_lowest(frame), self._lowest)
                self._raw.append(frame)
            if len(self._raw) > _COMPACT_ROWS and self._groups.partials is not None:
                self._keep(self._raw.read())
                self._raw.replace([])
        reached = self._groups.reach.at(tick.watermark)
        return self._close(reached) if reached > self._closed.value else None

    def _close(self, watermark: int) -> Delta | None:
        bound = watermark if watermark == MAX_INSTANT else watermark // self._unit
        result = self._close_windows(bound) if self._due(bound) else None
        self._closed.value = watermark
        return result if result is not None and result.height else None

    def _due(self, bound: int) -> bool:
        """Cheap test: can any window have closed?"""
        if self._lowest is None:
            lows = [_lowest(log.read()) for log in (self._raw, self._panes) if len(log)]
            self._lowest = min(lows, default=None)
        return self._lowest is not None and self._lowest + self._assign.shortest <= bound

    def _close_windows(self, bound: int) -> pl.DataFrame | None:
        fresh = self._take_ready(bound)
        if self._assign.pane_is_window and not len(self._panes):
            results = [self._label(self._of_rows(rows), pane) for pane, rows in _by_pane(fresh)]
        else:
            self._keep(fresh)
            results = self._from_panes(bound)
        self._lowest = None
        return pl.concat(results) if results else None

    def _take_ready(self, bound: int) -> pl.DataFrame:
        """Take the rows of the panes that are complete out of the raw rows."""
        ready = self._assign.end(pl.col(PANE)).to_physical().cast(pl.Int64) <= bound
        taken, kept = [], []
        for frame in self._raw.frames():
            mask = frame.select(ready).to_series()
            whole = mask.all()
            taken.append(frame if whole else frame.filter(mask))
            if not whole:
                kept.append(frame.filter(~mask))
        if taken:
            self._raw.replace(kept)
        return pl.concat(taken) if taken else pl.DataFrame(schema=self._raw.schema)

    def _keep(self, rows: pl.DataFrame) -> None:
        """Move rows to the panes, reduced to partials where the aggregates split."""
        partials = self._groups.partials
        if not rows.height:
            return
        if partials is None:
            self._panes.append(rows)
            return
        for pane, part in _by_pane(rows):
            reduced = (
                part.group_by(*self._groups.keys).agg(*partials.extract)
                if self._groups.keys
                else (part.select(*partials.extract))
            )
            labelled = reduced.with_columns(
                pl.lit(pane, pl.Int64).cast(self._groups.dtype).alias(PANE)
            )
            self._panes.append(labelled.select(*self._panes.schema))

    def _from_panes(self, bound: int) -> list[pl.DataFrame]:
        """Put each closed window together from its panes, and drop panes no window needs."""
        done = self._closed.value // self._unit
        panes = dict(_by_pane(self._panes.read()))
        starts = sorted({s for pane in panes for s in self._assign.windows_of(pane)})
        results = []
        for start in starts:
            if done < self._assign.window_end(start) <= bound:
                parts = [panes[p] for p in self._assign.panes_of(start) if p in panes]
                results.append(self._label(self._of_panes(parts), start))
        kept = [f for pane, f in panes.items() if self._assign.needed_until(pane) > bound]
        self._panes.replace(kept)
        return results

    def _of_panes(self, parts: list[pl.DataFrame]) -> pl.DataFrame:
        """Aggregate one window from its panes."""
        partials, names = self._groups.partials, self._groups.key_names
        frame = parts[0] if len(parts) == 1 else pl.concat(parts)
        if partials is None:
            return self._of_rows(frame)
        merged = (
            frame.group_by(names).agg(*partials.merge) if names else frame.select(*partials.merge)
        )
        return merged.select(*names, *partials.finish)

    def _of_rows(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Aggregate one window from its rows."""
        groups = self._groups
        return (
            rows.group_by(*groups.keys).agg(*groups.aggs)
            if groups.keys
            else rows.select(*groups.aggs)
        )

    def _label(self, frame: pl.DataFrame, start: int) -> pl.DataFrame:
        """Add the window's columns and put all columns in order."""
        groups = self._groups
        first = pl.lit(start, pl.Int64).cast(groups.dtype)
        end = groups.window.end_of(first, groups.dtype)
        return frame.with_columns(first.alias(START), end.alias(END)).select(*groups.output)


def _lowest(frame: pl.DataFrame) -> int:
    low = frame[PANE].to_physical().cast(pl.Int64).min()
    assert isinstance(low, int)
    return low


def _by_pane(frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Divide rows by pane, in order of time."""
    if not frame.height:
        return []
    physical = frame[PANE].to_physical().cast(pl.Int64)
    if physical.min() == physical.max():
        return [(int(physical[0]), frame)]
    parts = frame.partition_by(PANE, maintain_order=True)
    return sorted(((_lowest(part), part) for part in parts), key=lambda pair: pair[0])
