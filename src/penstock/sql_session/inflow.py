"""The sources of a session: read in the background, handed over an epoch at a time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.contract import Position
from penstock.lowering.graph import Graph
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.clock import Clock
from penstock.runtime.executor import Executor
from penstock.runtime.feeds import Feed
from penstock.sql_session.maintenance import ResultSpec
from penstock.stream import Stream

_EPOCH_ROWS = 1 << 20
_LOOK_S = 0.25
"""How late a session may notice that a timer of a registered stream is due."""


@dataclass(slots=True)
class Taken:
    """What a source brought in one epoch: a delta, dead letters, and where it stands now."""

    delta: pl.DataFrame | None
    dead: list[pl.DataFrame]
    place: Place


@dataclass(frozen=True, slots=True)
class Place:
    """How far a source has been read, and whether it has ended."""

    position: Position = None
    ended: bool = False

    def written(self) -> bytes:
        """Return it as JSON."""
        return json.dumps({"position": self.position, "ended": self.ended}).encode()

    @classmethod
    def read(cls, text: bytes) -> Place:
        """Return what ``written`` wrote."""
        found = json.loads(text)
        return cls(found["position"], found["ended"])


class Inflow:
    """One source: its feeds, the plan over them, and what went wrong."""

    def __init__(self, name: str, place: Place, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self.place = place
        self.error: BaseException | None = None
        self._executor = Executor(Graph())
        self._epoch = 0
        self._feeds: dict[int, Feed] = {}

    def open(self, stream: Stream, wake: threading.Condition) -> None:
        """Open what the stream reads, and begin to read where it stood."""
        self._executor = Executor(lower([SinkNode(input=stream.node, spec=ResultSpec())]))
        for vertex in self._executor.graph.sources:
            assert vertex.source is not None
            self._feeds[vertex.number] = Feed(
                vertex.source, wake=wake, limit_rows=_EPOCH_ROWS, epoch_rows=vertex.epoch_rows
            )

        for feed in self._feeds.values():
            feed.start(self.place.position)

    @property
    def ready(self) -> bool:
        """Whether ``take`` would find something."""
        if self.error is not None:
            return False
        due = self._executor.deadline()
        return (
            any(feed.ready or feed.error is not None for feed in self._feeds.values())
            or (self._all_ended and not self.place.ended)
            or (due is not None and due <= self._clock.now())
        )

    @property
    def settled(self) -> bool:
        """Whether there was nothing more when the sources were last looked at."""
        return all(feed.caught_up or feed.ended for feed in self._feeds.values()) and not self.ready

    @property
    def state(self) -> str:
        """``reading``, ``ended``, or what went wrong."""
        if self.error is not None:
            return f"failed: {str(self.error).partition(chr(10))[0]}"
        return "ended" if self.place.ended else "reading"

    @property
    def _all_ended(self) -> bool:
        return all(feed.ended for feed in self._feeds.values())

    def take(self) -> Taken:
        """Take what has come; raises what the source raised."""
        found = {number: feed.take(_EPOCH_ROWS) for number, feed in self._feeds.items()}
        fed = {number: one for number, one in found.items() if one is not None}
        for feed in self._feeds.values():
            if feed.error is not None and not fed:
                raise feed.error
        self._epoch += 1
        states = {number: feed.state(held=False) for number, feed in self._feeds.items()}
        output = self._executor.run(self._epoch, fed, states, self._clock.now())
        positions = [one.position for one in fed.values()]
        position = positions[0] if positions else self.place.position
        delta = next(iter(output.sinks.values()), None)
        return Taken(delta, output.dead, Place(position, self._all_ended))

    def acknowledge(self) -> None:
        """Tell the source that what was taken is kept."""
        if len(self._feeds) == 1:
            next(iter(self._feeds.values())).acknowledge(self.place.position)

    def stop(self) -> None:
        """End reading."""
        for feed in self._feeds.values():
            feed.stop()


@dataclass(slots=True)
class Inflows:
    """All sources of a session and the one thread that takes from them, under the session's lock."""

    lock: threading.RLock
    take_in: Callable[[Inflow, Taken], None]
    clock: Clock
    flows: dict[str, Inflow] = field(default_factory=dict)
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _thread: threading.Thread | None = None
    _stopping: bool = False

    def add(self, name: str, stream: Stream, place: Place) -> None:
        """Begin to read a source."""
        flow = Inflow(name, place, self.clock)
        flow.open(stream, self._wake)
        self.flows[name.lower()] = flow
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="session", daemon=True)
            self._thread.start()

    def broken(self, name: str, place: Place, error: BaseException) -> None:
        """Keep a source that cannot be read."""
        flow = Inflow(name, place, self.clock)
        flow.error = error
        self.flows[name.lower()] = flow

    def drop(self, key: str) -> None:
        """Stop reading a source."""
        flow = self.flows.pop(key, None)
        if flow is not None:
            flow.stop()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until every source has nothing more; False if the time passed first."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            with self.lock:
                if all(flow.settled or flow.error is not None for flow in self.flows.values()):
                    return True
            left = _LOOK_S if end is None else min(_LOOK_S, end - time.monotonic())
            if left <= 0:
                return False
            with self._wake:
                self._wake.wait(left)

    def close(self) -> None:
        """End the thread, then the sources; called without the session's lock."""
        self._stopping = True
        with self._wake:
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
        for flow in self.flows.values():
            flow.stop()
        self.flows = {}

    def _run(self) -> None:
        while not self._stopping:
            with self._wake:
                if not self._stopping and not any(f.ready for f in list(self.flows.values())):
                    self._wake.wait(_LOOK_S)
            with self.lock:
                for flow in list(self.flows.values()):
                    if flow.ready and not self._stopping:
                        self._step(flow)
            with self._wake:
                self._wake.notify_all()

    def _step(self, flow: Inflow) -> None:
        try:
            taken = flow.take()
            self.take_in(flow, taken)
            flow.place = taken.place
            flow.acknowledge()
        except BaseException as error:  # noqa: BLE001 - raised again by wait(), shown by SHOW SOURCES
            flow.error = error
            flow.stop()
