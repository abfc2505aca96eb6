"""Outlets: how the output of an epoch reaches a sink."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from penstock.connectors.contract import (
    KeyedSink,
    RefusingSink,
    ReplacingSink,
    Sink,
    SinkIdentity,
    SinkSpec,
)
from penstock.failures import system_refused
from penstock.lowering.graph import Graph
from penstock.runtime.letters import stamped

_QUEUED_EPOCHS = 8
"""Epochs that may wait for a slow sink before the engine, and so the sources, wait too."""


class Outlet:
    """Feeds one sink: at once on the engine's thread if it is immediate, else on its own thread."""

    def __init__(self, spec: SinkSpec, wake: threading.Condition | None = None) -> None:
        self.spec = spec
        self._wake = wake or threading.Condition()
        self.error: BaseException | None = None
        self.applied: int | None = None
        self._sink: Sink = spec.open()
        self._refused: deque[pl.DataFrame] = deque()
        self._queue: queue.Queue[tuple[int, Sequence[pl.DataFrame]] | None] = queue.Queue(
            _QUEUED_EPOCHS
        )
        self._thread: threading.Thread | None = None

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> None:
        """Connect; ``schema`` is that of the frames to come."""
        self.applied = self._sink.begin(identity, schema)
        if not self.spec.immediate:
            self._thread = threading.Thread(
                target=self._pump, name=f"sink {self.spec.name}", daemon=True
            )
            self._thread.start()

    def apply(self, epoch: int, frames: Sequence[pl.DataFrame]) -> None:
        """Hand over the output of an epoch (or of all since the last checkpoint)."""
        self.check()
        if self._thread is None:
            self._sink.apply(epoch, frames)
            self._applied(epoch)
        else:
            self._queue.put((epoch, frames))

    def replace(self, epoch: int, frames: Sequence[pl.DataFrame]) -> None:
        """Have the sink hold exactly these rows; returns when it does."""
        self.flush()
        assert isinstance(self._sink, ReplacingSink)
        self._sink.replace(epoch, frames)
        self._applied(epoch)

    def present(self, keys: pl.DataFrame) -> pl.Series | None:
        """Tell of each key whether the sink has a row of it; None if it cannot tell."""
        self.flush()
        return self._sink.present(keys) if isinstance(self._sink, KeyedSink) else None

    def take_refused(self) -> list[pl.DataFrame]:
        """Hand over the rows that the sink refused since the last call."""
        taken = []
        while self._refused:
            taken.append(self._refused.popleft())
        return taken

    def _applied(self, epoch: int) -> None:
        """Note an epoch that is in the sink, and what of it is not."""
        if isinstance(self._sink, RefusingSink):
            found = self._sink.refused(epoch)
            if found is not None:
                self._refused.append(found)
        self.applied = epoch

    def tidy(self, epoch: int) -> None:
        """Let the sink do what time demands of it, unless it is busy."""
        if self._thread is not None and self._queue.unfinished_tasks == 0:
            self._queue.put((epoch, ()))

    def flush(self) -> None:
        """Wait until everything handed over was written."""
        if self._thread is not None:
            self._queue.join()
        self.check()

    def owns(self, thread: threading.Thread) -> bool:
        """Tell whether a thread is the sink's own."""
        return thread is self._thread

    def check(self) -> None:
        """Raise what the sink raised on its own thread."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Write what is queued and close the sink."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        self._sink.close()

    def _fail(self, error: BaseException) -> None:
        self.error = error
        with self._wake:  # or it would be noticed with the next row only
            self._wake.notify_all()

    def _pump(self) -> None:
        while True:
            item = self._queue.get()
            try:
                if item is None:
                    return
                if self.error is None:
                    self._sink.apply(*item)
                    if item[1]:
                        self._applied(item[0])
            except OSError as error:
                self._fail(system_refused(error, self.spec.name))
            except BaseException as error:  # noqa: BLE001 - carried to the engine's thread
                self._fail(error)
            finally:
                self._queue.task_done()


def refused_by(
    outlets: Mapping[int, Outlet], graph: Graph, now: int
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Take what sinks have refused since the last call, as dead letters of their vertices."""
    for number, outlet in outlets.items():
        for frame in outlet.take_refused():
            yield number, stamped(frame, graph.vertices[number].name, now)
