"""Live generators. Time comes from a clock that can be replaced."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position

INSTANT = pl.Datetime("us", "UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Processing time."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; never goes back while a source lives."""

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until ``wake``."""

    def wake(self) -> None:
        """End this and every later wait."""


class SystemClock:
    """The wall clock as it was at the start, carried on by the monotonic one."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()
        self._woken = threading.Event()

    def now_ns(self) -> int:
        """Return the present instant."""
        return self._offset + time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        """Wait, unless woken."""
        self._woken.wait(max(0.0, seconds))

    def wake(self) -> None:
        """End all waits."""
        self._woken.set()


class _RatePosition(msgspec.Struct):
    offset: int
    start_us: int


class RateSource(OnePartition):
    """Brings the rows that are due."""

    def __init__(
        self,
        *,
        pace_ns: int | None,
        event_ns: int,
        total: int | None,
        start: datetime | None,
        clock: Clock | None = None,
    ) -> None:
        self._pace_ns = pace_ns
        self._event_ns = event_ns
        self._total = total
        self._start = start
        self._clock = clock or SystemClock()
        self._offset = 0
        self._start_us = 0
        self._first_due_ns = 0  # when row 0 is, or would have been, due

    def seek(self, position: Position | None) -> None:
        """Go on at ``position``."""
        now_ns = self._clock.now_ns()
        if position is None:
            self._offset = 0
            given = self._start
            self._start_us = now_ns // 1000 if given is None else _microseconds(given)
        else:
            held = msgspec.convert(position, _RatePosition)
            self._offset, self._start_us = held.offset, held.start_us
        if self._start is None:
            self._first_due_ns = self._start_us * 1000
        else:
            self._first_due_ns = now_ns - self._offset * (self._pace_ns or 0)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the rows due by now, at least one unless the time is out."""
        due = self._due()
        if due == 0 and not self._ended and self._pace_ns is not None:
            next_ns = self._first_due_ns + self._offset * self._pace_ns
            self._clock.sleep(min(timeout_s, (next_ns - self._clock.now_ns()) / 1e9))
            due = self._due()
        count = min(max_rows, due)
        offsets = pl.int_range(self._offset, self._offset + count, dtype=pl.Int64, eager=True)
        self._offset += count
        frame = (
            offsets.alias("offset")
            .to_frame()
            .with_columns(
                timestamp=(self._start_us + self._event_us(pl.col("offset"))).cast(INSTANT)
            )
        )
        return Polled(
            frame,
            {"offset": self._offset, "start_us": self._start_us},
            caught_up=self._pace_ns is not None and count == due,
            ended=self._ended,
        )

    def lag(self) -> int | None:
        """Return the rows due by now; without a rate there is no such thing."""
        return None if self._pace_ns is None else self._due()

    @property
    def share(self) -> float | None:
        """How much of the total was given; None without one."""
        return self._offset / self._total if self._total else None

    def _event_us(self, offset: pl.Expr) -> pl.Expr:
        whole, rest = divmod(self._event_ns, 1000)  # apart, so that days * offset do not overflow
        return offset * whole + offset * rest // 1000

    @property
    def _ended(self) -> bool:
        return self._total is not None and self._offset >= self._total

    def _due(self) -> int:
        left = 2**62 if self._total is None else max(0, self._total - self._offset)
        if self._pace_ns is None:
            return left
        passed = (self._clock.now_ns() - self._first_due_ns) // self._pace_ns + 1
        return max(0, min(left, passed - self._offset))

    def acknowledge(self, position: Position) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """End a waiting poll."""
        self._clock.wake()


class _TickPosition(msgspec.Struct):
    tick: int  # the last one that was handed over
    start_us: int


class TickSource(OnePartition):
    """Brings the newest tick that is due."""

    def __init__(self, interval_ns: int, clock: Clock | None = None) -> None:
        self._interval_ns = interval_ns
        self._clock = clock or SystemClock()
        self._tick = 0
        self._start_us = 0

    def seek(self, position: Position | None) -> None:
        """Begin to count, or go on."""
        if position is None:
            self._tick, self._start_us = 0, self._clock.now_ns() // 1000
        else:
            held = msgspec.convert(position, _TickPosition)
            self._tick, self._start_us = held.tick, held.start_us

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return one row if a tick is due within the time-out."""
        if self._now() == self._tick:
            next_ns = self._start_us * 1000 + (self._tick + 1) * self._interval_ns
            self._clock.sleep(min(timeout_s, (next_ns - self._clock.now_ns()) / 1e9))
        newest = self._now()
        ticks = [newest] if newest > self._tick and max_rows else []
        self._tick = max([self._tick, *ticks])
        frame = pl.DataFrame({"tick": ticks}, schema={"tick": pl.Int64}).with_columns(
            timestamp=(self._start_us + pl.col("tick") * (self._interval_ns // 1000)).cast(INSTANT)
        )
        return Polled(frame, {"tick": self._tick, "start_us": self._start_us}, caught_up=True)

    def _now(self) -> int:
        """Return the newest tick that is due; never less than the last one."""
        passed = self._clock.now_ns() - self._start_us * 1000
        return max(self._tick, passed // self._interval_ns)

    def acknowledge(self, position: Position) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """End a waiting poll."""
        self._clock.wake()


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
