"""Gap filling in Timescale's words: buckets of time in which nothing was there.

::

    SELECT time_bucket_gapfill(INTERVAL '1 minute', ts) AS minute, k, avg(v), locf(avg(v)) FROM t
    GROUP BY minute, k
    -> the windows of TUMBLE(t, ts, INTERVAL '1 minute') that are closed, by k, with those between
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.plan.gap_filling import Filling, GapFill
from penstock.plan.grouping import Aggregate, Emission
from penstock.plan.node import Node
from penstock.plan.rows import RowStep
from penstock.sql_plan.binding import column, parts, rewritten
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation, Windowed
from penstock.sql_plan.window_functions import in_from
from penstock.stream import Stream
from penstock.windows import START, Hopping

_BUCKET = "TIME_BUCKET_GAPFILL"
_FILLS = {"LOCF": Filling.LAST, "INTERPOLATE": Filling.LINEAR}
_WATERMARK = "rows that stay and a WATERMARK FOR their time tell which buckets are over"


def with_buckets_in_from(node: exp.Select) -> tuple[exp.Select, exp.Expr | None]:
    """Return the query over windows in FROM, and the call of the bucket; None if there is none."""
    group = node.args.get("group")
    inside = [*node.expressions, *(group.expressions if group is not None else [])]
    calls = [p for item in inside for p in parts(item) if _named(p) == _BUCKET]
    if not calls:
        return node, None
    call = calls[0]
    if group is None or any(other != call for other in calls):
        raise refuse(call, "a query has one time_bucket_gapfill, and groups by it")
    if len(call.expressions) != 2:
        raise refuse(
            call,
            "time_bucket_gapfill takes a width and a time",
            hint="each key is filled from its first bucket to the last one of any key",
        )
    width, time = call.expressions
    node = node.copy()
    in_from(node, exp.Anonymous(this="TUMBLE", expressions=[time, width]), [])
    start = exp.Column(this=exp.to_identifier(START))
    outputs = [_replaced(item, call, start) for item in node.expressions]
    node.set("expressions", outputs)
    keys = [rewritten(k, lambda p: start if p == call else None) for k in group.expressions]
    node.args["group"].set("expressions", keys)
    return node, call


def _named(node: exp.Expr) -> str:
    return node.name.upper() if isinstance(node, exp.Anonymous) else ""


def _replaced(item: exp.Expr, call: exp.Expr, start: exp.Expr) -> exp.Expr:
    if item == call:
        return exp.alias_(start.copy(), "time_bucket_gapfill")
    return rewritten(item, lambda part: start.copy() if part == call else None)


def filled(
    context: Context,
    relation: Relation,
    windowed: Windowed,
    known: Mapping[exp.Expr, str],
    nodes: Sequence[exp.Expr],
    call: exp.Expr,
) -> tuple[Relation, list[exp.Expr]]:
    """Fill the gaps between groups of windows; returns expressions that read what was filled in."""
    if relation.keys:
        raise refuse(call, "gap filling in a correlated query is not supported")
    time = known.get(column(windowed.start))
    if time is None:
        raise refuse(call, "GROUP BY names the bucket, or its position")
    stream = Stream(_once(relation.stream.node, call))
    if getattr(stream.schema[time], "time_zone", None) not in (None, "UTC"):
        raise refuse(call, "buckets of local time cannot be filled", hint="use AT TIME ZONE")
    scalars = scalars_over(stream.schema)
    calls = [p for node in nodes for p in parts(node) if _named(p) in _FILLS]
    names = {part: context.names("fill") for part in dict.fromkeys(calls)}
    computed, fills = [], []
    for part, name in names.items():
        if len(part.expressions) != 1:
            raise refuse(part, f"{part.name} takes one value")
        how = _FILLS[_named(part)]
        value = scalars.of_rows(part.expressions[0])
        linear = how is Filling.LINEAR
        computed.append((value.expr.cast(pl.Float64) if linear else value.expr).alias(name))
        fills.append((name, how))
    if computed:
        stream = stream.with_columns(computed)
    step = GapFill(
        input=stream.node,
        time=time,
        keys=tuple(c for c in _grouped_by(stream.node) if c in known.values() and c != time),
        width_ns=_width_ns(windowed),
        fills=tuple(fills),
    )
    shown = [rewritten(n, lambda p: column(names[p]) if p in names else None) for n in nodes]
    return replace(relation, stream=Stream(step)), shown


def _grouped_by(step: Node) -> tuple[str, ...]:
    while isinstance(step, RowStep):
        step = step.input
    assert isinstance(step, Aggregate), "what is filled was grouped"
    return step.key_names


def _width_ns(windowed: Windowed) -> int:
    assert isinstance(windowed.window, Hopping), "buckets touch"
    return windowed.window.size_ns


def _once(step: Node, call: exp.Expr) -> Node:
    """Return the plan with its groups emitted once, when their window is over."""
    if isinstance(step, RowStep):
        return dataclasses.replace(step, input=_once(step.input, call))
    if not isinstance(step, Aggregate):
        raise refuse(call, "gap filling takes GROUP BY without ROLLUP, CUBE or GROUPING SETS")
    before = step.input.properties
    if not before.bounded and (before.changelog or not before.times):
        raise refuse(call, "gap filling needs to know when a bucket is over", hint=_WATERMARK)
    return dataclasses.replace(step, emission=Emission.FINAL)
