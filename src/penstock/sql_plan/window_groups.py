"""GROUP BY the windows of TUMBLE, HOP and SESSION: the engine's own windows, freed by the watermark.

::

    SELECT k, window_start, count(*) FROM TUMBLE(t, ts, INTERVAL '10' SECOND) GROUP BY k, window_start
    -> t.group_by("k", ps.tumbling("10s", on="ts")).agg(pl.len())
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from sqlglot import exp

from penstock.instants import interval_literal
from penstock.sql_plan.binding import columns_in
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.values import Value
from penstock.sql_plan.window_tables import WINDOW_TIME_NS
from penstock.stream import Stream
from penstock.windows import END, START, Session

Columns = dict[exp.Expr, str]


def window_groups(
    relation: Relation,
    wanted: Sequence[exp.Expr],
    calls: Sequence[exp.Expr],
    values: dict[exp.Expr, Value],
    aggs: dict[exp.Expr, Value],
    known: Columns,
) -> Stream | None:
    """Return the groups if they are those of a window and of keys beside it; None if they are not."""
    windowed = relation.windowed
    if windowed is None or windowed.expanded is not relation.stream or relation.keys:
        return None
    ends = windowed.marks
    marks = [n for n in wanted if isinstance(n, exp.Column) and n.name in ends]
    others = [n for n in wanted if n not in marks]
    if not marks or any(columns_in(node) & ends for node in [*others, *calls]):
        return None
    if isinstance(windowed.window, Session) and _names(others) != set(windowed.keys):
        return None
    keys = [values[node].expr.alias(known[node]) for node in others]
    found = [value.expr.alias(known[node]) for node, value in aggs.items()]
    grouped = windowed.before.group_by([*keys, windowed.window]).agg(found).emit("changes")
    end = pl.col(END)
    last = end - interval_literal(WINDOW_TIME_NS, windowed.before.schema[windowed.on])
    shown = {windowed.start: pl.col(START), windowed.end: end, windowed.time: last}
    return grouped.with_columns([shown[n.name].alias(known[n]) for n in marks])


def _names(nodes: Sequence[exp.Expr]) -> set[str]:
    return {n.name if isinstance(n, exp.Column) else "" for n in nodes}


def require_grouped(relation: Relation, node: exp.Expr) -> None:
    """Refuse SESSION where its windows are not groups: a row alone does not know its session."""
    windowed = relation.windowed
    if windowed is not None and isinstance(windowed.window, Session):
        by = ", ".join(["the columns of PARTITION BY", "window_start", "window_end"])
        raise refuse(node, f"SESSION in FROM gives groups: GROUP BY {by}")
