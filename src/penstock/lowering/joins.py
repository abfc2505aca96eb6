"""How joins become operators."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from penstock.operators import join as operator
from penstock.operators.contract import Operator
from penstock.operators.expiry import BoundExpiry, Expiry, Keys, TtlExpiry
from penstock.operators.pairs import OutputColumn, Pairing
from penstock.plan.joins import Join, Layout
from penstock.plan.node import Node


def _side(node: Node, keys: tuple[pl.Expr, ...]) -> operator.JoinInput:
    return operator.JoinInput(node.schema, keys, node.properties.changelog)


def _pairing(found: Layout, condition: pl.Expr | None = None) -> Pairing:
    return Pairing(tuple(OutputColumn(*c) for c in found.columns), found.schema, condition)


def _key_schema(types: tuple[pl.DataType, ...]) -> pl.Schema:
    return pl.Schema({f"key{number}": dtype for number, dtype in enumerate(types)})


def lower_join(node: Join) -> list[Operator]:
    """Lower a join on equal keys."""
    spec = operator.JoinSpec(
        left=_side(node.left, node.left_on),
        right=_side(node.right, node.right_on),
        how=operator.How(node.how),
        key_schema=_key_schema(node.types),
        pairing=_pairing(node.columns, node.condition),
        changelog=node.properties.changelog,
        nulls_equal=node.nulls_equal,
    )
    return [operator.Join(spec, _expiry(node))]


def _expiry(node: Join) -> Callable[[Keys], Expiry] | None:
    found, ttl_ns = node.key_bound, node.ttl_ns
    if found is not None:
        number, bound = found
        over = bound.over(f"key{number}", node.types[number])
        return lambda store: BoundExpiry(store, over)
    return None if ttl_ns is None else lambda store: TtlExpiry(store, ttl_ns)
