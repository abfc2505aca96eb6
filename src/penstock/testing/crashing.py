"""Crash points: the places at which a run with checkpoints touches what outlives it, by name.

``CrashPoints`` stands between a run and its checkpoint storage, its sinks and its sources. Each call
reaches points on its way; at the chosen one the run dies: ``Crash`` is raised there, and from then
on everything that would outlive the run raises it too, as if the process were gone.

| point | where a run dies |
|---|---|
| ``storage.hold.before`` | before it has become the one that writes here |
| ``storage.read.before`` ``storage.list.before`` | while it restores, or tidies up |
| ``storage.write.before`` ``.torn`` ``.after`` | around a file of state and staged outputs; in it |
| ``storage.create.before`` ``.torn`` ``.after`` | around a manifest: all is staged; it is committed |
| ``storage.delete.before`` ``.after`` | while old files are collected |
| ``sink.begin.before`` ``.after`` | around the taking over of a sink |
| ``sink.apply.before`` ``.inside`` ``.after`` | around an epoch's output, and between its frames |
| ``source.seek.before`` | when all is restored |
| ``source.acknowledge.before`` ``.after`` | around the acknowledgement of a checkpoint |

A file that is torn is a beginning of what was to be written, or as long but zeros from somewhere on,
as file systems leave it that grow a file before its data is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from penstock.checkpoints.storage import Storage
from penstock.connectors.contract import (
    KeyedSink,
    Polled,
    Position,
    RefusingSink,
    Sink,
    SinkIdentity,
    SinkSpec,
    Source,
    SourceSpec,
)
from penstock.plan.node import Node
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan
from penstock.query import Query


class Crash(BaseException):
    """The run died here. No Exception, so that nothing handles it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A crash point that was reached: its name, and the path, sink or source."""

    name: str
    place: str

    def __str__(self) -> str:
        return f"{self.name} {self.place}"


@dataclass
class CrashPoints:
    """Notes the points a run reaches, and ends it at one of them.

    ``at`` is the number of the point (from 0); or ``name``, the ``nth`` time (from 0) it is reached
    at a place that begins with ``place``. With neither, nothing happens but notes. ``torn`` is how
    much of a file in the making stays, from 0 to 1; ``zeros`` fills it up with zeros. With
    ``atomic`` nothing stays of a manifest in the making, as the contract of a storage says; without,
    it is torn, as on a file system that has no hard links. ``then`` is called at the point instead
    of dying there: start another run in it, and the one that was overtaken must be fenced.

    >>> import penstock as ps, polars as pl
    >>> from penstock.checkpoints.storage import MemoryStorage
    >>> from penstock.testing import Crash, CrashPoints, end, rows, scripted
    >>> seen, disk = [], MemoryStorage()
    >>> def query():
    ...     script = [rows({"n": [1]}), rows({"n": [2]}), end()]
    ...     return scripted("s", {"n": pl.Int64}, script=script).sink_callback(seen.append)
    >>> points = CrashPoints(name="storage.create.after", nth=1)
    >>> run = points.query(query()).start(checkpoint=points.storage(disk), checkpoint_interval=0)
    >>> run.wait(10)
    Traceback (most recent call last):
    ...
    penstock.errors.QueryFailed: the query failed: storage.create.after manifest-0000000002
    >>> query().start(checkpoint=disk).wait(10)
    True
    >>> sum(frame["n"].sum() for frame in seen) >= 3
    True
    """

    at: int | None = None
    name: str | None = None
    nth: int = 0
    place: str = ""
    torn: float = 0.5
    zeros: bool = False
    atomic: bool = False
    then: Callable[[], None] | None = None
    reached: list[Point] = field(default_factory=list)
    dead: bool = False
    _left: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._left = self.nth

    def reach(self, name: str, place: str) -> None:
        """Note a point; die if it is the one, or if the run is dead already."""
        if self._dies(Point(name, place)):
            self.die(Point(name, place))

    def reaches(self, name: str, place: str) -> bool:
        """Note a point and tell whether the run dies here; who asks makes it die."""
        return self._dies(Point(name, place))

    def die(self, point: Point) -> None:
        """Die here."""
        self.dead = True
        raise Crash(str(point))

    def _dies(self, point: Point) -> bool:
        if self.dead:
            raise Crash(f"{point}, after the crash")
        self.reached.append(point)
        if not self._is_it(point):
            return False
        if self.then is None:
            return True
        then, self.then, self.at, self.name = self.then, None, None, None
        then()
        return False

    def _is_it(self, point: Point) -> bool:
        if self.name is None:
            return self.at == len(self.reached) - 1
        if point.name != self.name or not point.place.startswith(self.place):
            return False
        self._left -= 1
        return self._left < 0

    def storage(self, inner: Storage) -> Storage:
        """Return the storage with crash points around its calls."""
        return _Storage(self, inner)

    def query(
        self, query: Query, leave: Callable[[Sink], None] = lambda sink: sink.close()
    ) -> Query:
        """Return the query with crash points around the calls of its sinks and sources.

        ``leave`` is what is done with the sink of a run that died, instead of closing it: nothing
        that a process could not do that is gone, but connections must not stay open for ever.
        """
        watched: dict[int, Node] = {}
        return Query(*(self._sink_node(root, watched, leave) for root in query.roots))

    def _sink_node(
        self, root: SinkNode, watched: dict[int, Node], leave: Callable[[Sink], None]
    ) -> SinkNode:
        below = self._node(root.input, watched)
        spec: SinkSpec = _SinkSpec(root.spec, self, leave)
        return replace(root, input=below, spec=spec)

    def _node(self, node: Node, watched: dict[int, Node]) -> Node:
        """Return a node with its sources watched; a node that is read twice stays one."""
        if id(node) not in watched:
            watched[id(node)] = self._rebuilt(node, watched)
        return watched[id(node)]

    def _rebuilt(self, node: Node, watched: dict[int, Node]) -> Node:
        if isinstance(node, Scan):
            spec: SourceSpec = _SourceSpec(node.spec, self)
            return replace(node, spec=spec)
        changed: dict[str, Any] = {}
        for name in node.__dataclass_fields__:
            value = getattr(node, name, None)
            if isinstance(value, Node):
                changed[name] = self._node(value, watched)
            elif isinstance(value, tuple) and any(isinstance(each, Node) for each in value):
                changed[name] = tuple(
                    self._node(each, watched) if isinstance(each, Node) else each for each in value
                )
        return replace(node, **changed)


class _Storage:
    """A storage with a crash point before, in and after each call."""

    def __init__(self, points: CrashPoints, inner: Storage) -> None:
        self._points = points
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def folder(self) -> Path | None:
        return self._inner.folder

    def hold(self, *, takeover: bool) -> bool:
        self._points.reach("storage.hold.before", "")
        return self._inner.hold(takeover=takeover)

    def release(self) -> None:
        self._inner.release()  # the kernel does this for a process that is gone

    def read(self, path: str) -> bytes:
        self._points.reach("storage.read.before", path)
        return self._inner.read(path)

    def write(self, path: str, data: bytes) -> None:
        self._points.reach("storage.write.before", path)
        if self._points.reaches("storage.write.torn", path):
            self._inner.write(path, self._torn(data))
            self._points.die(Point("storage.write.torn", path))
        self._inner.write(path, data)
        self._points.reach("storage.write.after", path)

    def create(self, path: str, data: bytes) -> bool:
        self._points.reach("storage.create.before", path)
        if self._points.reaches("storage.create.torn", path):
            if not self._points.atomic:
                self._inner.create(path, self._torn(data))
            self._points.die(Point("storage.create.torn", path))
        made = self._inner.create(path, data)
        self._points.reach("storage.create.after", path)
        return made

    def list(self, prefix: str) -> list[str]:
        self._points.reach("storage.list.before", prefix)
        return self._inner.list(prefix)

    def delete(self, path: str) -> None:
        self._points.reach("storage.delete.before", path)
        self._inner.delete(path)
        self._points.reach("storage.delete.after", path)

    def _torn(self, data: bytes) -> bytes:
        kept = data[: int(len(data) * self._points.torn)]
        return kept.ljust(len(data), b"\0") if self._points.zeros else kept


class _Spec:
    """A spec that shows the facts of another; frozen as that is."""

    def __init__(self, inner: Any, points: CrashPoints) -> None:
        self._inner = inner
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)


class _SinkSpec(_Spec):
    def __init__(self, inner: SinkSpec, points: CrashPoints, leave: Callable[[Sink], None]) -> None:
        super().__init__(inner, points)
        self._leave = leave
        self.name, self.guarantee, self.accepts = inner.name, inner.guarantee, inner.accepts
        self.key, self.immediate = inner.key, inner.immediate

    def validate(self, schema: pl.Schema) -> None:
        self._inner.validate(schema)

    def open(self) -> Sink:
        return _Sink(self._inner.open(), self.name, self._points, self._leave)


class _Sink:
    def __init__(
        self, inner: Sink, name: str, points: CrashPoints, leave: Callable[[Sink], None]
    ) -> None:
        self._inner = inner
        self._name = name
        self._points = points
        self._leave = leave

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        self._points.reach("sink.begin.before", self._name)
        last = self._inner.begin(identity, schema)
        self._points.reach("sink.begin.after", self._name)
        return last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        held = list(frames)
        if not held:
            self._inner.apply(epoch, held)  # a look at the time; when it comes is not determined
            return
        self._points.reach("sink.apply.before", self._name)
        self._inner.apply(epoch, self._through(held))
        self._points.reach("sink.apply.after", self._name)

    def refused(self, epoch: int) -> pl.DataFrame | None:
        if isinstance(self._inner, RefusingSink):
            return self._inner.refused(epoch)
        return None

    def present(self, keys: pl.DataFrame) -> pl.Series | None:
        return self._inner.present(keys) if isinstance(self._inner, KeyedSink) else None

    def _through(self, frames: Sequence[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for frame in frames:
            yield frame
            self._points.reach("sink.apply.inside", self._name)

    def close(self) -> None:
        if self._points.dead:
            self._leave(self._inner)
        else:
            self._inner.close()


class _SourceSpec(_Spec):
    def __init__(self, inner: SourceSpec, points: CrashPoints) -> None:
        super().__init__(inner, points)
        self.name, self.schema, self.bounded = inner.name, inner.schema, inner.bounded
        self.replayable, self.partitioned = inner.replayable, inner.partitioned
        self.frame_is_epoch = inner.frame_is_epoch

    def open(self) -> Source:
        return _Source(self._inner.open(), self.name, self._points)


class _Source:
    def __init__(self, inner: Source, name: str, points: CrashPoints) -> None:
        self._inner = inner
        self._name = name
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def seek(self, position: Position | None) -> None:
        self._points.reach("source.seek.before", self._name)
        self._inner.seek(position)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        return self._inner.poll(max_rows, timeout_s)

    def partitions(self) -> Sequence[int]:
        return self._inner.partitions()

    def acknowledge(self, position: Position) -> None:
        self._points.reach("source.acknowledge.before", self._name)
        self._inner.acknowledge(position)
        self._points.reach("source.acknowledge.after", self._name)

    def close(self) -> None:
        self._inner.close()
