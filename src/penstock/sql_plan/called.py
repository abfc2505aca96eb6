"""Calls of Python functions as columns, where what is above could not call them again.

A group by ``f(a)`` asks again for the key of a row that goes, and ``f`` may answer otherwise. A column
remembers what it answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.binding import columns_in, parts, replaced
from penstock.sql_plan.context import Context
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.scalars import FUNCTION


def is_called(node: exp.Expr) -> bool:
    """Tell whether a node is the call of a function of the user's."""
    return FUNCTION in node.meta


def with_calls(
    context: Context, relation: Relation, nodes: Sequence[exp.Expr]
) -> tuple[Relation, list[exp.Expr]]:
    """Compute the calls inside expressions as columns; returns expressions that read these."""
    found = dict.fromkeys(part for node in nodes for part in parts(node) if is_called(part))
    calls = [call for call in found if columns_in(call) and columns_in(call) <= relation.columns]
    if not calls:
        return relation, list(nodes)
    known = {call: context.names("call") for call in calls}
    scalars = scalars_over(relation.stream.schema)
    cells = [scalars.value(call).expr.alias(name) for call, name in known.items()]
    read = set[str]().union(*map(columns_in, calls))
    return _beside(relation, cells, read), [replaced(node, known) for node in nodes]


def _beside(relation: Relation, cells: list[pl.Expr], read: set[str]) -> Relation:
    """Add columns; to rows that stand once for each window as they were before, too."""
    stream, windowed = relation.stream.with_columns(cells), relation.windowed
    if windowed is not None and windowed.expanded is relation.stream:
        if read & {windowed.start, windowed.end}:
            windowed = None
        else:
            windowed = replace(
                windowed, expanded=stream, before=windowed.before.with_columns(cells)
            )
    return replace(relation, stream=stream, windowed=windowed)
