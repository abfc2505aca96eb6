"""``PROCTIME()``: the processing time of a row, as a column with a watermark of its own."""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from penstock.plan.arrivals import ArrivalTime
from penstock.plan.node import Node
from penstock.plan.rows import RowStep, Select, WithColumns
from penstock.plan.sources import Watermark
from penstock.sql_plan.binding import parts, replaced
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.versions import copies
from penstock.stream import Stream


def with_arrivals(
    context: Context, relation: Relation, nodes: list[exp.Expr]
) -> tuple[Relation, list[exp.Expr]]:
    """Compute ``PROCTIME()`` as a column; returns expressions that read it.

    It never goes back, so that windows over it close as time passes. The watermark of another
    column ends here: a stream has one.
    """
    calls = [part for node in nodes for part in parts(node) if is_proctime(part)]
    if not calls:
        return relation, nodes
    if relation.stream.is_changelog:
        raise refuse(
            calls[0],
            "PROCTIME needs rows that stay, these may be deleted",
            hint="take PROCTIME() of an append-only table itself",
        )
    name = context.names("proctime")
    stamped = Stream(ArrivalTime(input=relation.stream.node, column=name))
    relation = replace(relation, stream=stamped.with_watermark(name, lateness=0))
    return relation, [replaced(node, dict.fromkeys(calls, name)) for node in nodes]


def is_proctime(node: exp.Expr) -> bool:
    """Tell whether a node is ``PROCTIME()``."""
    named = isinstance(node, exp.Anonymous) and node.name.upper() == "PROCTIME"
    return named and not node.expressions


def is_arrival(step: Node, time: exp.Expr) -> bool:
    """Tell whether a bound column is a ``PROCTIME()`` that was computed below."""
    if not isinstance(time, exp.Column):
        return False
    name: str | None = time.name
    while isinstance(step, (RowStep, Watermark)):
        if isinstance(step, (Select, WithColumns)):
            known = {column: column for column in step.input.schema}
            name = copies(step, known).get(name or "")
        step = step.input
    return isinstance(step, ArrivalTime) and step.column == name
