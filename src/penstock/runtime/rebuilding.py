"""Rebuilding views from history: what is computed afresh, from what, and for which sinks.

    rows -> sums -> top_k -> table           rebuild top_k: the changes it refers to are those of
         -> windows -> files                 sums, so both are computed afresh, from the first row
                                             to the checkpoint's position, and the table replaced

Everything else goes on as it was. The rebuilt state takes effect with one manifest: until that is
committed the old state is what a crash leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from penstock.checkpoints.changes import Comparison
from penstock.columns import WEIGHT
from penstock.connectors.contract import Position, is_replaceable
from penstock.errors import CheckpointError, ConfigError
from penstock.lowering.graph import Graph, Vertex
from penstock.operators.deltas import consolidate
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.runtime.feeds import Feed
from penstock.state.contract import Part

_FINDING = frozenset({"head", "line", "stop", "turn"})
"""What in a position helps a source to find a place or to go on from it, and is not the place."""


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """Vertices by number: whose state is rebuilt, whose contents are, and all needed for that."""

    states: frozenset[int]
    sinks: frozenset[int]
    needed: frozenset[int]


@dataclass(slots=True)
class Rebuilt:
    """``states``: vertex -> primitive -> full part; ``contents``: all rows of each sink."""

    states: dict[int, dict[str, Part]]
    contents: dict[int, pl.DataFrame]


Replayer = Callable[
    [
        RebuildPlan,
        Mapping[int, Position],
        Mapping[int, int],
        Mapping[int, Mapping[str, list[Part]]],
    ],
    Rebuilt | None,
]
"""Plan, positions, rows up to them, states of watermarks -> what was rebuilt; None if stopped."""


def plan_rebuild(graph: Graph, names: Mapping[int, str], targets: Collection[str]) -> RebuildPlan:
    """Return what has to be computed so that the steps and sinks named ``targets`` are as new.

    ``names`` are those of the vertices in the checkpoint.
    """
    keeping = [v for v in graph.vertices if v.sink is not None or _has_state(v)]
    numbers = {names[vertex.number]: vertex.number for vertex in keeping}
    for target in targets:
        if target not in numbers:
            raise ConfigError(
                f"no step or sink {target!r} that could be rebuilt",
                step="rebuild",
                value=target,
                alternatives=list(numbers),
                line="",
            )
    wanted = [graph.vertices[numbers[target]] for target in targets]
    views = {number for vertex in wanted for number in _views(graph, vertex)}
    states = frozenset(n for chain in _chains(graph) if chain & views for n in chain)
    states = frozenset(n for n in states if _has_state(graph.vertices[n]))
    given = frozenset(vertex.number for vertex in wanted if vertex.sink is not None)
    sinks = _sinks_below(graph, states) | given
    needed = frozenset[int]().union(*(graph.ancestors(n) for n in states | sinks))
    return RebuildPlan(states, sinks, needed)


def rebuilt_names(graph: Graph, plan: RebuildPlan, comparison: Comparison) -> frozenset[str]:
    """Return the names in the checkpoint of the steps whose state is rebuilt, so cannot be lost."""
    new = {graph.vertices[number].name for number in plan.states}
    found = (comparison.pairs.get(name) for name in new)
    return frozenset(name for name in found if name is not None)


def _has_state(vertex: Vertex) -> bool:
    return vertex.operator is not None and bool(vertex.operator.state)


def _views(graph: Graph, vertex: Vertex) -> tuple[int, ...]:
    """Return the step itself; of a sink what gives it changes, which must then agree with it."""
    if vertex.sink is None:
        return (vertex.number,)
    return tuple(n for n in vertex.inputs if graph.vertices[n].changelog)


def _chains(graph: Graph) -> list[frozenset[int]]:
    """Return the steps in groups that changes connect: each refers to what another has emitted."""
    group = list(range(len(graph.vertices)))

    def root(number: int) -> int:
        while group[number] != number:
            number = group[number]
        return number

    for vertex in graph.vertices:
        for above in vertex.inputs:
            if graph.vertices[above].changelog and vertex.sink is None:
                group[root(vertex.number)] = root(above)
    members: dict[int, set[int]] = {}
    for number in range(len(group)):
        members.setdefault(root(number), set()).add(number)
    return [frozenset(chain) for chain in members.values()]


def _sinks_below(graph: Graph, states: frozenset[int]) -> frozenset[int]:
    """Return the sinks that rows of these steps reach without passing another state."""
    reached = set(states)
    for vertex in graph.vertices:
        if reached.intersection(vertex.inputs) and not _has_state(vertex):
            reached.add(vertex.number)
    return frozenset(n for n in reached if graph.vertices[n].sink is not None)


def refuse_rebuild(
    graph: Graph, names: Mapping[int, str], plan: RebuildPlan, old_sinks: Collection[str]
) -> None:
    """Raise a ``CheckpointError`` if a source cannot be read again or a sink not be corrected."""
    for number in sorted(plan.needed):
        source = graph.vertices[number].source
        if source is not None and not source.replayable:
            raise CheckpointError(
                f"{source.name} cannot be read again, so nothing can be rebuilt from it",
                step="rebuild",
                value=source.name,
                hint="let it begin with what comes now: penstock state reset",
                line="",
            )
    for number in sorted(plan.sinks):
        sink = graph.vertices[number].sink
        assert sink is not None
        if names[number] in old_sinks and not is_replaceable(sink):
            raise CheckpointError(
                f"{sink.name} cannot take back what was written to it",
                step="rebuild",
                value=sink.name,
                hint="write to a new target, or take this sink out of the run that rebuilds",
                line="",
            )


class Replay:
    """Runs the steps of a plan over the history of their sources, once."""

    def __init__(self, graph: Graph, plan: RebuildPlan, now: int) -> None:
        self._graph = graph
        self._plan = plan
        self._now = now
        self._executor = Executor(graph, only=plan.needed)
        self._epoch = 0
        self._read: dict[int, tuple[int, ...]] = {}
        self._contents: dict[int, list[pl.DataFrame]] = {number: [] for number in plan.sinks}

    def run(
        self,
        feeds: Mapping[int, Feed],
        positions: Mapping[int, Position],
        rows: Mapping[int, int],
        max_rows: int,
        should_stop: Callable[[], bool],
    ) -> bool:
        """Feed every source up to its position, in turns; False if it was to stop before that."""
        uncounted = next((n for n in self._needed(positions) if n not in rows), None)
        if uncounted is not None:
            raise self._uncounted(uncounted)
        replays = {
            n: feeds[n].replay(positions[n], rows[n], max_rows) for n in self._needed(positions)
        }
        last: dict[int, Fed] = {}
        seen = dict.fromkeys(replays, 0)
        while replays:
            if should_stop():
                return False
            taken = dict(self._turn(replays))
            for number, fed in taken.items():
                seen[number] += fed.rows
                last[number] = fed
                self._read[number] = fed.partitions
            if taken:
                self._step(taken)
        for number, count in seen.items():
            reached = last[number].position if number in last else positions[number]
            if count != rows[number] or not _same_place(reached, positions[number]):
                raise self._incomplete(number, count, rows[number])
        return True

    def _needed(self, positions: Mapping[int, Position]) -> list[int]:
        return [
            v.number for v in self._graph.sources if v.number in self._plan.needed & set(positions)
        ]

    def _turn(self, replays: dict[int, Iterator[Fed]]) -> Iterator[tuple[int, Fed]]:
        for number, replay in list(replays.items()):
            fed = next(replay, None)
            if fed is None:
                del replays[number]
            else:
                yield number, fed

    def _uncounted(self, number: int) -> CheckpointError:
        source = self._graph.vertices[number].source
        return CheckpointError(
            "the checkpoint does not say how many rows its sources have handed over",
            step="rebuild",
            value=source.name if source is not None else None,
            hint="it is of an earlier version; start over with a new checkpoint and new sinks",
            line="",
        )

    def _incomplete(self, number: int, count: int, wanted: int) -> CheckpointError:
        source = self._graph.vertices[number].source
        name = source.name if source is not None else ""
        found = f"only {count:,} of them are" if count < wanted else "others are"
        return CheckpointError(
            f"{name} has handed over {wanted:,} rows so far, and {found} there to be read again",
            step="rebuild",
            value=name,
            hint="a view can be rebuilt only while its sources still have their whole history; "
            "penstock state reset lets it begin with what comes now",
            line="",
        )

    def _step(self, fed: Mapping[int, Fed]) -> None:
        self._epoch += 1
        sources = {
            v.number: SourceState(self._read.get(v.number, (0,))) for v in self._graph.sources
        }
        output = self._executor.run(self._epoch, fed, sources, self._now)
        for number, frame in output.sinks.items():
            self._contents[number].append(frame)

    def finish(self, kept: Mapping[int, Mapping[str, list[Part]]]) -> Rebuilt:
        """Bring time to where it stood, as ``kept`` states of watermarks say; return the result."""
        for number, primitives in kept.items():
            operator = self._graph.vertices[number].operator
            assert operator is not None
            for name, parts in primitives.items():
                operator.state[name].load(parts)
        self._executor.restep()
        self._step({})
        states = {}
        for number in self._plan.states:
            operator = self._graph.vertices[number].operator
            assert operator is not None
            states[number] = {name: state.full() for name, state in operator.state.items()}
        return Rebuilt(states, {n: self._whole(n, f) for n, f in self._contents.items()})

    def _whole(self, number: int, frames: list[pl.DataFrame]) -> pl.DataFrame:
        """Return what a sink holds after all that it was given."""
        schema = self._graph.vertices[number].schema
        found = pl.concat(frames) if frames else pl.DataFrame(schema=schema)
        return consolidate(found) if WEIGHT in found.columns else found


def _same_place(one: Position, other: Position) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = (one.keys() | other.keys()) - _FINDING
        return all(one.get(key) == other.get(key) for key in keys)
    return one == other
