"""Bounds of rounded times and of windows: groups close as early as they may, and are freed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.stream import Stream
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.executing import run

ts = pl.col("ts")
MINUTE = 60_000_000


def stream_of(dtype: pl.DataType, **options: Any) -> Stream:
    schema = {"ts": dtype, "v": pl.Int64()}
    return scripted("s", schema).with_watermark(
        "ts", **{"lateness": "0s", "idle_timeout": None, "max_ahead": None, **options}
    )


def epochs_of(dtype: pl.DataType, times: list[list[dt.datetime]]) -> list[Epoch]:
    """Each list is an epoch; the source ends after the last."""
    found = []
    for number, some in enumerate(times):
        zone = getattr(dtype, "time_zone", None)
        column = pl.Series("ts", some, dtype=pl.Datetime("us"))
        if zone is not None:
            column = column.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        frame = column.cast(dtype).to_frame().with_columns(v=pl.lit(1, pl.Int64))
        ended = frozenset({"s"}) if number == len(times) - 1 else frozenset()
        found.append(Epoch({"s": frame}, ended))
    return found


def seconds(values: list[int]) -> list[dt.datetime]:
    return [dt.datetime(1970, 1, 1) + dt.timedelta(seconds=value) for value in values]


def running(start: dt.datetime, steps: list[list[int]]) -> list[list[dt.datetime]]:
    """Return the times of each epoch, each some seconds after the one before."""
    return [[start := start + dt.timedelta(seconds=s) for s in step] for step in steps]


WINDOWS = st.sampled_from([(4, 4), (6, 6), (6, 2), (5, 3), (2, 5), (10, 5)])


@settings(max_examples=60)
@given(
    inner=WINDOWS,
    offset=st.integers(0, 3),
    outer=st.sampled_from([4, 6, 7, 12]),
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=12),
)
def test_windows_over_windows_close_with_the_last_window_that_can_be_in_them(
    inner: tuple[int, int], offset: int, outer: int, steps: list[int]
) -> None:
    """An outer window is out once no inner window that starts before its end is still open."""
    size, slide = inner
    dtype = pl.Datetime("us")
    stream = (
        stream_of(dtype)
        .group_by(ps.hopping(f"{size}s", slide=f"{slide}s", offset=f"{offset}s"))
        .agg(n=pl.len())
        .group_by(ps.tumbling(f"{outer}s", on="window_start"))
        .agg(n=pl.col("n").sum())
    )
    times = [sum(steps[: i + 1]) for i in range(len(steps))]
    deltas = outputs(stream, [*epochs_of(dtype, [[t] for t in map(_second, times)]), Epoch()])
    for number, now in enumerate(times[:-1]):
        starts = range(offset - 10 * slide, now + slide, slide)
        held = {s for t in times[: number + 1] for s in starts if s <= t < s + size}
        wanted = {s // outer * outer for s in held}
        still_open = [s for s in starts if s + size > now]
        out = sorted(w for w in wanted if not any(s < w + outer for s in still_open))
        found = integrate(stream, deltas[: number + 1])
        assert sorted(found["window_start"].dt.epoch("s").to_list()) == out, now


def _second(value: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=value)


def test_minutes_close_their_hour_at_once() -> None:
    dtype = pl.Datetime("us")
    stream = (
        stream_of(dtype)
        .group_by(ps.tumbling("1m"))
        .agg(n=pl.len())
        .group_by(ps.tumbling("1h"))
        .agg(n=pl.col("n").sum())
    )
    epochs = epochs_of(dtype, [seconds([0, 3590]), seconds([3599]), seconds([3600]), []])
    deltas = outputs(stream, epochs)
    assert [None if d is None else d["n"].to_list() for d in deltas] == [None, None, [3], [1]]


ROUNDED: list[tuple[pl.Expr, Callable[[dt.datetime], Any]]] = [
    (ts.dt.truncate("10m"), lambda t: t.replace(minute=t.minute // 10 * 10, second=0)),
    (ts.dt.truncate("1d"), lambda t: t.replace(hour=0, minute=0, second=0)),
    (ts.dt.truncate("1mo"), lambda t: t.replace(day=1, hour=0, minute=0, second=0)),
    (ts.dt.truncate("1y"), lambda t: t.replace(month=1, day=1, hour=0, minute=0, second=0)),
    (ts.dt.date(), lambda t: t.date()),
    (ts.cast(pl.Date), lambda t: t.date()),
    (
        ts.dt.round("1h"),
        lambda t: (t + dt.timedelta(minutes=30)).replace(minute=0, second=0),
    ),
]
"""Expressions, and the same in plain Python."""

_STEPS = st.lists(
    st.lists(st.sampled_from([0, 7, 600, 3_600, 40_000, 86_400, 1_000_000]), max_size=3),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("number", range(len(ROUNDED)))
@settings(max_examples=25)
@given(steps=_STEPS, changes=st.booleans())
def test_groups_of_a_rounded_time(number: int, steps: list[list[int]], changes: bool) -> None:
    """As changes after every epoch; as final results once no row can fall into them any more."""
    expr, oracle = ROUNDED[number]
    dtype = pl.Datetime("us")
    epochs = running(dt.datetime(2023, 12, 28, 21, 50), steps)
    stream = stream_of(dtype).group_by(expr.alias("at")).agg(n=pl.len())
    if not changes:
        stream = stream.emit("final")
    assert stream.is_changelog == changes
    deltas = outputs(stream, epochs_of(dtype, epochs))
    seen: list[dt.datetime] = []
    for place, some in enumerate(epochs):
        seen += some
        groups: dict[Any, int] = {}
        for t in seen:
            groups[oracle(t)] = groups.get(oracle(t), 0) + 1
        if not changes and place < len(epochs) - 1:
            reached = oracle(max(seen)) if seen else None
            groups = {at: n for at, n in groups.items() if reached is not None and at < reached}
        found = integrate(stream, deltas[: place + 1])
        assert dict(zip(found["at"], found["n"], strict=True)) == groups


@pytest.mark.parametrize(
    "key", [ts.dt.truncate("1m"), ts.dt.round("5m"), ts.dt.truncate("1m").dt.offset_by("-1h")]
)
def test_groups_of_a_rounded_time_are_freed(key: pl.Expr) -> None:
    dtype = pl.Datetime("us")
    stream = stream_of(dtype).group_by(key.alias("at"), "v").agg(n=pl.len())
    assert stream.node.unbounded_state is None
    epochs = epochs_of(dtype, [seconds([n * 60, n * 60 + 30]) for n in range(200)])
    for executor, _ in run(stream, epochs[:-1]):
        states = [
            part
            for v in executor.graph.vertices
            if v.operator
            for part in v.operator.state.values()
        ]
        assert sum(len(part) for part in states if hasattr(part, "__len__")) < 40


ZONED = pl.Datetime("us", "Europe/Vienna")


@settings(max_examples=40)
@given(
    start=st.sampled_from([dt.datetime(2024, 10, 26, 12), dt.datetime(2024, 3, 30, 12)]),
    steps=st.lists(st.lists(st.integers(0, 5_000), max_size=4), min_size=1, max_size=25),
    every=st.sampled_from(["15m", "1h", "45m", "90m", "1d", "1mo"]),
    how=st.sampled_from(["changes", "final", "window"]),
)
def test_local_time_where_hours_come_twice(
    start: dt.datetime, steps: list[list[int]], every: str, how: str
) -> None:
    """No row is left out, whether the group is proven to close or not."""
    epochs = running(start, steps)
    key = ts.dt.truncate(every).alias("at")
    stream = stream_of(ZONED)
    if how == "window":  # a window over the rounded time, which is an event time like any other
        stream = stream.with_columns(key).group_by(ps.tumbling("3h", on="at")).agg(n=pl.len())
    else:
        stream = stream.group_by(key).agg(n=pl.len())
        stream = stream.emit("final") if how == "final" else stream
    driven = epochs_of(ZONED, epochs)
    found = integrate(stream, outputs(stream, driven))
    rows = pl.concat([epoch.rows["s"] for epoch in driven])
    if how == "window":
        at = rows.select(key)["at"].dt.truncate("3h").alias("window_start")
        wanted = at.to_frame().group_by("window_start").len("n")
        found = found.select("window_start", "n")
    else:
        wanted = rows.group_by(key).agg(n=pl.len())
        found = found.select("at", "n")
    assert sorted(found.rows()) == sorted(wanted.rows())


@settings(max_examples=30)
@given(steps=st.lists(st.integers(0, 30_000), min_size=1, max_size=30))
def test_windows_over_local_days_of_25_hours(steps: list[int]) -> None:
    """A day is open until its last hour is over, and with it what is made of days."""
    now, epochs = dt.datetime(2024, 10, 25, 20), []
    for step in steps:
        now += dt.timedelta(seconds=step)
        epochs.append([now])
    dtype = pl.Datetime("us", "UTC")
    stream = (
        stream_of(dtype)
        .group_by(ps.tumbling("1d", time_zone="Europe/Vienna"))
        .agg(n=pl.len())
        .group_by(ps.tumbling("30m", on="window_start"))
        .agg(n=pl.col("n").sum())
    )
    found = integrate(stream, outputs(stream, epochs_of(dtype, epochs)))
    assert found["n"].sum() == len(steps)
