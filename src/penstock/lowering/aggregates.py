"""How an aggregation becomes operators."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from penstock.instants import Reach, unit_ns
from penstock.lowering.prepared import prepared
from penstock.lowering.splitting import SplitAggregates, running, split_aggregates
from penstock.operators.contract import Operator
from penstock.operators.count_windows import CountedGroups, CountWindows
from penstock.operators.expiry import BoundExpiry, Expiry, Keys, TtlExpiry
from penstock.operators.final import FinalRows
from penstock.operators.guarded import Guarded
from penstock.operators.panes import PANE, AssignWindows, WindowEnd
from penstock.operators.recompute import SLOT, Recompute, RecomputeInput
from penstock.operators.session_aggregate import SessionAggregate, SessionGroups, SessionRows
from penstock.operators.sessions import sessions_of
from penstock.operators.settling import Settling
from penstock.operators.sliding_aggregate import SlidingAggregate, slides_of
from penstock.operators.window_aggregate import WindowAggregate, WindowedGroups
from penstock.plan.bounds import carried_bounds
from penstock.plan.expressions import output_schema
from penstock.plan.grouping import Aggregate, Final
from penstock.plan.properties import Properties, TimeBound
from penstock.windows import END, START, Hopping, Rows, Session, Sliding

_ORDERED = re.compile(r"_penstock_(first|last)(_value)?_")

MAX_GROUP_ROWS = 1_000_000
"""Rows that a recomputed group may have: at this size one epoch costs tens of milliseconds."""


def expiry_for(
    properties: Properties, schema: pl.Schema, keys: dict[str, str], ttl_ns: int | None
) -> Callable[[Keys], Expiry] | None:
    """Return how keys expire: by a bounded column among them, else by the time to live, if any.

    ``keys`` maps the name of a key in the store to the input column it copies.
    """
    exprs = [pl.col(column).alias(name) for name, column in keys.items()]
    return keys_expiry(properties, schema, exprs, ttl_ns)


def keys_expiry(
    properties: Properties, schema: pl.Schema, keys: Sequence[pl.Expr], ttl_ns: int | None
) -> Callable[[Keys], Expiry] | None:
    """Return how keys that are expressions expire."""
    bounds = carried_bounds(keys, schema, properties.times).items()
    for name, bound in sorted(bounds, key=lambda item: _slack(item[1])):
        key = next(expr for expr in keys if expr.meta.output_name() == name)
        over = bound.over(name, output_schema((key,), schema, "select", "group_by")[name])
        return lambda store: BoundExpiry(store, over)
    return None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)


def _slack(bound: TimeBound) -> tuple[bool, int]:
    """Order bounds by how closely they follow the watermark."""
    return bool(bound.through), -bound.shift_ns


def final_rows(schema: pl.Schema, properties: Properties) -> FinalRows:
    """Return the operator that emits rows once they can no longer change.

    A window's end says so best; otherwise any column that the watermark bounds.
    """
    times = properties.times
    for column in sorted(times, key=lambda name: (name != END, _slack(times[name]))):
        bound = times[column]
        due = bound.due(column, schema[column])
        return FinalRows(schema, due, refined=bound.refine_ns > 0)
    return FinalRows(schema, None, refined=False)


def lower_final(node: Final) -> list[Operator]:
    """Lower ``emit("final")`` over any changelog."""
    return [final_rows(node.schema, node.input.properties)]


def lower_aggregate(node: Aggregate) -> list[Operator]:
    """Return the chain of operators for an aggregation."""
    if node.window is None:
        return _finished(node, [_plain(node)])
    if isinstance(node.window, Hopping):
        return _hopping(node, node.window)
    if isinstance(node.window, Session):
        return _session(node, node.window)
    if isinstance(node.window, Sliding):
        return _sliding(node, node.window)
    return [_counted(node, node.window)]


def _finished(node: Aggregate, chain: list[Operator]) -> list[Operator]:
    return [*chain, final_rows(node.schema, node.properties)] if node.final else chain


def _plain(node: Aggregate) -> Operator:
    properties, schema = node.input.properties, node.input.schema
    expiry = keys_expiry(properties, schema, node.keys, node.ttl_ns)
    ready = prepared(node)
    changelog = properties.changelog
    split = split_aggregates(
        ready.aggs, ready.keys, ready.schema, changelog=changelog, counted=True
    )
    if split is not None:
        operator = running(split, ready.schema, expiry, changelog=changelog)
        return operator if ready.guard is None else Guarded(operator, ready.guard)
    return recomputed(node, schema, node.keys, expiry, node.schema)


def recomputed(
    node: Aggregate,
    schema: pl.Schema,
    keys: tuple[pl.Expr, ...],
    expiry: Callable[[Keys], Expiry] | None,
    output: pl.Schema,
) -> Recompute:
    """Aggregate each touched group afresh from its rows, which have ``schema``."""
    aggs = node.aggs

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        if not keys:
            return rows.select(*aggs).with_columns(pl.lit(0, pl.Int64).alias(SLOT))
        return rows.group_by(SLOT, *keys, maintain_order=True).agg(*aggs)

    return Recompute(
        [RecomputeInput(schema, keys, node.input.properties.changelog)],
        evaluate,
        output=output,
        step="group_by",
        max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
        expiry=expiry,
    )


def _split(node: Aggregate, *, counted: bool = False) -> SplitAggregates | None:
    schema, changelog = node.input.schema, node.input.properties.changelog
    return split_aggregates(node.aggs, node.keys, schema, changelog=changelog, counted=counted)


def _hopping(node: Aggregate, window: Hopping) -> list[Operator]:
    column, bound = node.window_column, node.window_bound
    assert column is not None
    properties = node.input.properties
    if node.final and bound is not None and not properties.changelog and not bound.refine_ns:
        return [WindowAggregate(_windowed(node, window, column))]
    return _finished(node, _running_windows(node, window, column))


def _windowed(node: Aggregate, window: Hopping, column: str) -> WindowedGroups:
    split = _split(node)
    partials = split.partials if split is not None else None
    if partials is not None:
        dtype = node.input.schema[column]
        pane = pl.Schema({**partials.key_schema, PANE: dtype})
        partials = replace(partials, keys=(*partials.keys, pl.col(PANE)), key_schema=pane)
    return WindowedGroups(
        window=window,
        column=column,
        keys=node.keys,
        aggs=node.aggs,
        partials=partials,
        input=node.input.schema,
        output=node.schema,
        divided=not _in_order(split),
        reach=_reach(node),
    )


def _reach(node: Aggregate) -> Reach:
    """Return up to which instant the column of the window is complete."""
    return Reach() if node.window_bound is None else node.window_bound.reach


def _in_order(split: SplitAggregates | None) -> bool:
    """Tell whether the result may depend on the order in which the rows of a group arrived."""
    return split is None or any(_ORDERED.match(name) for name in split.partials.schema)


def _running_windows(node: Aggregate, window: Hopping, column: str) -> list[Operator]:
    """Assign each row to its windows, aggregate by key and window as changes, add the end."""
    dtype, properties = node.input.schema[column], node.input.properties
    start = pl.col(PANE).alias(START)
    keys = (*node.keys, start)
    assigned = pl.Schema({**node.input.schema, PANE: dtype})
    split = _split(node, counted=True)
    expiry = None
    if column in properties.times:
        over = node.properties.times[START].over(START, dtype)
        expiry = lambda store: BoundExpiry(store, over)  # noqa: E731 - a factory, as expiry_for gives
    columns = [c for c in node.schema if c != END]
    inner: Operator
    if split is not None:
        key_schema = pl.Schema({**split.partials.key_schema, START: dtype})
        partials = replace(split.partials, keys=keys, key_schema=key_schema)
        split = replace(split, partials=partials)
        inner = running(split, assigned, expiry, changelog=properties.changelog)
    else:
        output = pl.Schema({c: node.schema[c] for c in columns})
        inner = recomputed(node, assigned, keys, expiry, output)
    return [
        AssignWindows(window, column, dtype, list(node.input.schema)),
        inner,
        WindowEnd(window, dtype, node.schema),
    ]


def _once(node: Aggregate) -> bool:
    """Tell whether rows are only added and a window that has closed stays as it is."""
    bound = node.window_bound
    append_only = not node.input.properties.changelog
    return node.final and append_only and bound is not None and not bound.refine_ns


def _session(node: Aggregate, window: Session) -> list[Operator]:
    column = node.window_column
    assert column is not None
    schema = node.input.schema
    groups = SessionGroups(
        column, window.gap_ns, node.keys, node.aggs, schema, node.schema, _reach(node)
    )
    if _once(node):
        split = _split(node)
        if split is None or _in_order(split):
            return [SessionRows(groups)]
        return [SessionAggregate(groups, split.partials)]
    evaluate = sessions_of(column, groups.gap, node.keys, node.aggs)
    return _finished(node, [_by_key(node, evaluate, column, None)])


def _sliding(node: Aggregate, window: Sliding) -> list[Operator]:
    column = node.window_column
    assert column is not None
    schema = node.input.schema
    dtype = schema[column]
    size = window.size_ns // unit_ns(dtype)
    if _once(node):
        evaluate = slides_of(column, dtype, size, node.keys, node.aggs, list(node.schema))
        return [
            SlidingAggregate(evaluate, schema=schema, column=column, size=size, reach=_reach(node))
        ]
    output = [*node.schema, SLOT]
    evaluate = slides_of(column, dtype, size, (pl.col(SLOT), *node.keys), node.aggs, output)
    return _finished(node, [_by_key(node, evaluate, column, size)])


def _by_key(
    node: Aggregate,
    evaluate: Callable[[pl.DataFrame], pl.DataFrame],
    column: str,
    reach: int | None,
) -> Recompute:
    """Compute the windows of each touched key afresh from its rows."""
    before, schema = node.input.properties, node.input.schema
    bound = node.window_bound
    settling = None
    if bound is not None:
        settling = Settling(bound.over(END, schema[column]), column, reach)
    expiry = None if settling else keys_expiry(before, schema, node.keys, node.ttl_ns)
    return Recompute(
        [RecomputeInput(schema, node.keys, before.changelog)],
        evaluate,
        output=node.schema,
        step="group_by",
        max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
        expiry=expiry,
        settling=settling,
    )


def _counted(node: Aggregate, window: Rows) -> Operator:
    before, schema = node.input.properties, node.input.schema
    expiry = keys_expiry(before, schema, node.keys, node.ttl_ns)
    column = node.window_column
    groups = CountedGroups(window.count, column, node.keys, node.aggs, schema, node.schema)
    return CountWindows(groups, expiry)
