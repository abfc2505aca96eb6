"""The executor: one epoch through the whole graph, in topological order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from penstock.columns import PARTITION
from penstock.connectors.contract import Position
from penstock.errors import PenstockError
from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.lowering.graph import Graph, Vertex
from penstock.operators.contract import Operator, Sides, Tick
from penstock.operators.refusing import refuse_each
from penstock.plan.sources import Channel
from penstock.runtime.letters import shown, stamped


@dataclass(slots=True)
class Fed:
    """What a source hands over for one epoch, which ``arrived`` then: frames by partition, in order.

    ``partitions`` are those that may bring rows after these; they travel with the rows because a
    partition that has ended must hold the watermark until its last rows were processed.
    """

    frames: list[tuple[int, pl.DataFrame]]
    position: Position
    dead: list[pl.DataFrame]
    partitions: tuple[int, ...] = (0,)
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def rows(self) -> int:
        """Rows good and dead."""
        return sum(f.height for _, f in self.frames) + sum(f.height for f in self.dead)


@dataclass(frozen=True, slots=True)
class Injected:
    """Rows of dead letters for one input of an operator, or for a sink.

    ``late``: when values of columns are behind the watermark. Such a row would change what is
    complete, and is refused.
    """

    side: int
    rows: pl.DataFrame
    late: tuple[Passing, ...] = ()


@dataclass(slots=True)
class SourceState:
    """What the runtime knows of a source at the start of an epoch."""

    partitions: tuple[int, ...] = (0,)
    caught_up: bool = False
    ended: bool = False
    held: bool = False


@dataclass(slots=True)
class VertexStats:
    """Running totals of one vertex."""

    rows_in: int = 0
    rows_out: int = 0
    late: int = 0
    dead: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0
    epochs: int = 0


@dataclass(slots=True)
class EpochOutput:
    """What an epoch hands to the sinks, by vertex number, all its dead letters, and every delta."""

    sinks: dict[int, pl.DataFrame] = field(default_factory=dict)
    dead: list[pl.DataFrame] = field(default_factory=list)
    deltas: list[pl.DataFrame | None] = field(default_factory=list)

    def rows_of(self, number: int) -> pl.DataFrame | None:
        """Return what a step handed on, or a sink was given."""
        return self.sinks.get(number, self.deltas[number])


class Executor:
    """Moves deltas through the graph, or some of its vertices.

    Single-threaded; holds no clock: time is an argument.
    """

    def __init__(self, graph: Graph, only: frozenset[int] | None = None) -> None:
        self.graph = graph
        self._vertices = [v for v in graph.vertices if only is None or v.number in only]
        self.stats = [VertexStats() for _ in graph.vertices]
        self.watermarks = [MIN_INSTANT] * len(graph.vertices)
        self._ancestors = {
            v.number: graph.ancestors(v.number)
            for v in graph.vertices
            if v.kind == "watermark" or v.side is not None
        }
        self._seen: list[object] = [None] * len(graph.vertices)

    @property
    def rows_in(self) -> int:
        """Rows that the sources have brought."""
        return sum(self.stats[vertex.number].rows_out for vertex in self.graph.sources)

    def deadline(self) -> int | None:
        """Return the earliest processing-time instant at which an operator wants a step."""
        wanted = [v.operator.deadline() for v in self.graph.vertices if v.operator is not None]
        return min((w for w in wanted if w is not None), default=None)

    def wants_step(self) -> bool:
        """Tell whether an operator must be stepped even without input."""
        return any(v.operator.wants_idle_steps for v in self.graph.vertices if v.operator)

    def restep(self) -> None:
        """Have every operator stepped in the next epoch, whether anything comes or not."""
        self._seen = [None] * len(self.graph.vertices)

    def run(
        self,
        epoch: int,
        fed: Mapping[int, Fed],
        sources: Mapping[int, SourceState],
        now: int,
        injected: Mapping[int, Injected] | None = None,
    ) -> EpochOutput:
        """Run one epoch and return what reaches the sinks."""
        output = EpochOutput()
        deltas: list[pl.DataFrame | None] = [None] * len(self.graph.vertices)
        dead: dict[int, list[pl.DataFrame]] = {}
        late: dict[int, list[pl.DataFrame]] = {}
        for vertex in self._vertices:
            number = vertex.number
            sides = Sides()
            if vertex.source is not None:
                deltas[number] = self._source(vertex, fed.get(number), sides)
                self.watermarks[number] = MAX_INSTANT if sources[number].ended else MIN_INSTANT
            elif vertex.operator is not None:
                tick = self._tick(vertex, epoch, sources, now, sides)
                inputs = [deltas[i] for i in vertex.inputs]
                if injected and number in injected:
                    _inject(vertex, injected[number], inputs, tick)
                deltas[number] = self._operate(vertex, vertex.operator, inputs, tick)
            elif vertex.side is not None:
                deltas[number] = self._side(vertex, late, dead)
                self.watermarks[number] = self.watermarks[vertex.inputs[0]]
            else:
                inputs = [deltas[vertex.inputs[0]]]
                if injected and number in injected:
                    tick = self._tick(vertex, epoch, sources, now, sides)
                    _inject(vertex, injected[number], inputs, tick)
                self._sink(vertex, inputs[0], output)
            if sides.late:
                late[number] = sides.late
                self.stats[number].late += sum(f.height for f in sides.late)
            if sides.dead:
                letters = [stamped(frame, vertex.name, now) for frame in sides.dead]
                output.dead.extend(letters)
                dead[number] = [shown(frame) for frame in letters]
                self.stats[number].dead += sum(f.height for f in dead[number])
        output.deltas = deltas
        return output

    def _source(self, vertex: Vertex, fed: Fed | None, sides: Sides) -> pl.DataFrame | None:
        if fed is None:
            return None
        sides.dead.extend(frame for frame in fed.dead if frame.height)
        frames = []
        for partition, frame in fed.frames:
            if not frame.height:
                continue
            if vertex.carries_partition:
                number = pl.lit(vertex.partition_base + partition, pl.UInt32)
                frame = frame.with_columns(number.alias(PARTITION))
            frames.append(frame)
        if not frames:
            return None
        result = frames[0] if len(frames) == 1 else pl.concat(frames)
        self.stats[vertex.number].rows_out += result.height
        return result

    def _tick(
        self,
        vertex: Vertex,
        epoch: int,
        sources: Mapping[int, SourceState],
        now: int,
        sides: Sides,
    ) -> Tick:
        watermarks = tuple(self.watermarks[i] for i in vertex.inputs)
        tick = Tick(epoch=epoch, now=now, watermarks=watermarks, sides=sides)
        above = self._ancestors.get(vertex.number)
        if above is not None:
            live = {n: s for n, s in sources.items() if n in above and not s.ended}
            tick.caught_up = all(s.caught_up for s in live.values())
            tick.partitions = self._partitions(live)
            tick.held = self._partitions({n: s for n, s in live.items() if s.held})
        return tick

    def _partitions(self, sources: Mapping[int, SourceState]) -> frozenset[int]:
        return frozenset(
            self.graph.vertices[number].partition_base + partition
            for number, state in sources.items()
            for partition in state.partitions
        )

    def _operate(
        self, vertex: Vertex, operator: Operator, inputs: list[pl.DataFrame | None], tick: Tick
    ) -> pl.DataFrame | None:
        number, stats = vertex.number, self.stats[vertex.number]
        rows = sum(d.height for d in inputs if d is not None)
        deadline = operator.deadline()
        due = deadline is not None and tick.now >= deadline
        moved = (tick.watermarks, tick.partitions) != self._seen[number]
        if not (rows or moved or due or operator.wants_idle_steps):
            return None
        started = time.perf_counter()
        try:
            result = operator.step(inputs, tick)
        except PenstockError as error:
            error.line = error.line or vertex.line
            raise
        except Exception as error:
            error.add_note(f"  in {vertex.text}")
            error.add_note(f"  at {vertex.line}")
            raise
        self._seen[number] = (tick.watermarks, tick.partitions)
        self.watermarks[number] = max(operator.watermark(tick), self.watermarks[number])
        stats.last_seconds = time.perf_counter() - started
        stats.seconds += stats.last_seconds
        stats.rows_in += rows
        stats.epochs += 1
        stats.rows_out += 0 if result is None else result.height
        return result

    def _side(
        self,
        vertex: Vertex,
        late: Mapping[int, list[pl.DataFrame]],
        dead: Mapping[int, list[pl.DataFrame]],
    ) -> pl.DataFrame | None:
        if vertex.side is Channel.LATE:
            frames = late.get(vertex.inputs[0], [])
        else:
            above = self._ancestors[vertex.number]
            frames = [frame for number in sorted(dead) if number in above for frame in dead[number]]
        result = pl.concat(frames) if frames else None
        self.stats[vertex.number].rows_out += 0 if result is None else result.height
        return result

    def _sink(self, vertex: Vertex, delta: pl.DataFrame | None, output: EpochOutput) -> None:
        if delta is not None and delta.height:
            output.sinks[vertex.number] = delta
            self.stats[vertex.number].rows_in += delta.height


def _inject(vertex: Vertex, given: Injected, inputs: list[pl.DataFrame | None], tick: Tick) -> None:
    """Put rows of dead letters among the inputs of an operator; those that are too late are refused."""
    rows, name = given.rows, vertex.kind
    if vertex.operator is not None and vertex.operator.step_name:
        name = vertex.operator.step_name
    for bound in given.late:
        late = (bound.values(rows) <= bound.limit(tick.watermark)).fill_null(value=False)
        if late.any():
            times = rows.filter(late)[bound.column].cast(pl.String)
            reasons = [
                f"too late to be replayed: the watermark has passed {bound.column}={time}"
                for time in times
            ]
            refuse_each(rows.filter(late), name, reasons, tick, side=given.side)
            rows = rows.filter(~late)
    if rows.height:
        before = inputs[given.side]
        inputs[given.side] = rows if before is None else pl.concat([before, rows])
