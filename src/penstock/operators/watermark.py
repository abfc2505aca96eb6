"""Watermark: late rows out, and the bound that time has reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.columns import PARTITION
from penstock.instants import (
    MAX_INSTANT,
    MIN_INSTANT,
    NS_PER_SECOND,
    duration_text,
    shift,
    to_unit,
    unit_ns,
)
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.refusing import refuse_each
from penstock.state.cell import Cell

_QUIET_STEP_NS = NS_PER_SECOND // 4
"""How often the watermark moves on a wholly quiet source: windows close within this of their due."""


@dataclass(frozen=True, slots=True)
class WatermarkRule:
    """The user's declaration. ``dtype`` is the column's; everything else in nanoseconds."""

    column: str
    dtype: pl.DataType
    lateness_ns: int
    idle_timeout_ns: int | None
    max_ahead_ns: int | None
    allowed_lateness_ns: int | None

    @property
    def grace_ns(self) -> int:
        """How far behind the running maximum a row may be and still count."""
        return self.lateness_ns + (self.allowed_lateness_ns or 0)


class WatermarkOperator(Operator):
    """Pass rows that are in time, divert the others, and derive the watermark.

    A row is late when it is behind the running maximum of its own partition, itself included, less
    the lateness (and the allowed lateness), or behind a bound that idleness has set before. The
    watermark is the minimum over the partitions being read of (maximum - lateness). A partition
    without rows for ``idle_timeout`` is left out; when all are, and the sources have caught up, the
    watermark advances by the quiet time elapsed, as a decision kept in the state.

    Keeps one maximum per partition; frees nothing. A null event time, or one further ahead of the
    processing-time clock than ``max_ahead``, is a dead letter.
    """

    step_name = "with_watermark"

    def __init__(self, rule: WatermarkRule) -> None:
        self.rule = rule
        self._unit = unit_ns(rule.dtype)
        self._cell: Cell = Cell({"max": {}, "floor": MIN_INSTANT})
        self.state = {"watermark": self._cell}
        self._seen: dict[int, int] = {}
        self._due: int | None = None

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Divide the rows, then note what time it is."""
        delta = deltas[0]
        if delta is None:
            self._advance(tick)
            return None
        if PARTITION in delta.columns:
            parts = delta.partition_by(PARTITION, maintain_order=True, include_key=True)
            kept = [self._divide(p.drop(PARTITION), int(p[PARTITION][0]), tick) for p in parts]
            result = pl.concat(kept)
        else:
            result = self._divide(delta, self._only(tick), tick)
        self._advance(tick)
        return result if result.height else None

    def watermark(self, tick: Tick) -> int:
        """Return the bound for everything still to come."""
        return MAX_INSTANT if tick.watermark == MAX_INSTANT else int(self._cell.value["floor"])

    def reached(self, base: int, now: int) -> int | None:
        """Return up to when the source whose partitions begin at ``base`` was read.

        The lowest of the maxima of its partitions, those left out that are idle or have ended; None
        before its first row.
        """
        maxima = {int(p): top * self._unit for p, top in self._cell.value["max"].items()}
        own = {p: top for p, top in maxima.items() if p >> 16 == base >> 16}
        active = [top for p, top in own.items() if p in self._seen and not self._is_idle(p, now)]
        return min(active, default=max(own.values(), default=None))

    def seen(self, base: int) -> int:
        """Return the processing-time instant at which that source last brought a row."""
        return max((at for p, at in self._seen.items() if p >> 16 == base >> 16), default=0)

    def deadline(self) -> int | None:
        """Ask to be stepped when the next partition would be idle."""
        return self._due

    def _only(self, tick: Tick) -> int:
        """Return the one partition there is; it is no longer listed once its source has ended."""
        known = map(int, self._cell.value["max"])
        return min(tick.partitions, default=min(known, default=0))

    def _divide(self, frame: pl.DataFrame, partition: int, tick: Tick) -> pl.DataFrame:
        frame = self._plausible(frame, tick)
        self._seen[partition] = tick.now
        if not frame.height:
            return frame
        times = frame[self.rule.column].to_physical().cast(pl.Int64).to_numpy()
        value = self._cell.value
        carried = value["max"].get(str(partition))
        in_order = bool((times[1:] >= times[:-1]).all())
        highest = int(times[-1] if in_order else times.max())
        top = highest if carried is None else max(highest, carried)
        self._cell.value = {**value, "max": {**value["max"], str(partition): top}}
        earliest = int(times[0] if in_order else times.min())
        reached = earliest if in_order else highest  # the running maximum where it matters most
        reached = reached if carried is None else max(reached, carried)
        late = self._late(times, earliest, reached, carried, value["floor"])
        if late is None:
            return frame
        tick.sides.late.append(frame.filter(late))
        return frame.filter(~late)

    def _late(
        self,
        times: npt.NDArray[np.int64],
        earliest: int,
        reached: int,
        carried: int | None,
        floor: int,
    ) -> pl.Series | None:
        """Return which rows are late, or None if none is."""
        grace = self.rule.grace_ns // self._unit
        allowed = self.rule.allowed_lateness_ns or 0
        lowest = to_unit(shift(floor, -allowed), self.rule.dtype)
        if earliest >= max(reached - grace, lowest):
            return None
        running = np.maximum.accumulate(times)
        if carried is not None:
            running = np.maximum(running, carried)
        late = (times < running - grace) | (times < lowest)
        return pl.Series(late) if late.any() else None

    def _plausible(self, frame: pl.DataFrame, tick: Tick) -> pl.DataFrame:
        """Divert rows whose event time is null or too far ahead of the clock."""
        column, ahead = self.rule.column, self.rule.max_ahead_ns
        series = frame[column]
        physical = series.to_physical().cast(pl.Int64)
        bound = MAX_INSTANT if ahead is None else to_unit(tick.now + ahead, self.rule.dtype)
        if not series.has_nulls() and int(physical.to_numpy().max(initial=MIN_INSTANT)) <= bound:
            return frame
        bad = series.is_null() | (physical > bound).fill_null(value=False)
        refused = frame.filter(bad)
        limit = duration_text(ahead or 0)
        reasons = [
            f"event time {column!r} is null"
            if value is None
            else f"event time {column}={value} is more than {limit} ahead of the clock"
            for value in refused[column].cast(pl.String).to_list()  # Python ends with year 9999
        ]
        refuse_each(refused, "with_watermark", reasons, tick)
        return frame.filter(~bad)

    def _advance(self, tick: Tick) -> None:
        maxima = {int(p): top * self._unit for p, top in self._cell.value["max"].items()}
        expected = tick.partitions or frozenset(maxima)
        for partition in expected:
            self._seen.setdefault(partition, tick.now)
        for partition in self._seen.keys() - expected:
            del self._seen[partition]
        for partition in expected & tick.held:  # not quiet: nobody asks it
            self._seen[partition] = tick.now
        idle = {p for p in expected if self._is_idle(p, tick.now)}
        active = expected - idle
        self._due = self._next_step(active, tick.now)
        if active and active <= maxima.keys():
            bound = min(maxima[p] for p in active) - self.rule.lateness_ns
            self._raise(bound)
        elif maxima and not active and tick.caught_up:
            quiet = tick.now - max(self._seen[p] for p in expected)
            self._raise(max(maxima.values()) - self.rule.lateness_ns + quiet)

    def _next_step(self, active: frozenset[int], now: int) -> int | None:
        """Return when the next partition would be idle; if all are, look again soon."""
        timeout = self.rule.idle_timeout_ns
        if timeout is None or not self._seen:
            return None
        if not active:
            return now + _QUIET_STEP_NS
        return min(self._seen[partition] for partition in active) + timeout

    def _is_idle(self, partition: int, now: int) -> bool:
        timeout = self.rule.idle_timeout_ns
        return timeout is not None and now - self._seen[partition] >= timeout

    def _raise(self, bound: int) -> None:
        """Move the watermark up; what is behind it is late, from whatever partition it comes."""
        if bound > self._cell.value["floor"]:
            self._cell.value = {**self._cell.value, "floor": bound}
