"""The versions behind a view that shows the latest row of each key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from penstock.plan.node import Node
from penstock.plan.properties import copied_columns
from penstock.plan.ranking import TopK
from penstock.plan.rows import Filter, RowStep, Select, WithColumns
from penstock.sql_plan.relations import Relation
from penstock.stream import Stream


def versions_of(relation: Relation, keys: Sequence[pl.Expr]) -> Relation:
    """Return, in place of the latest row of each key by event time, the rows it was chosen from.

    ``SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn FROM t)
    WHERE rn = 1`` is how Flink calls ``t`` a table of versions: joined as of a time, each of its rows
    counts until the next one. Any other relation is returned as it is.
    """
    steps: list[RowStep] = []
    node = relation.stream.node
    while isinstance(node, RowStep):
        steps.append(node)
        node = node.input
    if not isinstance(node, TopK) or not _latest(node) or not _by(keys, steps, node):
        return relation
    whole: Node = node.input
    if node.rank is not None:
        whole = WithColumns(input=whole, exprs=(pl.lit(1, dtype=pl.Int64).alias(node.rank),))
        whole = Select(input=whole, exprs=tuple(map(pl.col, node.schema)))
    for step in reversed(steps):
        whole = replace(step, input=whole)
    return replace(relation, stream=Stream(whole))


def time_of(node: Node) -> str | None:
    """Return the column of event time; the only one under a watermark, where a projection hides it."""
    found = node.properties
    if found.event_time is not None:
        return found.event_time
    return next(iter(found.times)) if len(found.times) == 1 else None


def _latest(node: TopK) -> bool:
    before, order = node.input.properties, node.order
    times = [expr.meta.output_name() for expr in order.by if expr.meta.is_column()]
    by_time = len(order.by) == 1 and times == [time_of(node.input)] and order.descending == (True,)
    return node.k == 1 and by_time and not before.changelog


def _by(keys: Sequence[pl.Expr], steps: Sequence[RowStep], node: TopK) -> bool:
    """Tell whether the join is on the columns the rows were chosen for, and nothing else chose."""
    origin = {name: name for name in node.schema}
    for step in reversed(steps):
        if isinstance(step, (Select, WithColumns)):
            origin = copies(step, origin)
        elif not isinstance(step, Filter) or {
            origin.get(name) for name in step.predicate.meta.root_names()
        } != {node.rank}:
            return False
    if not all(key.meta.is_column() for key in keys):
        return False
    return {origin.get(key.meta.output_name()) for key in keys} == set(node.keys)


def copies(step: Select | WithColumns, origin: Mapping[str, str]) -> dict[str, str]:
    """Return which of the columns of a step are those of ``origin``, and which of them."""
    copied = {new: origin[old] for new, old in copied_columns(step.exprs).items() if old in origin}
    if isinstance(step, Select):
        return copied
    written = {expr.meta.output_name() for expr in step.exprs}
    return {name: old for name, old in origin.items() if name not in written} | copied
