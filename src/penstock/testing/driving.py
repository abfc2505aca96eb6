"""Drive a plan epoch by epoch, without threads, clocks or connectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.contract import (
    Accepts,
    Guarantee,
    Sink,
    SinkIdentity,
)
from penstock.lowering.table import lower
from penstock.operators.deltas import consolidate, weighted
from penstock.plan.node import Node
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.state.contract import Part, Stateful
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
    many = [streams] if isinstance(streams, Stream) else list(streams)
    executor = _executor(many)
    saved: dict[tuple[str, str], list[Part]] = {}
    ended: set[str] = set()
    partitions: dict[str, set[int]] = {}
    for number, epoch in enumerate(epochs):
        ended |= epoch.ended
        fed, sources = _feed(executor, epoch, ended, partitions)
        output = executor.run(number + 1, fed, sources, epoch.now)
        yield [output.sinks.get(v.number) for v in executor.graph.sinks]
        if restart_after and number in restart_after:
            _save(executor, saved)
            executor = _executor(many)
            _load(executor, saved)


def outputs(
    stream: Stream, epochs: Iterable[Epoch], **options: set[int]
) -> list[pl.DataFrame | None]:
    """Run epochs over one stream and return the delta of each."""
    return [deltas[0] for deltas in drive(stream, epochs, **options)]


def integrate(stream: Stream, deltas: Iterable[pl.DataFrame | None]) -> pl.DataFrame:
    """Add deltas up; asserts that no row is deleted that is not there. Weights stay as a column."""
    total = weighted(pl.DataFrame(schema=stream.schema), 1)
    for delta in deltas:
        if delta is None:
            continue
        with_weight = delta if WEIGHT in delta.columns else weighted(delta, 1)
        negative = with_weight.filter(pl.col(WEIGHT) < 0)
        total = consolidate(pl.concat([total, negative]))
        lowest = total[WEIGHT].min()
        assert lowest is None or int(str(lowest)) > 0, f"deleted but not there: {negative}"
        total = consolidate(pl.concat([total, with_weight.filter(pl.col(WEIGHT) > 0)]))
    return total


def _executor(streams: Sequence[Stream]) -> Executor:
    nodes: list[Node] = [SinkNode(input=stream.node, spec=DrivenSink()) for stream in streams]
    return Executor(lower(nodes))


def _feed(
    executor: Executor, epoch: Epoch, ended: set[str], partitions: dict[str, set[int]]
) -> tuple[dict[int, Fed], dict[int, SourceState]]:
    fed: dict[int, Fed] = {}
    sources: dict[int, SourceState] = {}
    numbers = {v.source.name: v.number for v in executor.graph.sources if v.source is not None}
    for key, frame in epoch.rows.items():
        name, partition = key if isinstance(key, tuple) else (key, 0)
        partitions.setdefault(name, set()).add(partition)
        if name in numbers:
            fed.setdefault(numbers[name], Fed([], None, [], ())).frames.append((partition, frame))
    for name, number in numbers.items():
        known = tuple(sorted(partitions.get(name, {0})))
        sources[number] = SourceState(known, epoch.caught_up, name in ended)
    return fed, sources


def _states(executor: Executor) -> Iterator[tuple[tuple[str, str], Stateful]]:
    for vertex in executor.graph.vertices:
        if vertex.operator is not None:
            for name, primitive in vertex.operator.state.items():
                yield (vertex.name, name), primitive


def _save(executor: Executor, saved: dict[tuple[str, str], list[Part]]) -> None:
    for key, primitive in _states(executor):
        saved.setdefault(key, []).append(primitive.delta())


def _load(executor: Executor, saved: dict[tuple[str, str], list[Part]]) -> None:
    for key, primitive in _states(executor):
        primitive.load([part for part in saved[key] if part])
