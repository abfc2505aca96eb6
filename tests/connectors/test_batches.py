"""Frames from Python as a source."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pytest

from penstock.connectors.batches.config import BatchesSpec
from penstock.connectors.contract import Polled, Source, SourceSpec
from penstock.errors import ConfigError, ConnectorError

FRAMES = [pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [3]})]


def opened(spec: BatchesSpec) -> Source:
    source = spec.open()
    source.seek(None)
    return source


def drain(source: Source) -> list[Polled]:
    polls: list[Polled] = []
    deadline = time.monotonic() + 30
    while not (polls and polls[-1].ended):
        assert time.monotonic() < deadline
        polls.append(source.poll(1, 5))
    source.close()
    return polls


def values(polls: list[Polled]) -> list[list[int]]:
    return [polled.frame["a"].to_list() for polled in polls if polled.frame.height]


def test_a_list_is_replayable() -> None:
    spec = BatchesSpec(FRAMES)
    assert isinstance(spec, SourceSpec)
    assert spec.replayable
    assert spec.frame_is_epoch
    assert spec.schema == pl.Schema({"a": pl.Int64})
    polls = drain(opened(spec))
    assert values(polls) == [[1, 2], [3]]
    assert [polled.ended for polled in polls] == [False, True]
    again = spec.open()
    again.seek(polls[0].position)
    assert values(drain(again)) == [[3]]
    again.seek(polls[1].position)
    assert again.poll(1, 0).ended


def test_single_frames_and_empty_lists() -> None:
    assert values(drain(opened(BatchesSpec(FRAMES[0])))) == [[1, 2]]
    assert values(drain(opened(BatchesSpec([], pl.Schema({"a": pl.Int64}))))) == []
    with pytest.raises(ConfigError, match="an empty list has no columns"):
        BatchesSpec([])
    with pytest.raises(ConfigError, match="expected frames"):
        BatchesSpec(7)  # type: ignore[arg-type]


def test_a_generator_can_be_read_once() -> None:
    closed = threading.Event()

    def numbers() -> Iterator[pl.DataFrame]:
        try:
            yield from FRAMES
        finally:
            closed.set()

    spec = BatchesSpec(numbers())
    assert not spec.replayable
    assert spec.schema == pl.Schema({"a": pl.Int64})
    assert values(drain(opened(spec))) == [[1, 2], [3]]
    assert closed.wait(30)
    with pytest.raises(ConfigError, match="only once"):
        spec.open()


def test_tables_of_other_libraries() -> None:
    tables = [
        pl.DataFrame({"a": [1], "b": ["x"]}),
        pl.LazyFrame({"a": [2], "b": ["x"]}),
        pd.DataFrame({"a": [3], "b": ["x"]}, index=[9]),
        pa.table({"a": [4], "b": ["x"]}),
        pa.record_batch({"a": [5], "b": ["x"]}),
        {"a": [6], "b": ["x"]},
        {"b": ["x"], "a": [7]},
        {"a": [8], "b": [None]},
    ]
    polls = drain(opened(BatchesSpec(tables)))
    assert values(polls) == [[n] for n in range(1, 9)]
    expected = pl.Schema({"a": pl.Int64, "b": pl.String})
    assert all(polled.frame.schema == expected for polled in polls)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (pl.DataFrame({"a": ["x"]}), "frame 2 has column 'a' as String, not Int64"),
        (pl.DataFrame({"b": [1]}), "frame 2 has no column 'a'"),
        (pl.DataFrame({"a": [1], "b": [1]}), "frame 2 has a column 'b'"),
        ({"a": ["x"]}, "frame 2 cannot be read as a table"),
        (7, "int is no Polars, pandas or Arrow table"),
    ],
)
def test_a_later_frame_that_differs_is_named(second: object, message: str) -> None:
    source = opened(BatchesSpec([FRAMES[0], second]))  # type: ignore[list-item]
    source.poll(1, 0)
    with pytest.raises(ConnectorError, match=message):
        source.poll(1, 0)


def test_an_error_in_the_generator_is_the_users_and_stays() -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield FRAMES[0]
        raise ValueError("no more milk")

    source = opened(BatchesSpec(broken()))
    source.poll(1, 30)
    for _ in range(2):
        with pytest.raises(ConnectorError, match="failed at frame 2: ValueError: no more milk"):
            source.poll(1, 30)
    source.close()


def test_a_blocked_iterator_holds_up_neither_poll_nor_close() -> None:
    release = threading.Event()

    def blocked() -> Iterator[pl.DataFrame]:
        release.wait(60)
        yield FRAMES[0]

    source = opened(BatchesSpec(blocked(), FRAMES[0].schema))
    polled = source.poll(1, 0.01)
    assert polled.frame.is_empty()
    assert polled.caught_up
    waiter = threading.Thread(target=source.poll, args=(1, 600))
    waiter.start()
    source.close()
    waiter.join(30)
    assert not waiter.is_alive()
    release.set()


def test_an_async_iterator() -> None:
    async def numbers() -> AsyncIterator[pl.DataFrame]:
        for frame in FRAMES:
            await asyncio.sleep(0)
            yield frame

    spec = BatchesSpec(numbers())
    assert spec.schema == pl.Schema({"a": pl.Int64})
    assert values(drain(opened(spec))) == [[1, 2], [3]]


def test_an_async_iterator_inside_a_running_loop() -> None:
    async def numbers() -> AsyncIterator[pl.DataFrame]:
        for frame in FRAMES:
            yield frame

    async def main() -> list[list[int]]:
        return values(drain(opened(BatchesSpec(numbers()))))

    assert asyncio.run(main()) == [[1, 2], [3]]


def test_close_cancels_a_waiting_async_iterator_and_lets_it_clean_up() -> None:
    cleaned = threading.Event()

    async def waiting() -> AsyncIterator[pl.DataFrame]:
        try:
            yield FRAMES[0]
            await asyncio.sleep(3600)
            yield FRAMES[1]
        finally:
            cleaned.set()

    source = opened(BatchesSpec(waiting()))
    assert source.poll(1, 30).frame.height == 2
    assert source.poll(1, 0).frame.is_empty()
    waiter = threading.Thread(target=source.poll, args=(1, 600))
    waiter.start()
    source.close()
    waiter.join(30)
    assert not waiter.is_alive()
    assert cleaned.is_set()
    source.close()


def test_an_error_in_an_async_iterator() -> None:
    async def broken() -> AsyncIterator[pl.DataFrame]:
        yield FRAMES[0]
        raise ValueError("no more milk")

    source = opened(BatchesSpec(broken(), FRAMES[0].schema))
    source.poll(1, 30)
    with pytest.raises(ConnectorError, match="failed at frame 2: ValueError: no more milk"):
        source.poll(1, 30)
    source.close()
