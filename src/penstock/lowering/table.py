"""Plan to operators: one explicit table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.instants import unit_ns
from penstock.lowering.aggregates import (
    MAX_GROUP_ROWS,
    expiry_for,
    lower_aggregate,
    lower_final,
)
from penstock.lowering.carried import carried
from penstock.lowering.direct import direct
from penstock.lowering.functions import lower_batches, lower_remember, lower_rows
from penstock.lowering.graph import Edge, Graph, Vertex
from penstock.lowering.guards import guarded
from penstock.lowering.joins import (
    lower_asof_join,
    lower_interval_join,
    lower_join,
    lower_lookup_join,
)
from penstock.lowering.ordering import (
    lower_limit,
    lower_running,
    lower_sort,
    lower_top_k,
    lower_unique,
)
from penstock.lowering.process import lower_process
from penstock.lowering.suspects import StepSuspects
from penstock.operators.arrivals import Arrivals
from penstock.operators.contract import Operator
from penstock.operators.gap_fill import GapFill as GapOperator
from penstock.operators.gap_fill import GapRule
from penstock.operators.guarded import Guarded
from penstock.operators.map import Map
from penstock.operators.recompute import SLOT, Recompute, RecomputeInput
from penstock.operators.temporal_filter import TemporalFilter as TemporalOperator
from penstock.operators.temporal_filter import TemporalRule
from penstock.operators.union import UnionAll
from penstock.operators.watermark import WatermarkOperator, WatermarkRule
from penstock.plan.arrivals import ArrivalTime
from penstock.plan.asof_joins import AsofJoin
from penstock.plan.distinct import Unique
from penstock.plan.equal_groups import one_of_equal_groups
from penstock.plan.functions import Function, MapBatches, MapRows, Remember
from penstock.plan.gap_filling import Filling, GapFill
from penstock.plan.grouping import Aggregate, Final, Over, Verb
from penstock.plan.guarantees import end_to_end
from penstock.plan.identity import identity
from penstock.plan.interval_joins import IntervalJoin
from penstock.plan.joins import Join
from penstock.plan.lookup_joins import LookupJoin
from penstock.plan.naming import used_twice
from penstock.plan.node import Node, walk
from penstock.plan.over_chains import OverChain, chained
from penstock.plan.process import Process
from penstock.plan.ranking import Limit, Sort, TopK
from penstock.plan.rows import RowStep
from penstock.plan.running import Running
from penstock.plan.sharing import shared
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan, Side, Union, Watermark
from penstock.plan.temporal_filters import TemporalFilter

Lowering = Callable[..., list[Operator]]


def _watermark(node: Watermark) -> list[Operator]:
    rule = WatermarkRule(
        column=node.column,
        dtype=node.schema[node.column],
        lateness_ns=node.lateness_ns,
        idle_timeout_ns=node.idle_timeout_ns,
        max_ahead_ns=node.max_ahead_ns,
        allowed_lateness_ns=node.allowed_lateness_ns,
    )
    return [WatermarkOperator(rule)]


def _union(node: Union) -> list[Operator]:
    return [UnionAll(list(node.schema), changelog=[p.properties.changelog for p in node.parts])]


def _over(node: Over) -> list[Operator]:
    exprs, verb = node.exprs, node.verb

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        if verb is Verb.SELECT and not node.keys:  # any number of rows, also one for all
            return rows.select(*exprs).with_columns(pl.lit(0, pl.Int64).alias(SLOT))
        if verb is Verb.SELECT:
            return rows.select(*exprs, SLOT)
        return rows.filter(*exprs) if verb is Verb.FILTER else rows.with_columns(*exprs)

    schema, before = node.input.schema, node.input.properties
    return [
        Recompute(
            [RecomputeInput(schema, tuple(pl.col(k) for k in node.keys), before.changelog)],
            evaluate,
            output=node.schema,
            step=verb.value,
            max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
            expiry=expiry_for(before, schema, {k: k for k in node.keys}, node.ttl_ns),
        )
    ]


def _over_chain(node: OverChain) -> list[Operator]:
    stages = node.stages
    orders = [[n for n, t in step.schema.items() if not t.is_nested()] for step in node.steps]

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.with_columns(*stages[0])
        for exprs, order in zip(stages[1:], orders, strict=False):
            # What a step of its own would see: a bag, sorted by all columns.
            rows = rows.sort(SLOT, *order, maintain_order=True).with_columns(*exprs)
        return rows

    schema, before = node.input.schema, node.input.properties
    return [
        Recompute(
            [RecomputeInput(schema, tuple(pl.col(k) for k in node.keys), before.changelog)],
            evaluate,
            output=node.schema,
            step=Verb.WITH_COLUMNS.value,
            max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
            expiry=expiry_for(before, schema, {k: k for k in node.keys}, node.ttl_ns),
        )
    ]


def _arrivals(node: ArrivalTime) -> list[Operator]:
    return [Arrivals(list(node.input.schema), node.column)]


def _temporal_filter(node: TemporalFilter) -> list[Operator]:
    before = node.input.properties
    return [TemporalOperator(TemporalRule(node.schema, node.since, node.until, before.changelog))]


def _gap_fill(node: GapFill) -> list[Operator]:
    width = node.width_ns // unit_ns(node.schema[node.time])
    last, linear = (
        tuple(column for column, how in node.fills if how is wanted)
        for wanted in (Filling.LAST, Filling.LINEAR)
    )
    return [GapOperator(GapRule(node.schema, node.time, node.keys, width, last, linear))]


TABLE: Mapping[type[Node], Lowering] = {
    Aggregate: lower_aggregate,
    ArrivalTime: _arrivals,
    AsofJoin: lower_asof_join,
    Final: lower_final,
    GapFill: _gap_fill,
    Limit: lower_limit,
    MapBatches: lower_batches,
    MapRows: lower_rows,
    IntervalJoin: lower_interval_join,
    Join: lower_join,
    LookupJoin: lower_lookup_join,
    Over: _over,
    OverChain: _over_chain,
    Process: lower_process,
    Remember: lower_remember,
    Running: lower_running,
    Sort: lower_sort,
    TemporalFilter: _temporal_filter,
    TopK: lower_top_k,
    Union: _union,
    Unique: lower_unique,
    Watermark: _watermark,
}
"""How each kind of node becomes operators; a node of several is a chain, first to last.

Not here: row steps (fused into ``Map``), and scans, side outputs and sinks (vertices themselves).
"""

LEAVES = (Scan, Side, SinkNode)


class _Builder:
    """Walks a plan once and adds vertices."""

    def __init__(self, roots: Sequence[Node]) -> None:
        self.graph = Graph()
        self._numbers: dict[int, int] = {}
        self._readers: Counter[int] = Counter()
        self._names: Counter[str] = Counter()
        self._nodes = list(walk(*roots))
        for node in self._nodes:
            self._readers.update(id(child) for child in node.inputs)
        self._divided = self._partition_readers()
        self._labels = self._labelled()
        self._has_union = any(isinstance(node, Union) for node in self._nodes)

    def build(self) -> Graph:
        for node in self._nodes:
            if isinstance(node, RowStep) and self._fused_away(node):
                continue
            self._numbers[id(node)] = self._lower(node)
        return self.graph

    def _partition_readers(self) -> set[int]:
        """Nodes whose rows must carry their partition, because a watermark below divides by it."""
        needed: set[int] = set()
        for node in reversed(self._nodes):
            for child in node.inputs:
                passes = isinstance(node, (RowStep, Union, Function)) and id(node) in needed
                if isinstance(node, Watermark) or passes:
                    needed.add(id(child))
        return needed

    def _fused_away(self, node: RowStep) -> bool:
        """A row step with one reader that is a row step too runs inside that reader's query."""
        if self._readers[id(node)] != 1:
            return False
        reader = next(n for n in self._nodes if any(c is node for c in n.inputs))
        return isinstance(reader, RowStep)

    def _lower(self, node: Node) -> int:
        if isinstance(node, Scan):
            return self._scan(node)
        if isinstance(node, RowStep):
            return self._map(node)
        inputs = tuple(self._numbers[id(child)] for child in node.inputs)
        if isinstance(node, Side):
            return self._add(node, inputs, kind=node.channel.value, side=node.channel)
        if isinstance(node, SinkNode):
            spec, schema = node.spec, frame_schema(node)
            reads = () if node.properties.changelog else self._reads(node.inputs)
            return self._add(
                node,
                inputs,
                kind="sink",
                sink=spec,
                key=spec.key,
                schema=schema,
                reads=reads,
                guarantee=str(end_to_end(node)),
            )
        chain = guarded(node, TABLE[type(node)](node))
        keeper = next((operator for operator in chain if operator.state), chain[-1])
        for operator in chain:
            kind = _kind(operator)
            part = "" if operator is keeper else f".{kind}"
            reads = self._reads(node.inputs) if operator is chain[0] else ()
            inputs = (
                self._add(node, inputs, kind=kind, part=part, operator=operator, reads=reads),
            )
        return inputs[0]

    def _scan(self, node: Scan) -> int:
        number = len(self.graph.sources)
        divided = id(node) in self._divided
        return self._add(
            node,
            (),
            kind="source",
            source=node.spec,
            epoch_rows=node.epoch_rows,
            partition_base=number << 16,
            carries_partition=divided and (node.spec.partitioned or self._has_union),
        )

    def _map(self, node: RowStep) -> int:
        steps, current = [node], node.input
        while isinstance(current, RowStep) and self._readers[id(current)] == 1:
            steps.append(current)
            current = current.input
        steps.reverse()
        text, simple = " -> ".join(_verb(step) for step in steps), direct(steps)
        suspects = StepSuspects(steps)
        operator = Map(carried(steps) if simple is None else steps, text, simple, suspects)
        above, reads = (self._numbers[id(current)],), self._reads((current,))
        number = self._add(node, above, kind="map", operator=operator, reads=reads)
        vertex = self.graph.vertices[number]
        vertex.text = " -> ".join(step.describe() for step in steps)
        vertex.identity = " ".join(map(identity, steps))
        return number

    def _reads(self, nodes: Sequence[Node]) -> tuple[Edge, ...]:
        """Describe the edges from nodes that are lowered already."""
        found = []
        for node in nodes:
            partition = None
            if id(node) in self._divided:
                above = self.graph.ancestors(self._numbers[id(node)])
                carrying = [v for v in self.graph.sources if v.carries_partition]
                partition = next((v.partition_base for v in carrying if v.number in above), None)
            properties, schema = node.properties, node.schema
            bounds = (bound.over(name, schema[name]) for name, bound in properties.times.items())
            found.append(Edge(schema, properties.changelog, tuple(bounds), partition))
        return tuple(found)

    def _name(self, node: Node, kind: str, part: str) -> str:
        """Return the user's name, with ``part`` for what stands beside the operator it is for."""
        if node.label is not None:
            return node.label + part
        while True:
            self._names[kind] += 1
            name = f"{kind}-{self._names[kind]}"
            if name not in self._labels:
                return name

    def _labelled(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for node in self._nodes:
            if node.label is not None and found.setdefault(node.label, node) is not node:
                raise used_twice(node.label, found[node.label], node)
        return found

    def _add(
        self, node: Node, inputs: tuple[int, ...], *, kind: str, part: str = "", **extra: object
    ) -> int:
        vertex = Vertex(
            number=len(self.graph.vertices),
            name=self._name(node, kind, part),
            kind=kind,
            text=node.describe(),
            identity=identity(node),
            inputs=inputs,
            line=node.line,
            named=node.label is not None,
            changelog=node.properties.changelog,
            **extra,  # type: ignore[arg-type]
        )
        self.graph.vertices.append(vertex)
        return vertex.number


def frame_schema(node: Node) -> pl.Schema:
    """Return the columns of the frames on the edge below a node: with the weight, if it has one."""
    weight = {WEIGHT: pl.Int64()} if node.properties.changelog else {}
    return pl.Schema({**node.schema, **weight})


def _verb(step: RowStep) -> str:
    """``WithColumns`` -> ``with_columns``: what the user wrote."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in step.kind).lstrip("_")


def _kind(operator: Operator) -> str:
    """``WindowAggregate`` -> ``window-aggregate``."""
    bare = operator.operator if isinstance(operator, Guarded) else operator
    name = type(bare).__name__.removesuffix("Operator")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def lower(roots: Sequence[Node]) -> Graph:
    """Return the graph of operators for the sinks of one run; common steps become one vertex."""
    return _Builder(chained(one_of_equal_groups(shared(roots)))).build()
