"""Generated sources: numbered rows at a rate, and ticks of the processing-time clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from penstock.connectors.contract import Source
from penstock.connectors.generators.source import INSTANT, RateSource, TickSource
from penstock.connectors.options import duration
from penstock.errors import ConfigError
from penstock.instants import Duration

_MAX_ROWS_PER_SECOND = 10_000_000
"""The interval between rows is whole nanoseconds: at this rate it is off by 0.5 % at most."""
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RateSpec:
    """Numbered rows, ``rows_per_second`` of them or, with None, as many as are polled.

    Columns: ``offset`` (Int64, from 0) and ``timestamp`` (Datetime us, UTC) = ``start`` + offset *
    interval, so that a position always brings the same rows. ``interval`` is the event time between
    rows; default: what the rate says, or 1 microsecond without a rate. Without ``start`` it is the
    moment of the first opening, and a run that was away catches up.

    >>> RateSpec(rows_per_second=1000, total=5).schema.names()
    ['offset', 'timestamp']
    """

    rows_per_second: float | None = None
    total: int | None = None
    start: datetime | None = None
    interval: timedelta | None = None

    def __post_init__(self) -> None:
        rate = self.rows_per_second
        if rate is not None and not 0 < rate <= _MAX_ROWS_PER_SECOND:
            raise ConfigError(
                f"rows_per_second must be above 0 and at most {_MAX_ROWS_PER_SECOND:,}",
                step=self.name,
                value=rate,
                hint="None brings rows as fast as they are taken",
            )
        if self.total is not None and self.total < 0:
            raise ConfigError("total must not be negative", step=self.name, value=self.total)
        if self.start is not None and self.start.tzinfo is None:
            raise ConfigError("start needs a time zone", step=self.name, value=self.start)
        if self.interval is not None and self.interval <= timedelta(0):
            raise ConfigError("interval must be positive", step=self.name, value=self.interval)

    @property
    def name(self) -> str:
        """``rate 1000/s``."""
        rate = self.rows_per_second
        return "rate" if rate is None or math.isnan(rate) else f"rate {rate:g}/s"

    @property
    def schema(self) -> pl.Schema:
        """``offset`` and ``timestamp``."""
        return pl.Schema({"offset": pl.Int64(), "timestamp": INSTANT})

    @property
    def bounded(self) -> bool:
        """Whether there is a total."""
        return self.total is not None

    @property
    def replayable(self) -> bool:
        """Always."""
        return True

    @property
    def partitioned(self) -> bool:
        """Never."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def open(self) -> Source:
        """Return the generator; its clock starts with ``seek``."""
        rate = self.rows_per_second
        pace_ns = None if rate is None else max(1, round(1e9 / rate))
        event_ns = pace_ns or 1000
        if self.interval is not None:
            event_ns = self.interval // _MICROSECOND * 1000
        return RateSource(pace_ns=pace_ns, event_ns=event_ns, total=self.total, start=self.start)


@dataclass(frozen=True, slots=True)
class TickSpec:
    """One row each ``interval`` of processing time; ticks that are overdue are one row.

    Columns: ``tick`` (Int64, how many intervals have passed since the first opening) and
    ``timestamp`` (Datetime us, UTC), the moment for which it was due. A restart goes on counting;
    what was due while nothing ran is one row.
    """

    interval: timedelta

    def __post_init__(self) -> None:
        if self.interval < timedelta(milliseconds=1):
            raise ConfigError(
                "a tick's interval is at least a millisecond", step="ticks", value=self.interval
            )

    @property
    def name(self) -> str:
        """``ticks every 0:00:01``."""
        return f"ticks every {self.interval}"

    @property
    def schema(self) -> pl.Schema:
        """``tick`` and ``timestamp``."""
        return pl.Schema({"tick": pl.Int64(), "timestamp": INSTANT})

    @property
    def bounded(self) -> bool:
        """Never."""
        return False

    @property
    def replayable(self) -> bool:
        """Never: which ticks were put together depends on when they were polled."""
        return False

    @property
    def made_here(self) -> bool:
        """Always: a tick that nobody saw is no loss, so none is kept in a topic."""
        return True

    @property
    def partitioned(self) -> bool:
        """Never."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def open(self) -> Source:
        """Return the clock; it starts with ``seek``."""
        return TickSource(self.interval // _MICROSECOND * 1000)


def rate(
    rows_per_second: float | str | None = None,
    *,
    total: int | None = None,
    start: datetime | None = None,
    interval: Duration | None = None,
) -> RateSpec:
    """Describe numbered rows; the rate may be text, as in the URL ``rate:1000``."""
    step = "rate"
    pace = None if rows_per_second in (None, "") else _number(rows_per_second, step)
    between = None if interval is None else duration(interval, step=step, option="interval")
    return RateSpec(pace, total, start, between)


def ticks(interval: Duration) -> TickSpec:
    """Describe ticks of the clock, ``"1s"`` apart."""
    return TickSpec(duration(interval, step="ticks", option="interval"))


def _number(value: object, step: str) -> float:
    try:
        return float(str(value))
    except ValueError:
        raise ConfigError(
            f"rows_per_second is not a number: {value!r}",
            step=step,
            value=value,
            hint="write rate:1000, or rate: for as many as are taken",
        ) from None
