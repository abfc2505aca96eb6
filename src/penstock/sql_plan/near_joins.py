"""Joins of rows whose times lie near each other: rows are freed once the watermark is too far on.

::

    a JOIN b ON a.k = b.k AND a.ts BETWEEN b.ts - INTERVAL '10' SECOND AND b.ts
    -> a.join_interval(b, on="k", lower="0s", upper="10s")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation
from penstock.stream import Stream


@dataclass(frozen=True, slots=True)
class Near:
    """A bound condition that the right's time is in [left + lower, left + upper]."""

    node: exp.Expr
    left_time: str
    right_time: str
    lower_ns: int
    upper_ns: int


def near(left: Relation, right: Relation, nodes: Sequence[exp.Expr]) -> Near | None:
    """Return the first condition that keeps times of both sides near each other, if it frees state."""
    found = (_near(left, right, node) for node in nodes)
    return next((one for one in found if one is not None), None)


def _near(left: Relation, right: Relation, node: exp.Expr) -> Near | None:
    if not isinstance(node, exp.Between) or node.args.get("symmetric"):
        return None
    value, low, high = (_moved(node.args[part]) for part in ("this", "low", "high"))
    if value is None or low is None or high is None or value[1] or low[0] != high[0]:
        return None
    (this, _), (other, after), (_, before) = value, low, high
    if this in left.columns and other in right.columns:
        made = Near(node, this, other, -before, -after)
    elif this in right.columns and other in left.columns:
        made = Near(node, other, this, after, before)
    else:
        return None
    one, two = left.stream.node, right.stream.node
    if one.schema[made.left_time] != two.schema[made.right_time]:
        return None
    bounded = made.left_time in one.properties.times and made.right_time in two.properties.times
    return made if bounded and made.lower_ns <= made.upper_ns else None


def _moved(node: exp.Expr) -> tuple[str, int] | None:
    """``ts - INTERVAL '1' SECOND`` -> ts, -1,000,000,000 ns."""
    node = node.unnest()
    if isinstance(node, exp.Column):
        return node.name, 0
    if not isinstance(node, (exp.Add, exp.Sub)) or not isinstance(node.this, exp.Column):
        return None
    if not isinstance(node.expression, exp.Interval):
        return None
    span = interval(scalars_over(pl.Schema()), node.expression)
    if span.months:
        return None
    return node.this.name, int(span.literal) * (1_000 if isinstance(node, exp.Add) else -1_000)


def joined_near(
    left: Stream, right: Stream, keys: Sequence[tuple[pl.Expr, pl.Expr]], by: Near
) -> Stream:
    """Join on equal keys and near times."""
    return left.join_interval(
        right,
        left_on=[key[0] for key in keys],
        right_on=[key[1] for key in keys],
        left_time=by.left_time,
        right_time=by.right_time,
        lower=f"{by.lower_ns}ns",
        upper=f"{by.upper_ns}ns",
    )
