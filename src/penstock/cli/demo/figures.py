"""What the demo shows: the newest answers, taken from the streams, and rates, from the handles."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import polars as pl

import penstock as ps
from penstock.cli.demo.web_traffic import Traffic

MINUTES_KEPT = 60
ALERTS_KEPT = 5
_WEIGHT = "_weight"
_RATE_WINDOW_S = 2.0


class Figures:
    """The newest answers. Written by the engine's thread through callbacks, read by the view's."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.statuses: dict[int | None, int] = {}
        self.pages: dict[str, tuple[int, int]] = {}
        self.minutes: deque[dict[str, Any]] = deque(maxlen=MINUTES_KEPT)
        self.alerts: deque[dict[str, Any]] = deque(maxlen=ALERTS_KEPT)
        self.windows_closed = self.sessions_closed = self.alerts_raised = 0

    def follow(self, traffic: Traffic) -> list[ps.Query]:
        """Return the sinks that keep these figures up to date."""
        return [
            traffic.totals.sink_callback(self._take_totals).named("terminal-totals"),
            traffic.statuses.sink_callback(self._take_statuses).named("terminal-statuses"),
            traffic.top_pages.sink_callback(self._take_pages).named("terminal-pages"),
            traffic.minutes.sink_callback(self._take_minutes).named("terminal-minutes"),
            traffic.sessions.sink_callback(self._take_sessions).named("terminal-sessions"),
            traffic.alerts.sink_callback(self._take_alerts).named("terminal-alerts"),
        ]

    def _take_totals(self, delta: pl.DataFrame) -> None:
        self.totals = delta.filter(pl.col(_WEIGHT) > 0).drop(_WEIGHT).row(-1, named=True)

    def _take_statuses(self, delta: pl.DataFrame) -> None:
        fresh = delta.filter(pl.col(_WEIGHT) > 0).select("status", "requests")
        self.statuses = {**self.statuses, **dict(fresh.iter_rows())}

    def _take_pages(self, delta: pl.DataFrame) -> None:
        found = dict(self.pages)
        for row in delta.filter(pl.col(_WEIGHT) < 0).iter_rows(named=True):
            found.pop(row["page"], None)
        for row in delta.filter(pl.col(_WEIGHT) > 0).iter_rows(named=True):
            found[row["page"]] = (row["requests"], row["errors"])
        self.pages = found

    def _take_minutes(self, rows: pl.DataFrame) -> None:
        self.windows_closed += rows.height
        self.minutes.extend(rows.sort("window_start").tail(MINUTES_KEPT).to_dicts())

    def _take_sessions(self, rows: pl.DataFrame) -> None:
        self.sessions_closed += rows.height

    def _take_alerts(self, rows: pl.DataFrame) -> None:
        self.alerts_raised += rows.height
        self.alerts.extend(rows.sort("window_start").tail(ALERTS_KEPT).to_dicts())

    def status_classes(self) -> dict[str, int]:
        """Return requests by class of status: ``2xx``, ``3xx`` ..."""
        classes: dict[str, int] = {}
        for status, requests in sorted(self.statuses.items(), key=lambda item: item[0] or 0):
            name = "none" if status is None else f"{status // 100}xx"
            classes[name] = classes.get(name, 0) + requests
        return classes

    def busiest(self) -> list[tuple[str, int, int]]:
        """Return page, requests, errors of the top pages, the first one first."""
        rows = [(page, *counts) for page, counts in self.pages.items()]
        return sorted(rows, key=lambda row: (-row[1], row[0]))

    def last_minutes(self, count: int) -> list[dict[str, Any]]:
        """Return the newest closed minutes, the newest first."""
        return list(islice(reversed(tuple(self.minutes)), count))


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the two queries are doing now."""

    rows: int
    rows_per_second: float
    epochs_per_second: float
    waiting: int
    watermark: datetime | None
    dead_letters: int
    late: int
    seconds: float


class PulseMeter:
    """Takes the pulse; rates are over the last two seconds."""

    def __init__(self, collecting: ps.Query, analysing: ps.Query) -> None:
        self._collecting = collecting
        self._analysing = analysing
        self._seen: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])

    def take(self) -> Pulse:
        """Return the figures of this moment."""
        collected, analysed = self._collecting.progress(), self._analysing.progress()
        now = time.monotonic()
        self._seen.append((now, analysed.rows_in, analysed.epoch))
        while len(self._seen) > 2 and now - self._seen[1][0] > _RATE_WINDOW_S:
            self._seen.popleft()
        then, rows, epochs = self._seen[0]
        seconds = max(now - then, 1e-3)
        marks = [step.watermark for step in analysed.steps if step.kind == "watermark"]
        mark = marks[0] if marks else None
        return Pulse(
            rows=analysed.rows_in,
            rows_per_second=(analysed.rows_in - rows) / seconds,
            epochs_per_second=(analysed.epoch - epochs) / seconds,
            waiting=max(0, collected.rows_in - analysed.rows_in),
            watermark=None if mark is None else datetime.fromtimestamp(mark / 1e9, UTC),
            dead_letters=collected.dead_letters + analysed.dead_letters,
            late=analysed.late_rows,
            seconds=analysed.running_seconds,
        )
