"""How joins become operators."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from penstock.instants import Passing, unit_ns
from penstock.lowering.aggregates import MAX_GROUP_ROWS
from penstock.operators import join as operator
from penstock.operators import timed_join
from penstock.operators.asof_join import AsofJoin as AsofOperator
from penstock.operators.asof_join import AsofSpec, Strategy, asof_evaluation
from penstock.operators.contract import Operator
from penstock.operators.expiry import BoundExpiry, Expiry, Keys, TtlExpiry
from penstock.operators.interval_join import Interval
from penstock.operators.interval_join import IntervalJoin as IntervalOperator
from penstock.operators.lookup_join import LookupJoin as LookupOperator
from penstock.operators.pairs import OutputColumn, Pairing
from penstock.operators.recompute import Recompute, RecomputeInput
from penstock.operators.recomputed_joins import Near, evaluation
from penstock.plan.asof_joins import AsofJoin
from penstock.plan.interval_joins import IntervalJoin
from penstock.plan.joins import Join, Layout, is_plain
from penstock.plan.lookup_joins import LookupJoin
from penstock.plan.node import Node


def _side(node: Node, keys: tuple[pl.Expr, ...]) -> operator.JoinInput:
    return operator.JoinInput(node.schema, keys, node.properties.changelog)


def _pairing(found: Layout, condition: pl.Expr | None = None) -> Pairing:
    return Pairing(tuple(OutputColumn(*c) for c in found.columns), found.schema, condition)


def _key_schema(types: tuple[pl.DataType, ...]) -> pl.Schema:
    return pl.Schema({f"key{number}": dtype for number, dtype in enumerate(types)})


def _spec(
    node: Join | LookupJoin | IntervalJoin,
    *,
    changelog: bool,
    condition: pl.Expr | None = None,
    nulls_equal: bool = False,
) -> operator.JoinSpec:
    return operator.JoinSpec(
        left=_side(node.left, node.left_on),
        right=_side(node.right, node.right_on),
        how=operator.How(node.how),
        key_schema=_key_schema(node.types),
        pairing=_pairing(node.columns, condition),
        changelog=changelog,
        nulls_equal=nulls_equal,
    )


def lower_join(node: Join) -> list[Operator]:
    """Lower a join on equal keys."""
    spec = _spec(
        node,
        changelog=node.properties.changelog,
        condition=node.condition,
        nulls_equal=node.nulls_equal,
    )
    if node.lapses is not None:
        one, two = (timed_join.Lapse(column, 0, passing) for column, passing in node.lapses)
        return [timed_join.TimedJoin(spec, (one, two), None)]
    return [operator.Join(spec, _expiry(node))]


def lower_lookup_join(node: LookupJoin) -> list[Operator]:
    """Lower a lookup of the present contents."""
    spec = _spec(node, changelog=False)
    return [LookupOperator(spec)]


def _expiry(node: Join) -> Callable[[Keys], Expiry] | None:
    found, ttl_ns = node.key_bound, node.ttl_ns
    if found is not None:
        number, bound = found
        over = bound.over(f"key{number}", node.types[number])
        return lambda store: BoundExpiry(store, over)
    return None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)


def lower_interval_join(node: IntervalJoin) -> list[Operator]:
    """Lower an interval join, or its fallback where unmatched rows may come and go."""
    spec = _spec(node, changelog=node.properties.changelog)
    dtype = node.left.schema[node.left_time]
    unit, ttl_ns = unit_ns(dtype), node.ttl_ns
    lower, upper = -(-node.lower_ns // unit), node.upper_ns // unit
    expiry = None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)
    if not node.incremental:
        near = Near(node.left_time, node.right_time, lower, upper)
        return [recomputed_join(spec, near, expiry, node.describe(), node.max_group_rows)]
    one, two = node.bounds
    over = (
        None if one is None else one.over(node.left_time, dtype),
        None if two is None else two.over(node.right_time, dtype),
    )
    if node.how == "inner" and not node.properties.changelog and None not in over:
        timed = _timed(node, spec, (lower, upper), over)
        if timed is not None:
            return [timed]
    interval = Interval((node.left_time, node.right_time), lower, upper, over)
    return [IntervalOperator(spec, interval, None if all(over) else expiry)]


def _timed(
    node: IntervalJoin,
    spec: operator.JoinSpec,
    span: tuple[int, int],
    over: tuple[Passing | None, Passing | None],
) -> Operator | None:
    """Return the operator for append-only sides that the watermark frees."""
    if not all(map(is_plain, node.types)) or over[0] is None or over[1] is None:
        return None
    lower, upper = span
    lapses = (
        timed_join.Lapse(node.left_time, upper, over[1]),
        timed_join.Lapse(node.right_time, -lower, over[0]),
    )
    near = timed_join.Near((node.left_time, node.right_time), lower, upper)
    return timed_join.TimedJoin(spec, lapses, near)


def lower_asof_join(node: AsofJoin) -> list[Operator]:
    """Lower an as-of join, or its fallback where matches may change."""
    ttl_ns, schema = node.ttl_ns, _key_schema(node.types)
    expiry = None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)
    sides = [(node.left, node.by_left), (node.right, node.by_right)]
    one, two = (typed_keys(tuple(map(pl.col, by)), schema) for _, by in sides)
    on = (node.left_on, node.right_on)
    if not node.final or node.bounds is None:
        inputs = [
            RecomputeInput(side.schema, keys, side.properties.changelog)
            for (side, _), keys in zip(sides, (one, two), strict=True)
        ]
        return [
            Recompute(
                inputs,
                asof_evaluation(on, node.options),
                output=node.schema,
                step=node.describe(),
                max_group_rows=node.max_group_rows or MAX_GROUP_ROWS,
                expiry=expiry,
            )
        ]
    left, right = node.bounds
    spec = AsofSpec(
        schemas=(node.left.schema, node.right.schema),
        on=on,
        keys=(one, two),
        key_schema=schema,
        strategy=Strategy(node.strategy),
        reach=node.reach,
        options=node.options,
        over=(
            left.over(on[0], node.left.schema[on[0]]),
            right.over(on[1], node.right.schema[on[1]]),
        ),
        output=node.schema,
    )
    return [AsofOperator(spec, expiry)]


def recomputed_join(
    spec: operator.JoinSpec,
    near: Near | None,
    expiry: Callable[[Keys], Expiry] | None,
    step: str,
    max_group_rows: int | None,
) -> Recompute:
    """Return the operator that joins all rows of a key afresh when it is touched."""
    sides = [
        RecomputeInput(side.schema, typed_keys(side.keys, spec.key_schema), side.changelog)
        for side in (spec.left, spec.right)
    ]
    return Recompute(
        sides,
        evaluation(spec, near),
        output=spec.pairing.schema,
        step=step,
        max_group_rows=max_group_rows or MAX_GROUP_ROWS,
        expiry=expiry,
    )


def typed_keys(keys: tuple[pl.Expr, ...], schema: pl.Schema) -> tuple[pl.Expr, ...]:
    """Return the keys of a side in the common types and under the names of ``schema``."""
    pairs = zip(keys, schema.items(), strict=True)
    return tuple(key.cast(dtype).alias(name) for key, (name, dtype) in pairs)
