"""The graph of operators that the runtime moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.contract import SinkSpec, SourceSpec
from penstock.instants import Passing
from penstock.operators.contract import Operator
from penstock.plan.sources import Channel


@dataclass(frozen=True, slots=True)
class Edge:
    """What comes in by one input of an operator.

    ``schema``: the user's columns. ``bounds``: when the values of a column are behind the watermark.
    ``partition``: the number that rows made up for it carry, where rows carry one.
    """

    schema: pl.Schema
    changelog: bool
    bounds: tuple[Passing, ...]
    partition: int | None = None


@dataclass(slots=True)
class Vertex:
    """A source, an operator, a side output or a sink; exactly one of the four.

    ``number`` is its place in ``Graph.vertices``; inputs have lower numbers. ``name`` keys its state
    in a checkpoint: the user's (``named``), else one that is stable for an unchanged plan, and that
    a checkpoint of a changed one corrects; ``identity`` is equal while the
    step and all its options, expressions and functions included, are the same. ``schema``, of a
    sink only, as ``guarantee``: the columns of its frames, of a changelog with the weight.
    ``reads``: of the first operator of a step, and of a sink of append-only rows, what comes in.
    """

    number: int
    name: str
    kind: str
    text: str
    identity: str
    inputs: tuple[int, ...]
    line: str | None = None
    named: bool = False
    changelog: bool = False
    source: SourceSpec | None = None
    epoch_rows: int | None = None
    partition_base: int = 0
    carries_partition: bool = False
    operator: Operator | None = None
    side: Channel | None = None
    sink: SinkSpec | None = None
    schema: pl.Schema | None = None
    key: tuple[str, ...] = ()
    guarantee: str | None = None
    reads: tuple[Edge, ...] = ()


@dataclass(slots=True)
class Graph:
    """Vertices in topological order, inputs before their readers."""

    vertices: list[Vertex] = field(default_factory=list)

    def ancestors(self, number: int) -> frozenset[int]:
        """Return a vertex and everything above it."""
        found: set[int] = set()
        stack = [number]
        while stack:
            current = stack.pop()
            if current not in found:
                found.add(current)
                stack.extend(self.vertices[current].inputs)
        return frozenset(found)

    def feeds_state(self, number: int) -> bool:
        """Tell whether rows that a vertex is given reach anything that holds state."""
        below = {number}
        for vertex in self.vertices[number:]:
            if vertex.number == number or below.intersection(vertex.inputs):
                below.add(vertex.number)
                if vertex.operator is not None and vertex.operator.state:
                    return True
        return False

    @property
    def sources(self) -> list[Vertex]:
        """The vertices that bring rows."""
        return [vertex for vertex in self.vertices if vertex.source is not None]

    @property
    def sinks(self) -> list[Vertex]:
        """The vertices that take rows out."""
        return [vertex for vertex in self.vertices if vertex.sink is not None]
