"""Window functions: ``f(...) OVER (PARTITION BY ... ORDER BY ... frame)``."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.aggregates import aggregate, is_aggregate
from penstock.sql_plan.binding import parts, replaced
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.first_rows import TOP, first_rows
from penstock.sql_plan.frame_clauses import frame_of
from penstock.sql_plan.frame_values import OverFrame, Shortcut
from penstock.sql_plan.frames import Frame
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.running_frames import rolling, running, with_peers
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value
from penstock.sql_plan.window_partitions import Partition, prepared
from penstock.sql_plan.window_ranks import RANKS, SHIFTS, ranked, shifted
from penstock.stream import Stream

_PLACES: dict[type[exp.Expr], Shortcut] = {
    exp.FirstValue: Shortcut.FIRST,
    exp.LastValue: Shortcut.LAST,
    exp.NthValue: Shortcut.NTH,
}
_SHORTCUTS: dict[type[exp.Expr], Shortcut] = {
    exp.Sum: Shortcut.SUM,
    exp.Avg: Shortcut.MEAN,
    exp.Count: Shortcut.COUNT,
    exp.Min: Shortcut.LEAST,
    exp.Max: Shortcut.MOST,
}


def with_windows(
    context: Context, relation: Relation, nodes: list[exp.Expr]
) -> tuple[Relation, list[exp.Expr]]:
    """Compute window functions as columns; returns expressions that read these."""
    calls = list(dict.fromkeys(p for n in nodes for p in parts(n) if isinstance(p, exp.Window)))
    known: dict[exp.Expr, str] = {}
    for call in calls:
        name = context.names("over")
        relation = _computed(context, relation, call, name)
        known[call] = name
    return relation, [replaced(node, known) for node in nodes]


def _computed(context: Context, relation: Relation, call: exp.Window, name: str) -> Relation:
    require_only(call, "this", "partition_by", "order", "spec", "over", TOP)
    if call.args.get("spec") is not None:
        require_only(call.args["spec"], "kind", "start", "start_side", "end", "end_side", "exclude")
    function, skip_nulls = _function(call)
    best = first_rows(context, relation, call, name) if call.args.get(TOP) else None
    if best is not None:
        return best
    scalars = scalars_over(relation.stream.schema)
    stream, where = prepared(context, relation, scalars, call)
    scalars = scalars_over(stream.schema)
    if isinstance(function, RANKS):
        value = ranked(scalars, function, where, call)
    elif isinstance(function, SHIFTS):
        value = shifted(scalars, function, where, skip_nulls=skip_nulls)
    else:
        stream, value = _framed(context, stream, call, where, function, skip_nulls=skip_nulls)
    computed = stream.with_columns(value.expr.cast(value.dtype).alias(name))
    return replace(relation, stream=computed.select([*relation.stream.columns, name]))


def _function(call: exp.Window) -> tuple[exp.Expr, bool]:
    """Return the function, its FILTER as part of its argument, and whether it passes nulls over."""
    function: exp.Expr = call.this
    skip_nulls = isinstance(function, exp.IgnoreNulls)
    if isinstance(function, (exp.IgnoreNulls, exp.RespectNulls)):
        function = function.this
    inside = function.this if isinstance(function, exp.Filter) else function
    if not (isinstance(inside, (*RANKS, *SHIFTS, *_PLACES)) or is_aggregate(inside)):
        raise refuse(
            inside, "not a window function", hint="aggregates, ranks, lag, lead, first_value ..."
        )
    if skip_nulls and not isinstance(inside, (*SHIFTS, *_PLACES)):
        raise refuse(
            call, "IGNORE NULLS is for lag, lead, first_value, last_value and nth_value only"
        )
    if isinstance(function, exp.Filter):
        if not is_aggregate(inside):
            raise refuse(call, "FILTER stands after an aggregate only")
        function = _filtered(function)
    return function, skip_nulls


def _filtered(node: exp.Filter) -> exp.Expr:
    """``sum(x) FILTER (WHERE c)`` -> ``sum(CASE WHEN c THEN x END)``, where nulls do not count."""
    call, condition = node.this, node.expression.this
    if type(call) not in _SHORTCUTS or isinstance(call.this, (exp.Distinct, exp.Order)):
        return node
    value = exp.Boolean(this=True) if isinstance(call.this, exp.Star) else call.this
    changed: exp.Expr = call.copy()
    changed.set("this", exp.If(this=condition.copy(), true=value.copy()))
    return changed


def _framed(
    context: Context,
    stream: Stream,
    call: exp.Window,
    where: Partition,
    function: exp.Expr,
    *,
    skip_nulls: bool,
) -> tuple[Stream, Value]:
    scalars = scalars_over(stream.schema)
    frame, ends = frame_of(scalars, call, where)
    whole = _of_rows(scalars, function, skip_nulls=skip_nulls)
    if frame.is_whole:
        return stream, Value(where.over(whole.expr), whole.dtype)
    simple = frame.start is None and frame.end == 0 and frame.exclude == "NO OTHERS"
    found = None
    if simple and not skip_nulls and frame.kind != "GROUPS":
        found = running(scalars, function, where)
        if found is not None and frame.kind == "RANGE":
            return with_peers(context, stream, found, where)
    elif frame.kind == "ROWS" and frame.end == 0 and (frame.start or 0) < 0:
        plain = frame.exclude == "NO OTHERS" and not skip_nulls
        found = rolling(scalars, function, where, -(frame.start or 0)) if plain else None
    if found is not None:
        return stream, found
    stream = stream.with_columns(**ends) if ends else stream
    scalars = scalars_over(stream.schema)
    made = _over_frame(scalars, function, frame, whole, skip_nulls=skip_nulls)
    read = [*made.expr.meta.root_names(), *where.order, *ends]
    columns: list[str | pl.Expr] = list(dict.fromkeys(read))
    return stream, Value(where.over(made.over(columns)), made.dtype)


def _of_rows(scalars: Scalars, function: exp.Expr, *, skip_nulls: bool) -> Value:
    """Return what a function gives of all the rows a row sees."""
    place = _PLACES.get(type(function))
    if place is None:
        return aggregate(scalars, function)
    value = scalars.of_rows(function.this)
    known = value.expr.drop_nulls() if skip_nulls else value.expr
    at = -1 if place is Shortcut.LAST else _nth(scalars, function) - 1
    return Value(known.get(at, null_on_oob=True), value.dtype)


def _over_frame(
    scalars: Scalars, function: exp.Expr, frame: Frame, whole: Value, *, skip_nulls: bool
) -> OverFrame:
    """Return how a function is computed over frames: by a shortcut, where there is one."""
    afresh = OverFrame(frame, whole.expr, whole.dtype)
    kind = _PLACES.get(type(function)) or _SHORTCUTS.get(type(function))
    if kind is None or skip_nulls or isinstance(function.this, (exp.Distinct, exp.Order)):
        return afresh
    if isinstance(function.this, exp.Star):
        return OverFrame(frame, pl.lit(1), whole.dtype, Shortcut.ROWS)
    value = scalars.of_rows(function.this)
    if type(function) in _PLACES:
        return OverFrame(frame, value.expr, value.dtype, kind, _nth(scalars, function))
    exact = value.dtype.is_integer() or value.dtype.is_decimal()
    if value.dtype.is_nested() or (kind in (Shortcut.SUM, Shortcut.MEAN) and not exact):
        return afresh
    if kind is Shortcut.MEAN and whole.dtype != pl.Float64:
        return afresh
    expr = value.expr.cast(whole.dtype) if kind is Shortcut.SUM else value.expr
    return OverFrame(frame, expr, whole.dtype, kind)


def _nth(scalars: Scalars, function: exp.Expr) -> int:
    if not isinstance(function, exp.NthValue):
        return 1
    nth = scalars.written(function.args.get("offset"), "the number of the row")
    if not isinstance(nth, int) or nth < 1:
        raise refuse(function, "the number of the row is a whole number, at least 1")
    return nth
