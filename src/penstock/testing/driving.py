"""Drive a plan epoch by epoch, without threads, clocks or connectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from penstock.checkpoints.compaction import merge
from penstock.connectors.contract import (
    Accepts,
    Guarantee,
    Sink,
    SinkIdentity,
)
from penstock.lowering.table import lower
from penstock.plan.node import Node
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.state.contract import FULL, Part, Stateful
from penstock.stream import Stream


@dataclass(frozen=True, eq=False)
class DrivenSink:
    """Marks the end of a driven plan; never opened."""

    name: str = "driven"
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    accepts: Accepts = Accepts.CHANGES
    key: tuple[str, ...] = ()
    immediate: bool = True

    def validate(self, schema: pl.Schema) -> None:
        """Take anything."""

    def open(self) -> Sink:
        """Return a sink that keeps nothing."""
        return _NoSink()


class _NoSink:
    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002
        schema: pl.Schema | None = None,  # noqa: ARG002
    ) -> int | None:
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Epoch:
    """What arrives in one epoch: rows by source name (or ``(source name, partition)``).

    ``ended`` names the sources that end with this epoch; ``now`` is the processing-time instant in
    nanoseconds; ``caught_up`` is what the sources say.
    """

    rows: Mapping[str | tuple[str, int], pl.DataFrame] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    now: int = 0
    caught_up: bool = False


class Driven:
    """A plan that is run by hand, epoch by epoch, and can be stopped and restored between two.

    >>> from penstock.testing import Driven, Epoch, scripted
    >>> numbers = scripted("numbers", {"n": pl.Int64})
    >>> driven = Driven(numbers.select(pl.col("n").sum()))
    >>> _ = driven.step(Epoch({"numbers": pl.DataFrame({"n": [1, 2]})}))
    >>> driven.restart()
    >>> driven.step(Epoch({"numbers": pl.DataFrame({"n": [4]})}))[0].rows()
    [(3, -1), (7, 1)]
    """

    def __init__(self, streams: Stream | Sequence[Stream]) -> None:
        self.streams = [streams] if isinstance(streams, Stream) else list(streams)
        self.executor = self._built()
        self._epochs = 0
        self._saved: dict[tuple[str, str], list[Part]] = {}
        self._ended: set[str] = set()
        self._partitions: dict[str, set[int]] = {}

    def step(self, epoch: Epoch) -> list[pl.DataFrame | None]:
        """Run one epoch and return the delta of every stream."""
        self._epochs += 1
        self._ended |= epoch.ended
        fed, sources = self._feed(epoch)
        output = self.executor.run(self._epochs, fed, sources, epoch.now)
        return [output.sinks.get(v.number) for v in self.executor.graph.sinks]

    def save(self, *, full: bool = False) -> None:
        """Write the state out as a checkpoint does: what has changed since the last time, or all."""
        for key, primitive in self._states():
            parts = self._saved.setdefault(key, [])
            part = primitive.full() if full else primitive.delta()
            if FULL in part:
                parts.clear()
            if part:
                parts.append(part)

    def compact(self, *, keep: int = 0) -> None:
        """Save, then merge the parts written so far, but for the first ``keep``, into one."""
        self.save()
        for parts in self._saved.values():
            if parts[keep:]:
                parts[keep:] = [merge(parts[keep:])]

    def restart(self, *, full: bool = False) -> None:
        """Save, build a new graph and load the state into it, as a run after a crash does."""
        self.save(full=full)
        self.executor = self._built()
        for key, primitive in self._states():
            if self._saved[key]:
                primitive.load(self._saved[key])

    def state_rows(self, *names: str) -> int:
        """Return how many rows (or keys) the state holds, in all or in primitives of these names."""
        states = [(name, primitive) for (_, name), primitive in self._states()]
        return sum(len(primitive) for name, primitive in states if not names or name in names)

    def primitives(self) -> dict[str, int]:
        """Return the length of each primitive of the state, by ``vertex.name``."""
        return {f"{vertex}.{name}": len(p) for (vertex, name), p in self._states()}

    def _built(self) -> Executor:
        nodes: list[Node] = [SinkNode(input=s.node, spec=DrivenSink()) for s in self.streams]
        return Executor(lower(nodes))

    def _feed(self, epoch: Epoch) -> tuple[dict[int, Fed], dict[int, SourceState]]:
        fed: dict[int, Fed] = {}
        sources: dict[int, SourceState] = {}
        graph, partitions = self.executor.graph, self._partitions
        numbers = {v.source.name: v.number for v in graph.sources if v.source is not None}
        for key, frame in epoch.rows.items():
            name, partition = key if isinstance(key, tuple) else (key, 0)
            partitions.setdefault(name, set()).add(partition)
            if name in numbers:
                nothing = Fed([], None, [], ())
                fed.setdefault(numbers[name], nothing).frames.append((partition, frame))
        for name, number in numbers.items():
            known = tuple(sorted(partitions.get(name, {0})))
            sources[number] = SourceState(known, epoch.caught_up, name in self._ended)
        return fed, sources

    def _states(self) -> Iterator[tuple[tuple[str, str], Stateful]]:
        for vertex in self.executor.graph.vertices:
            if vertex.operator is not None:
                for name, primitive in vertex.operator.state.items():
                    yield (vertex.name, name), primitive


def drive(
    streams: Stream | Sequence[Stream],
    epochs: Iterable[Epoch],
    *,
    restart_after: set[int] | None = None,
) -> Iterator[list[pl.DataFrame | None]]:
    """Run epochs; yield after each the delta of every stream.

    After the epochs numbered in ``restart_after`` (from 0) the state is written out, a new graph is
    built and the state loaded into it, as a restart after a crash would do.
    """
    driven = Driven(streams)
    for number, epoch in enumerate(epochs):
        yield driven.step(epoch)
        if restart_after and number in restart_after:
            driven.restart()


def outputs(
    stream: Stream, epochs: Iterable[Epoch], **options: set[int]
) -> list[pl.DataFrame | None]:
    """Run epochs over one stream and return the delta of each."""
    return [deltas[0] for deltas in drive(stream, epochs, **options)]
