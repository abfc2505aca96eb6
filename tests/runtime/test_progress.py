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
