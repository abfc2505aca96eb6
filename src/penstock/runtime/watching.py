"""What those who watch a run see beside its figures: latest rows, contents of sinks, latencies.

Nothing is measured before somebody ``attend``s, and little while nobody looks: only the changes of
changelog sinks are kept then, since what a view holds cannot be found afterwards. The engine's thread
notes epochs, any other thread reads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator

import polars as pl

from penstock.columns import WEIGHT
from penstock.lowering.graph import Graph
from penstock.runtime.contents import Contents
from penstock.runtime.executor import EpochOutput
from penstock.runtime.progress import CheckpointProgress, Latency, Rows

_LOOKED_FOR_S = 5.0
"""A look lasts so long: more than the page's slowest question, less than anybody would mind paying."""

_TAIL_ROWS = 50
_APART_S = 0.2
"""The latest rows of a step are taken at most this often."""

_RECENT_S = 10.0
_REMEMBERED = 4096
"""Epochs whose latency is remembered: ten seconds of a busy run."""


class Watch:
    """Belongs to a run through all its restarts."""

    def __init__(self) -> None:
        self.attended = False
        self._lock = threading.Lock()
        self._looked_until = 0.0
        self._wanted: dict[str, float] = {}
        self._tails: dict[str, Rows] = {}
        self._contents: dict[str, Contents] = {}
        self._waiting: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def attend(self) -> None:
        """From now on somebody may look: the contents of changelog sinks are kept."""
        self.attended = True

    def look(self) -> None:
        """Somebody looks, for the next seconds."""
        self._looked_until = time.perf_counter() + _LOOKED_FOR_S

    def restarted(self) -> None:
        """Forget what a run had that is now begun again from a checkpoint."""
        with self._lock:
            self._tails, self._contents = {}, {}
            self._waiting.clear()

    def epoch(
        self, graph: Graph, number: int, arrived: float | None, output: EpochOutput, *, held: bool
    ) -> None:
        """Note an epoch; ``held``: its output waits for a checkpoint. On the engine's thread."""
        now = time.perf_counter()
        looked = now < self._looked_until
        with self._lock:
            for vertex in graph.sinks:
                frame = output.sinks.get(vertex.number)
                if frame is not None and (looked or WEIGHT in frame.columns):
                    kept = self._contents.setdefault(vertex.name, Contents(vertex.key))
                    kept.add(frame)
            if not looked:
                return
            if arrived is not None and held:
                self._waiting.append((number, arrived))
            elif arrived is not None:
                self._latencies.append((now, now - arrived))
            for vertex in graph.vertices:
                if self._wanted.get(vertex.name, 0.0) > now:
                    self._note_tail(vertex.name, output.rows_of(vertex.number), now)

    def _note_tail(self, name: str, frame: pl.DataFrame | None, now: float) -> None:
        known = self._tails.get(name)
        if frame is None or (known is not None and now - known.taken < _APART_S):
            return
        last = frame.tail(_TAIL_ROWS)
        copied = pl.DataFrame(last.rows(), frame.schema, orient="row")  # not all of a large epoch
        if known is not None and known.frame.schema == copied.schema:
            copied = pl.concat([known.frame, copied]).tail(_TAIL_ROWS)
        self._tails[name] = Rows(copied, now)

    def tail(self, step: str) -> Rows | None:
        """Return the latest rows of a step, and have them taken for the next seconds."""
        self.look()
        self._wanted[step] = self._looked_until
        return self._tails.get(step)

    def contents(self, sink: str) -> Rows | None:
        """Return what a sink holds, as far as it came since somebody ``attend``ed."""
        self.look()
        with self._lock:
            found = self._contents.get(sink)
            return None if found is None else found.rows()

    def latency(self, checkpoints: Iterable[CheckpointProgress]) -> Latency | None:
        """Return how long rows of the last seconds took from their arrival to the sinks."""
        with self._lock:
            for made in checkpoints:
                self._latencies.extend(self._applied(made))
            since = time.perf_counter() - _RECENT_S
            recent = sorted(took for at, took in self._latencies if at >= since)
        if not recent:
            return None
        return Latency(
            recent[len(recent) // 2], recent[min(len(recent) - 1, len(recent) * 99 // 100)]
        )

    def _applied(self, made: CheckpointProgress) -> Iterator[tuple[float, float]]:
        while self._waiting and self._waiting[0][0] <= made.epoch:
            _, arrived = self._waiting.popleft()
            yield made.applied, made.applied - arrived
