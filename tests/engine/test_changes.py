"""Reading deltas in a loop: left early, cancelled, failing, closed from elsewhere."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.errors import QueryFailed
from penstock.stream import Stream

LIMIT = 20.0


class Tap:
    """A source that brings what the test puts in, and stays quiet otherwise."""

    def __init__(self) -> None:
        self._frames: queue.Queue[pl.DataFrame | None] = queue.Queue()
        self.stream: Stream = ps.scan_batches(self._read(), schema={"a": pl.Int64})

    def put(self, *values: int) -> None:
        self._frames.put(pl.DataFrame({"a": values}, schema={"a": pl.Int64}))

    def end(self) -> None:
        self._frames.put(None)

    def _read(self) -> Iterator[pl.DataFrame]:
        while (frame := self._frames.get()) is not None:
            yield frame


@pytest.fixture
def tap() -> Iterator[Tap]:
    found = Tap()
    yield found
    found.end()


def within(function: Callable[[], Any]) -> Any:
    """Run a function on a thread of its own; fail if it does not return."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert results, "still waiting"
    return results[0]


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LIMIT
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return condition()


def engines() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "penstock"]


def test_leaving_the_loop_ends_the_query(tap: Tap) -> None:
    before = len(engines())

    def first() -> int:
        for delta in tap.stream.changes():
            return int(delta["a"][0])
        return -1

    tap.put(7)
    assert first() == 7
    gc.collect()
    tap.put(8)
    tap.end()
    assert eventually(lambda: len(engines()) <= before)


def test_leaving_an_endless_loop_ends_the_query() -> None:
    before = len(engines())
    for _ in ps.scan_rate(100_000.0).changes():
        break
    gc.collect()
    assert eventually(lambda: len(engines()) <= before)


def test_a_closed_iterator_has_nothing_more(tap: Tap) -> None:
    changes = tap.stream.changes()
    tap.put(1)
    assert next(changes)["a"].to_list() == [1]
    tap.end()
    changes.close()
    with pytest.raises(StopIteration):
        within(lambda: next(changes, None)) or next(iter(()))
    assert within(lambda: next(changes, None) is None)


def test_closing_ends_a_loop_that_waits_on_another_thread() -> None:
    changes = ps.scan_ticks("1h").changes()
    waiting = threading.Event()
    got: list[Any] = []

    def read() -> None:
        waiting.set()
        got.extend(changes)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    waiting.wait(LIMIT)
    assert eventually(lambda: bool(engines()))
    changes.close()
    reader.join(LIMIT)
    assert not reader.is_alive()


def test_a_cancelled_wait_loses_nothing_and_does_not_hold_up_the_loop(tap: Tap) -> None:
    async def run() -> list[int]:
        changes = tap.stream.changes()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(changes), 0.05)
        tap.put(1)
        tap.put(2)
        found = [(await asyncio.wait_for(anext(changes), LIMIT))["a"][0] for _ in range(2)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(changes), 0.05)
        tap.end()
        await asyncio.to_thread(changes.close)
        return found

    assert within(lambda: asyncio.run(run())) == [1, 2]


def test_a_failed_query_is_raised_behind_what_came_before(tap: Tap) -> None:
    def fails(frame: pl.DataFrame) -> pl.DataFrame:
        if not frame.height:
            return frame
        raise_on = frame["a"][0] == 2
        return frame.select(pl.lit("x").alias("a")) if raise_on else frame  # of a wrong type

    tap.put(1)
    tap.put(2)
    changes = tap.stream.map_batches(fails).changes()
    assert next(changes)["a"].to_list() == [1]
    for _ in range(2):
        with pytest.raises(QueryFailed):
            within_raising(lambda: next(changes))


def within_raising(function: Callable[[], Any]) -> Any:
    caught: list[BaseException] = []

    def run() -> bool:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - raised again by the caller
            caught.append(error)
        return True

    within(run)
    if caught:
        raise caught[0]


def test_what_the_reader_raises_is_not_hidden_by_the_end_of_the_query() -> None:
    read_one = threading.Event()

    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"a": [1]})
        read_one.wait(60)
        raise ZeroDivisionError("in the source")

    def read() -> None:
        with ps.scan_batches(frames(), schema={"a": pl.Int64}).changes() as changes:
            next(changes)
            read_one.set()
            raise KeyError("in the reader")

    with pytest.raises(KeyError, match="in the reader"):
        read()


def test_a_preview_of_a_query_that_fails_says_so_at_once() -> None:
    def rows() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"a": [1]})
        raise ZeroDivisionError("in the source")

    stream = ps.scan_batches(rows(), schema={"a": pl.Int64})
    begun = time.monotonic()
    with pytest.raises(QueryFailed, match="in the source"):
        stream.preview(timeout=LIMIT)
    assert time.monotonic() - begun < LIMIT


def test_a_sink_that_fails_ends_a_query_whose_source_is_quiet(tap: Tap) -> None:
    def broken(_: pl.DataFrame) -> None:
        raise ZeroDivisionError("in the sink")

    query = tap.stream.sink_callback(broken).start()
    tap.put(1)
    with pytest.raises(QueryFailed, match="in the sink"):
        within_raising(lambda: query.wait(LIMIT))


def test_a_callback_may_stop_its_own_query() -> None:
    seen: list[int] = []

    def enough(frame: pl.DataFrame) -> None:
        seen.append(frame.height)
        query.stop()

    query = ps.scan_rate(1000.0).sink_callback(enough)
    query.start()
    assert within(lambda: query.wait(LIMIT))
    assert seen
