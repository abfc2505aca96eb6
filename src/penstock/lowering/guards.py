"""What the rows of each kind of step must survive before the step takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from penstock.operators.contract import Operator
from penstock.operators.guarded import Guard, Guarded
from penstock.plan.expressions.fallible import fallible
from penstock.plan.grouping import Aggregate, Over, Verb
from penstock.plan.interval_joins import IntervalJoin
from penstock.plan.join_predicates import one_sided
from penstock.plan.joins import Join
from penstock.plan.node import Node
from penstock.plan.over_chains import OverChain
from penstock.plan.ranking import Sort, TopK
from penstock.plan.running import Running

Read = tuple[str, Sequence[Sequence[pl.Expr]]]
"""The step's name for users, and the expressions it reads from each input."""


def _aggregate(node: Aggregate) -> Read:
    return "group_by" if node.keys or node.window else "select", [[*node.keys, *node.aggs]]


def _over(node: Over | Running) -> Read:
    return node.verb.value, [node.exprs]


def _over_chain(node: OverChain) -> Read:
    return Verb.WITH_COLUMNS.value, [node.stages[0]]


def _order(node: Sort | TopK) -> Read:
    return "sort" if isinstance(node, Sort) else "top_k", [node.order.by]


def _join(node: Join) -> Read:
    lefts, rights = one_sided(node.condition, node.columns)
    return "join", [[*node.left_on, *lefts], [*node.right_on, *rights]]


def _interval_join(node: IntervalJoin) -> Read:
    return "join_interval", [node.left_on, node.right_on]


GUARDED: Mapping[type[Node], Callable[..., Read]] = {
    Aggregate: _aggregate,
    IntervalJoin: _interval_join,
    Join: _join,
    Over: _over,
    OverChain: _over_chain,
    Running: _over,
    Sort: _order,
    TopK: _order,
}
"""Steps that keep state and compute something of their rows. The others read columns as they are,
or (``Map``, functions, processors) find the row at fault themselves."""


def guarded(node: Node, chain: list[Operator]) -> list[Operator]:
    """Put a guard before the first operator of a step, if a value can make its expressions fail."""
    read = GUARDED.get(type(node))
    if read is None:
        return chain
    name, exprs = read(node)
    risky = tuple(
        fallible(some, child.schema) for some, child in zip(exprs, node.inputs, strict=True)
    )
    if not any(risky):
        return chain
    return [Guarded(chain[0], Guard(name, risky)), *chain[1:]]
