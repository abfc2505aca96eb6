"""What a snapshot says of rows that wait and of results that are late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.runtime.rates import RecentRate
from penstock.testing.clock import ManualClock
from penstock.topics import Topic

NOON = datetime(2024, 1, 1, 12)
NOON_NS = 1_704_110_400_000_000_000


def until(query: ps.Query, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, query.progress()
        assert not query.wait(0.01)


def test_how_far_the_watermark_is_behind() -> None:
    done = threading.Event()

    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"ts": [NOON]})
        done.wait(30)

    clock = ManualClock(NOON_NS + 7_500_000_000)
    stream = ps.scan_batches(frames(), {"ts": pl.Datetime("us")}).with_watermark("ts", "2s")
    query = stream.sink_callback(lambda _: None).start(clock=clock)
    until(query, lambda: query.progress().step("watermark-1").watermark is not None)
    step = query.progress().step("watermark-1")
    assert step.watermark == NOON_NS - 2_000_000_000
    assert step.watermark_delay_seconds == pytest.approx(9.5)
    assert query.progress().step("source-1").watermark_delay_seconds is None
    assert query.progress().step("source-1").lag_rows is None
    done.set()
    query.stop()


def test_rows_that_wait_in_the_source(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=2, schema={"n": pl.Int64()}) as topic:
        topic.append(pl.DataFrame({"n": range(10)}), partition=0)
        topic.append(pl.DataFrame({"n": range(10)}), partition=1)
    entered, released = threading.Event(), threading.Event()

    def slow(_: pl.DataFrame) -> None:
        entered.set()
        released.wait(30)

    query = ps.scan_topic(tmp_path / "t", epoch_rows=4).sink_callback(slow).start()
    until(query, lambda: entered.is_set() and query.progress().step("source-1").lag_rows == 16)
    released.set()
    until(query, lambda: query.progress().step("source-1").lag_rows == 0)
    query.stop()


def test_a_recent_rate_forgets_what_is_long_ago() -> None:
    rate = RecentRate(0.0)
    for second in range(1, 61):
        rate.note(float(second), second * 100)
    assert rate.per_second(60.0, 6_000) == pytest.approx(100)
    for second in range(61, 81):
        rate.note(float(second), 6_000 + (second - 60) * 10)
    assert rate.per_second(80.0, 6_200) == pytest.approx(10)
    assert rate.per_second(100.0, 6_200) == 0.0


def test_progress_as_text_is_a_table() -> None:
    rows = pl.DataFrame({"v": ["1", "x", "2"], "k": ["a", "a", "b"]})
    stream = ps.scan_batches([rows]).with_columns(n=pl.col("v").str.to_integer())
    query = stream.group_by("k").agg(pl.col("n").sum()).sink_callback(lambda _: None)
    query.start().wait()
    head, columns, *steps, total = str(query.progress()).splitlines()
    assert head.startswith("finished, epoch ")
    assert "3 rows in (" in head
    assert "2 out, 0 late, 1 dead" in head
    assert columns.split()[:6] == ["step", "rows", "in", "rows", "out", "late"]
    assert [line.split()[0] for line in steps] == [
        "source-1",
        "map-1",
        "running-aggregate-1",
        "sink-1",
    ]
    assert steps[1].split()[1:4] == ["3", "2", "1"]
    assert total.split()[:5] == ["total", "3", "2", "0", "1"]
