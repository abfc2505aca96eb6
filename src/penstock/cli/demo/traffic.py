"""Made-up traffic of a web site: visitors, robots, busy hours, failures, and a broken line at times.

Lines are in the combined log format and in the order in which a server would write them: when the
answer was sent, so that the times inside them are not quite in order.
"""

from __future__ import annotations

import heapq
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

SPEED = 600.0
"""Seconds of the log per second: a session's gap of half an hour then passes in three seconds."""

VISITORS_PER_MINUTE = 30.0
"""New visitors per minute of the log at the busiest hour; one makes about 25 requests."""

ROBOT_SHARE = 0.08
BROKEN_SHARE = 1 / 4000
RETURN_SHARE = 0.25
"""Share of visitors who come back after more than a session's gap."""

_PAGES = {
    "/": 30,
    "/products": 22,
    "/products/pump": 12,
    "/products/valve": 9,
    "/products/gate": 7,
    "/search?q=sluice": 9,
    "/blog/": 8,
    "/blog/why-streams": 6,
    "/cart": 7,
    "/checkout": 5,
    "/docs/start": 8,
    "/about": 3,
    "/no-such-page": 1,
}
_ASSETS = ("/style.css", "/app.js", "/logo.svg", "/photo.jpg")
_FRAGILE = ("/cart", "/checkout", "/search?q=sluice", "/products")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
)
_ROBOT = "Mozilla/5.0 (compatible; ExampleBot/1.0; +http://bot.example/)"
_BATCH_S = 0.05


@dataclass(order=True, slots=True)
class _Visit:
    """A visitor between two pages: when the next one is asked for, and how many remain."""

    at: float
    number: int
    client: str
    agent: str
    pages_left: int
    pause_s: float
    referer: str = "-"


class Site:
    """The visitors of a site; ``lines_until`` moves its clock on."""

    def __init__(self, start: datetime, seed: int = 1) -> None:
        self._start = start
        self._random = random.Random(seed)  # noqa: S311 - made-up traffic, no secrets
        self._visits: list[_Visit] = []
        self._written: list[tuple[float, int, str]] = []
        self._count = 0
        self._next_arrival = 0.0
        self._failing_from, self._failing_until = self._failure_after(600.0)

    def lines_until(self, moment: float) -> Iterator[str]:
        """Yield the lines written before ``moment`` (seconds of the log since its start)."""
        self._arrive(moment)
        while self._visits and self._visits[0].at < moment:
            self._step(heapq.heappop(self._visits))
        while self._written and self._written[0][0] < moment:
            line = heapq.heappop(self._written)[2]
            broken = self._random.random() < BROKEN_SHARE
            yield line[: len(line) // 2] if broken else line

    def _arrive(self, moment: float) -> None:
        while self._next_arrival < moment:
            self._welcome(self._next_arrival)
            clock = self._start + timedelta(seconds=self._next_arrival)
            hour = clock.hour + clock.minute / 60
            share = 0.55 + 0.45 * math.sin((hour - 9) / 24 * 2 * math.pi)
            self._next_arrival += self._random.expovariate(VISITORS_PER_MINUTE * share / 60)

    def _welcome(self, at: float) -> None:
        draw = self._random
        client = f"203.0.{draw.randrange(113, 120)}.{draw.randrange(1, 255)}"
        if draw.random() < ROBOT_SHARE:
            visit = _Visit(at, self._number(), client, _ROBOT, draw.randrange(20, 120), 2.0)
        else:
            pages = 1 + int(draw.expovariate(1 / 6))
            visit = _Visit(at, self._number(), client, draw.choice(_AGENTS), pages, 25.0)
        heapq.heappush(self._visits, visit)

    def _step(self, visit: _Visit) -> None:
        """Ask for one page with what belongs to it, and go on, leave, or come back much later."""
        draw = self._random
        page = draw.choices(list(_PAGES), list(_PAGES.values()))[0]
        self._request(visit, visit.at, page)
        if visit.agent != _ROBOT:
            for asset in _ASSETS[: draw.randrange(len(_ASSETS))]:
                self._request(visit, visit.at + draw.random(), asset)
        visit.referer = f"http://penstock.example{page}"
        visit.pages_left -= 1
        if visit.pages_left > 0:
            visit.at += 1 + draw.expovariate(1 / visit.pause_s)
        elif draw.random() < RETURN_SHARE:
            visit.at += draw.uniform(1900, 7200)
            visit.pages_left, visit.referer = 1 + int(draw.expovariate(1 / 4)), "-"
        else:
            return
        heapq.heappush(self._visits, visit)

    def _request(self, visit: _Visit, at: float, path: str) -> None:
        draw = self._random
        status = self._status(at, path)
        size = "-" if status == 304 else str(int(draw.lognormvariate(8, 1.2)))
        method = "POST" if path == "/checkout" and draw.random() < 0.5 else "GET"
        stamp = (self._start + timedelta(seconds=at)).strftime("%d/%b/%Y:%H:%M:%S +0000")
        line = (
            f'{visit.client} - - [{stamp}] "{method} {path} HTTP/1.1" {status} {size} '
            f'"{visit.referer}" "{visit.agent}"'
        )
        answered = at + draw.expovariate(1 / 0.4) + (20 if draw.random() < 0.01 else 0)
        heapq.heappush(self._written, (answered, self._number(), line))

    def _status(self, at: float, path: str) -> int:
        if at > self._failing_until:
            self._failing_from, self._failing_until = self._failure_after(at)
        chance = self._random.random()
        if at >= self._failing_from and path in _FRAGILE and chance < 0.8:
            return 503
        if path == "/no-such-page":
            return 404
        if path in _ASSETS and chance < 0.3:
            return 304
        return 500 if chance < 0.002 else 301 if chance < 0.01 else 200

    def _failure_after(self, at: float) -> tuple[float, float]:
        """Return when the next failure begins and ends: a few minutes, about every half hour."""
        begin = at + self._random.uniform(900, 2700)
        return begin, begin + self._random.uniform(120, 420)

    def _number(self) -> int:
        self._count += 1
        return self._count


class TrafficWriter:
    """Appends the lines of a ``Site`` to a log file, ``SPEED`` times as fast as they happened."""

    def __init__(self, log: Path, *, seed: int = 1) -> None:
        year_ago = datetime.now(UTC) - timedelta(days=365)  # hours of running reach no future times
        self._site = Site(year_ago.replace(hour=8, minute=0, second=0, microsecond=0), seed)
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._log.touch()
        self._thread.start()

    def stop(self) -> None:
        """End behind a whole line."""
        self._stopping.set()
        self._thread.join()

    def _write(self) -> None:
        begun = time.monotonic()
        with self._log.open("a", encoding="utf-8") as file:
            while not self._stopping.wait(_BATCH_S):
                self._append(file, (time.monotonic() - begun) * SPEED)

    def _append(self, file: IO[str], moment: float) -> None:
        file.writelines(f"{line}\n" for line in self._site.lines_until(moment))
        file.flush()
