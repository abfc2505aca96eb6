"""Windows over time against plain Python: rows late, out of order, retracted; every kind and mode."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.stream import Stream
from penstock.testing import scripted
from penstock.windows import Window, hopping, session, sliding, tumbling
from tests.operators.oracle import (
    Bag,
    Row,
    bag_of_rows,
    check_every_epoch,
    cuts,
    epochs_of,
    frames,
    half,
    restarts,
    split,
)

SCHEMA: dict[str, Any] = {
    "id": pl.Int64,
    "alive": pl.Boolean,
    "ts": pl.Datetime("ms"),
    "k": pl.String,
    "v": pl.Int64,
}
ZERO = datetime(1970, 1, 1)
END_OF_TIME = 10**9


def moment(second: int) -> datetime:
    return ZERO + timedelta(seconds=second)


@st.composite
def streams(draw: Any) -> list[Row]:
    """Rows whose time moves on, with steps back, ties and leaps."""
    rows, now = [], 100
    for _ in range(draw(st.integers(0, 30))):
        now = max(0, now + draw(st.sampled_from([0, 0, 1, 2, 3, 7, 30, -1, -2, -4, -9])))
        row = {
            "id": draw(st.integers(0, 2)),
            "alive": draw(st.booleans()),
            "t": now,
            "k": draw(st.sampled_from([None, "a", "b"])),
            "v": draw(st.sampled_from([None, -3, 0, 1, 2, 100])),
        }
        rows.append(row)
    return rows


def with_times(pieces: Sequence[Sequence[Row]]) -> list[pl.DataFrame]:
    """Turn seconds into the event-time column."""
    return frames([[{**row, "ts": moment(row["t"])} for row in piece] for piece in pieces], SCHEMA)


@dataclass
class Time:
    """What a watermark with this lateness makes of rows, in plain Python."""

    lateness: int
    allowed: int = 0

    def upto(self, pieces: Sequence[Sequence[Row]], number: int) -> tuple[list[Row], int | None]:
        """Return the rows in time up to an epoch, and the watermark after it."""
        rows, highest = [], None
        for piece in pieces[: number + 1]:
            for row in piece:
                highest = row["t"] if highest is None else max(highest, row["t"])
                if row["t"] >= highest - self.lateness - self.allowed:
                    rows.append(row)
        if number >= len(pieces):
            return rows, END_OF_TIME
        return rows, None if highest is None else highest - self.lateness


Found = Iterator[tuple[Any, int, int, list[Any]]]
Model = Callable[[Sequence[Row]], Found]


def by_key(rows: Sequence[Row]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["k"], []).append(row)
    return groups


def hops(size: int, slide: int, offset: int = 0) -> Model:
    def model(rows: Sequence[Row]) -> Found:
        for key, group in by_key(rows).items():
            starts = {
                start
                for row in group
                for start in range(row["t"] - size + 1, row["t"] + 1)
                if (start - offset) % slide == 0
            }
            for start in starts:
                inside = [row["v"] for row in group if start <= row["t"] < start + size]
                yield key, start, start + size, inside

    return model


def sessions(gap: int) -> Model:
    def model(rows: Sequence[Row]) -> Found:
        for key, group in by_key(rows).items():
            times = sorted(row["t"] for row in group)
            start = times[0]
            for this, following in zip(times, [*times[1:], END_OF_TIME], strict=True):
                if following - this > gap:
                    inside = [row["v"] for row in group if start <= row["t"] <= this]
                    yield key, start, this + gap, inside
                    start = following

    return model


def slides(size: int) -> Model:
    def model(rows: Sequence[Row]) -> Found:
        for key, group in by_key(rows).items():
            ordered = sorted(group, key=lambda row: row["t"])
            for row in ordered:
                inside = [r["v"] for r in ordered if row["t"] - size < r["t"] <= row["t"]]
                yield key, row["t"] - size, row["t"], inside

    return model


KINDS: dict[str, tuple[Window, Model, int]] = {
    # window, model, how far above its end the watermark must be to close it
    "tumbling": (tumbling("10s"), hops(10, 10), 0),
    "offset": (tumbling("10s", offset="3s"), hops(10, 10, 3), 0),
    "hopping": (hopping("10s", slide="5s"), hops(10, 5), 0),
    "uneven": (hopping("10s", slide="4s", offset="-1s"), hops(10, 4, -1), 0),
    "gaps": (hopping("3s", slide="7s"), hops(3, 7), 0),
    "session": (session("5s"), sessions(5), 1),
    "sliding": (sliding("6s"), slides(6), 1),
}


def known(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None]


AGGS: dict[str, tuple[list[pl.Expr], Callable[[list[Any]], list[Any]]]] = {
    "partial": (
        [pl.len(), pl.col("v").sum().alias("sum"), pl.col("v").max().alias("max")],
        lambda v: [len(v), sum(known(v)), max(known(v), default=None)],
    ),
    "ordered": (
        [pl.col("v").first().alias("first"), pl.col("v").last().alias("last")],
        lambda v: [v[0], v[-1]],
    ),
    "whole": (
        [pl.col("v").median().alias("median"), pl.col("v").sum().alias("sum")],
        lambda v: [float(statistics.median(known(v))) if known(v) else None, sum(known(v))],
    ),
    "none": ([], lambda v: []),
}


def contents(kind: str, aggs: str, rows: Sequence[Row], watermark: int | None) -> Bag:
    """Return the windows that this watermark has closed; END_OF_TIME closes all."""
    _, model, beyond = KINDS[kind]
    finish = AGGS[aggs][1]
    return bag_of_rows(
        [
            (key, moment(start), moment(end), *finish(values))
            for key, start, end, values in model(rows)
            if watermark is not None and end + beyond <= watermark
        ]
    )


KIND, LATENESS = st.sampled_from(sorted(KINDS)), st.integers(0, 6)


@half
@given(streams(), cuts(), restarts(), KIND, st.sampled_from(sorted(AGGS)), LATENESS)
def test_once_when_closed(
    rows: Any, at: Any, restart: Any, kind: str, aggs: str, lateness: int
) -> None:
    pieces, time = split(rows, at), Time(lateness)
    source = scripted("s", SCHEMA).with_watermark("ts", lateness, idle_timeout=None)
    stream = source.group_by("k", KINDS[kind][0]).agg(*AGGS[aggs][0])
    assert not stream.is_changelog

    def oracle(number: int) -> Bag:
        return contents(kind, aggs, *time.upto(pieces, number))

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


@half
@given(streams(), cuts(), restarts(), KIND, st.sampled_from(sorted(AGGS)), LATENESS)
def test_as_changes(rows: Any, at: Any, restart: Any, kind: str, aggs: str, lateness: int) -> None:
    pieces, time = split(rows, at), Time(lateness)
    source = scripted("s", SCHEMA).with_watermark("ts", lateness, idle_timeout=None)
    stream = source.group_by("k", KINDS[kind][0]).agg(*AGGS[aggs][0]).emit("changes")
    assert stream.is_changelog

    def oracle(number: int) -> Bag:
        return contents(kind, aggs, time.upto(pieces, number)[0], END_OF_TIME)

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


@half
@given(streams(), cuts(), restarts(), KIND, st.sampled_from(["partial", "whole"]), LATENESS)
def test_closed_windows_are_refined(
    rows: Any, at: Any, restart: Any, kind: str, aggs: str, lateness: int
) -> None:
    pieces, time = split(rows, at), Time(lateness, 5)
    source = scripted("s", SCHEMA).with_watermark(
        "ts", lateness, idle_timeout=None, allowed_lateness="5s"
    )
    stream = source.group_by("k", KINDS[kind][0]).agg(*AGGS[aggs][0])
    assert stream.is_changelog

    def oracle(number: int) -> Bag:
        return contents(kind, aggs, *time.upto(pieces, number))

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


def living(rows: Sequence[Row]) -> list[Row]:
    """Return the newest row of each id and time, while alive."""
    table = {(row["id"], row["t"]): row for row in rows}
    return [row for row in table.values() if row["alive"]]


def changes(lateness: int) -> Stream:
    source = scripted("s", SCHEMA).with_watermark("ts", lateness, idle_timeout=None)
    return source.unique(["id", "ts"], keep="last").filter("alive").select("ts", "k", "v")


@pytest.mark.parametrize("mode", ["final", "changes"])
@half
@given(streams(), cuts(), restarts(), KIND, st.sampled_from(["partial", "whole"]), LATENESS)
def test_of_changes(
    mode: str, rows: Any, at: Any, restart: Any, kind: str, aggs: str, lateness: int
) -> None:
    pieces, time = split(rows, at), Time(lateness)
    stream = changes(lateness).group_by("k", KINDS[kind][0]).agg(*AGGS[aggs][0]).emit(mode)
    assert stream.is_changelog == (mode == "changes")

    def oracle(number: int) -> Bag:
        found, watermark = time.upto(pieces, number)
        due = watermark if mode == "final" else END_OF_TIME
        return contents(kind, aggs, living(found), due)

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


@half
@given(streams(), cuts(), restarts(), KIND, st.sampled_from(["partial", "whole"]))
def test_without_a_watermark_at_the_end(
    rows: Any, at: Any, restart: Any, kind: str, aggs: str
) -> None:
    pieces = split(rows, at)
    window = KINDS[kind][0]
    stream = scripted("s", SCHEMA).group_by("k", replace_on(window)).agg(*AGGS[aggs][0])
    assert stream.is_changelog
    stream = stream.emit("final")

    def oracle(number: int) -> Bag:
        done = END_OF_TIME if number >= len(pieces) else None
        return contents(kind, aggs, rows, done)

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


def replace_on(window: Window) -> Window:
    return replace(window, on="ts")


def test_windows_of_windows_nest() -> None:
    """Hours of minutes are the hours of the rows: 10:59 is before 11:00."""
    times = [datetime(2026, 5, 17, 10, 59, 30), datetime(2026, 5, 17, 11, 0, 30)]
    rows = ps.scan_batches([pl.DataFrame({"ts": times, "v": [1, 2]})], event_time="ts")
    minutes = rows.group_by(ps.tumbling("1m")).agg(pl.col("v").sum())
    hours = [s.group_by(ps.tumbling("1h")).agg(pl.col("v").sum()) for s in (rows, minutes)]
    assert not hours[1].is_changelog
    assert hours[1].collect().rows() == hours[0].collect().rows()
    assert hours[1].collect()["v"].to_list() == [1, 2]
