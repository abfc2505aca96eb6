"""What arrives: random rows of a few sources, cut into epochs, and what time it is after each.

The model of lateness is plain Python over single rows and shares nothing with the engine: a row is
late when it is behind the running maximum of its own partition by more than the lateness; the time
reached is the least maximum of the partitions being read, less the lateness.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from penstock.testing import Epoch

START = datetime(1970, 1, 1)
NEVER, FOREVER = -(10**18), 10**18
"""The time before anything is known, and after the end, in seconds."""

SCHEMA = {
    "k": pl.Int64(),
    "g": pl.String(),
    "v": pl.Int64(),
    "f": pl.Float64(),
    "ts": pl.Datetime("us"),
}
Row = dict[str, Any]


def instant(second: int) -> datetime:
    """Return the instant a number of seconds after 1970 (or before)."""
    return START + timedelta(seconds=second)


@dataclass(frozen=True)
class Arrival:
    """One row: where it comes from, and its event time in seconds."""

    source: str
    partition: int
    second: int
    row: Row


@dataclass(frozen=True)
class Script:
    """Epochs of arrivals; ``ends`` tells after which epoch each source has ended."""

    partitions: dict[str, int]
    epochs: list[list[Arrival]]
    ends: dict[str, int]

    def driven(self) -> list[Epoch]:
        """Return the epochs as the engine is driven; the first one names all partitions."""
        empty = pl.DataFrame(schema=SCHEMA)
        found = []
        for number, arrivals in enumerate(self.epochs):
            rows: dict[str | tuple[str, int], pl.DataFrame] = {}
            for source, partitions in self.partitions.items():
                for partition in range(partitions):
                    some = [
                        a.row for a in arrivals if (a.source, a.partition) == (source, partition)
                    ]
                    if some or not number:
                        rows[source, partition] = (
                            pl.DataFrame(some, schema=SCHEMA) if some else empty
                        )
            ended = frozenset(s for s, last in self.ends.items() if last == number)
            found.append(Epoch(rows, ended=ended))
        return found


@dataclass
class Clock:
    """Time by the rows of some sources read together."""

    sources: tuple[str, ...]
    lateness: int
    reached: int = NEVER
    highest: dict[tuple[str, int], int] = field(default_factory=dict)

    def in_time(self, arrival: Arrival) -> bool:
        """Note the row's time; tell whether it is not late."""
        partition = (arrival.source, arrival.partition)
        top = max(self.highest.get(partition, NEVER), arrival.second)
        self.highest[partition] = top
        return arrival.second >= top - self.lateness

    def advance(self, reading: list[tuple[str, int]]) -> None:
        """Move on to the least maximum of the partitions still being read."""
        if not reading:
            self.reached = FOREVER
        elif all(partition in self.highest for partition in reading):
            self.reached = max(self.reached, min(self.highest[p] for p in reading) - self.lateness)


@dataclass(frozen=True)
class Seen:
    """What the oracle may know after an epoch."""

    rows: dict[str, pl.DataFrame]
    times: dict[str, int]
    over: bool


def replay(script: Script, clocks: dict[str, Clock]) -> list[Seen]:
    """Return after each epoch the rows in time by base name, and the time each base has reached."""
    accepted: dict[str, list[Row]] = {name: [] for name in clocks}
    found = []
    for number, arrivals in enumerate(script.epochs):
        for name, clock in clocks.items():
            for arrival in in_order(arrivals):
                if arrival.source in clock.sources and (
                    clock.lateness < 0 or clock.in_time(arrival)
                ):
                    accepted[name].append(arrival.row)
            reading = [
                (source, partition)
                for source in clock.sources
                if script.ends[source] > number
                for partition in range(script.partitions[source])
            ]
            if clock.lateness >= 0 or not reading:
                clock.advance(reading)
        found.append(
            Seen(
                {name: pl.DataFrame(rows, schema=SCHEMA) for name, rows in accepted.items()},
                {name: clock.reached for name, clock in clocks.items()},
                over=all(last <= number for last in script.ends.values()),
            )
        )
    return found


def in_order(arrivals: list[Arrival]) -> list[Arrival]:
    """Return the arrivals of an epoch in the order in which partitions are handed over."""
    return sorted(arrivals, key=lambda a: (a.source, a.partition))


def _row(k: Any, g: Any, v: Any, f: Any, second: int) -> Row:
    return {"k": k, "g": g, "v": v, "f": f, "ts": instant(second)}


_FLOATS = st.sampled_from([None, 0.0, -0.0, 0.25, 0.5, 1.0, -1.0, 2.5, float("nan"), float("inf")])


@st.composite
def scripts(draw: st.DrawFn, sources: tuple[str, ...] = ("a", "b", "c")) -> Script:
    """Draw rows of all sources in a common order, mostly rising in time, and cut them."""
    partitions = {source: draw(st.sampled_from([1, 1, 2])) for source in sources}
    count = draw(st.integers(0, 24))
    arrivals: list[Arrival] = []
    at = draw(st.sampled_from([0, 0, -7, 1_700_000_000]))
    for _ in range(count):
        at += draw(st.sampled_from([0, 0, 1, 1, 2, 5]))
        source = draw(st.sampled_from(sources))
        second = at - draw(st.sampled_from([0, 0, 0, 1, 3, 9]))
        row = _row(
            draw(st.sampled_from([0, 1, 1, 2, None])),
            draw(st.sampled_from(["x", "x", "y", "", None])),
            draw(st.sampled_from([0, 1, 2, 3, -1, None])),
            draw(_FLOATS),
            second,
        )
        arrivals.append(Arrival(source, draw(st.integers(0, partitions[source] - 1)), second, row))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=5)))
    bounds = [0, *cuts, count]
    epochs = [arrivals[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    ends = {}
    for source in sources:
        last = max(
            (n for n, e in enumerate(epochs) if any(a.source == source for a in e)), default=0
        )
        ends[source] = draw(st.sampled_from([last, len(epochs) - 1, len(epochs)]))
    return Script(partitions, [*epochs, []], ends)
