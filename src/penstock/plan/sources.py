"""Where rows enter a plan: sources, their watermark, unions and side streams."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA, WEIGHT
from penstock.connectors.contract import SourceSpec, is_changelog, unique_keys
from penstock.errors import PlanError
from penstock.instants import duration_text, is_event_time
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties, TimeBound, joint_bound


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan(Node):
    """Rows of a source. ``epoch_rows`` fixes how many rows make an epoch."""

    spec: SourceSpec
    epoch_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """None: it is a leaf."""
        return ()

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Take the schema of the source."""
        changelog = is_changelog(self.spec)
        schema = {n: t for n, t in self.spec.schema.items() if not (changelog and n == WEIGHT)}
        return pl.Schema(schema), Properties(
            changelog=changelog,
            keys=unique_keys(self.spec),
            bounded=self.spec.bounded,
            partitioned=self.spec.partitioned,
        )

    def describe(self) -> str:
        """Name the source."""
        return f"Scan {self.spec.name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Watermark(Node):
    """Declares the event-time column and divides late rows from the others. All in nanoseconds."""

    input: Node
    column: str
    lateness_ns: int
    idle_timeout_ns: int | None
    max_ahead_ns: int | None
    allowed_lateness_ns: int | None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the column."""
        schema, before = self.input.schema, self.input.properties
        require_columns("with_watermark", schema, [self.column])
        if not is_event_time(schema[self.column]):
            timely = [c for c, t in schema.items() if is_event_time(t)]
            raise PlanError(
                f"column {self.column!r} is {schema[self.column]}, not a Datetime or Date",
                step="with_watermark",
                alternatives=timely,
            )
        if before.changelog:
            raise PlanError(
                "a watermark needs append-only rows, these are changes",
                step="with_watermark",
                hint="declare it before the first aggregation or join",
            )
        bound = TimeBound(refine_ns=self.allowed_lateness_ns or 0)
        times = {self.column: bound}
        return schema, replace(before, times=times, event_time=self.column, partitioned=False)

    def describe(self) -> str:
        """Show the column and the lateness."""
        return f"Watermark {self.column} - {duration_text(self.lateness_ns)}"


class Channel(enum.Enum):
    """A side output of a step."""

    LATE = "late"
    DEAD_LETTERS = "dead_letters"


@dataclass(frozen=True, eq=False, kw_only=True)
class Side(Node):
    """The late rows of a watermark step, or the dead letters of everything up to a step."""

    origin: Node
    channel: Channel

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The step whose side output it is."""
        return (self.origin,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Late rows have the schema of the step, dead letters one of their own."""
        bounded = self.origin.properties.bounded
        if self.channel is Channel.DEAD_LETTERS:
            return DEAD_LETTER_SCHEMA, Properties(bounded=bounded)
        if not isinstance(self.origin, Watermark):
            raise PlanError("only a watermark step has late rows", step="late")
        return self.origin.schema, Properties(bounded=bounded)

    def describe(self) -> str:
        """Name the side output."""
        return "Late rows" if self.channel is Channel.LATE else "Dead letters"


@dataclass(frozen=True, eq=False, kw_only=True)
class Union(Node):
    """All rows of all inputs."""

    parts: tuple[Node, ...]

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The parts, in order."""
        return self.parts

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the schemas are the same."""
        first = self.parts[0]
        for number, part in enumerate(self.parts[1:], 2):
            if part.schema != first.schema:
                raise PlanError(
                    f"input {number} has {dict(part.schema)}, input 1 has {dict(first.schema)}",
                    step="concat",
                    hint="select and cast both to the same columns",
                )
        shared = [p.properties for p in self.parts]
        times = {}
        for column in shared[0].times:
            bound: TimeBound | None = shared[0].times[column]
            for other in (p.times.get(column) for p in shared[1:]):
                bound = joint_bound(bound, other) if bound and other else None
            if bound is not None:
                times[column] = bound
        event_times = {p.event_time for p in shared}
        return first.schema, Properties(
            changelog=any(p.changelog for p in shared),
            times=times,
            event_time=event_times.pop() if len(event_times) == 1 else None,
            bounded=all(p.bounded for p in shared),
            partitioned=any(p.partitioned or not p.times for p in shared),
        )
