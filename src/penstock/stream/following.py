"""The deltas of a running query, handed to the loop that reads them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

import polars as pl

from penstock.deferred import asyncio
from penstock.query import Query

_QUEUED_CHANGES = 16
"""Epochs that wait for a slow reader of ``changes()`` before the query waits too."""

_ASYNC_WAIT_S = 0.25
"""Longest wait on a thread for an event loop: a loop that ends waits for its threads."""


class _Buffer:
    """Deltas between the query and its reader; knows neither, so that a reader can be collected."""

    def __init__(self) -> None:
        self._frames: deque[pl.DataFrame] = deque()
        self._moved = threading.Condition()
        self._ended = False
        self.closed = False

    def put(self, frame: pl.DataFrame) -> None:
        """Add a delta, waiting for room; drop it once the reader is gone."""
        with self._moved:
            self._moved.wait_for(lambda: self.closed or len(self._frames) < _QUEUED_CHANGES)
            if not self.closed:
                self._frames.append(frame)
                self._moved.notify_all()

    def ready(self, timeout: float | None = None) -> bool:
        """Wait until there is a delta or none will come; False if the time passed first."""
        with self._moved:
            return self._moved.wait_for(
                lambda: bool(self._frames) or self._ended or self.closed, timeout
            )

    def take(self) -> pl.DataFrame | None:
        """Return the next delta, if there is one now."""
        with self._moved:
            if self.closed or not self._frames:
                return None
            self._moved.notify_all()
            return self._frames.popleft()

    @property
    def over(self) -> bool:
        """Whether nothing is left and nothing will come."""
        with self._moved:
            return self.closed or (self._ended and not self._frames)

    def end(self) -> None:
        """Nothing will come any more."""
        with self._moved:
            self._ended = True
            self._moved.notify_all()

    def close(self) -> None:
        """Nothing will be read any more."""
        with self._moved:
            self.closed = True
            self._moved.notify_all()


def _watch(query: Query, buffer: _Buffer) -> None:
    query.join()
    buffer.end()


class Changes:
    """The deltas of a stream; an iterator, an async iterator and a context manager.

    Leaving the loop early ends the query when the object is closed or collected. A wait that is
    cancelled (``asyncio.wait_for``) loses nothing.
    """

    def __init__(self, sink: Callable[[Callable[[pl.DataFrame], None]], Query]) -> None:
        self._buffer = _Buffer()
        self._started = False
        self._query = sink(self._buffer.put)

    def _start(self) -> None:
        if not self._started and not self._buffer.closed:
            self._started = True
            self._query.start()
            watch = (self._query, self._buffer)
            threading.Thread(target=_watch, args=watch, daemon=True).start()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return self

    def __next__(self) -> pl.DataFrame:
        self._start()
        self._buffer.ready()
        frame = self._buffer.take()
        if frame is None:
            self._raise_failure()
            raise StopIteration
        return frame

    def __aiter__(self) -> AsyncIterator[pl.DataFrame]:
        return self

    async def __anext__(self) -> pl.DataFrame:
        self._start()
        while (frame := self._buffer.take()) is None:
            if self._buffer.over:
                self._raise_failure()
                raise StopAsyncIteration
            await asyncio.to_thread(self._buffer.ready, _ASYNC_WAIT_S)
        return frame

    def _raise_failure(self) -> None:
        if not self._buffer.closed:
            self._query.wait()

    def close(self) -> None:
        """End the query."""
        self._buffer.close()
        if self._started:
            self._query.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        self._buffer.close()  # what the reader raised matters more than how the query ends
        if self._started:
            self._query.request_stop()
            self._query.join()

    def __del__(self) -> None:
        self._buffer.close()
        if self._started:
            self._query.request_stop()
