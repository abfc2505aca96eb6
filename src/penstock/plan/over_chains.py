"""Steps over the rows of the same keys, one upon another, are one step.

``with_columns(r=rank over k)`` and ``with_columns(m=f(r) over k)`` each hold all rows of a key and what
they gave for them, and compute touched keys afresh: together they hold them once and compute once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from penstock.plan.expressions.fallible import fallible
from penstock.plan.grouping import Over, Verb
from penstock.plan.node import Node, walk
from penstock.plan.properties import Properties
from penstock.plan.sharing import rewired


@dataclass(frozen=True, eq=False, kw_only=True)
class OverChain(Node):
    """Stages of ``with_columns`` over the rows of the same keys; each sees the results of those before."""

    input: Node
    stages: tuple[tuple[pl.Expr, ...], ...]
    keys: tuple[str, ...]
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def steps(self) -> tuple[Over, ...]:
        """The steps it stands for."""
        found: list[Over] = []
        for exprs in self.stages:
            below = found[-1] if found else self.input
            found.append(Over(input=below, verb=Verb.WITH_COLUMNS, exprs=exprs, keys=self.keys))
        return tuple(found)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Run one stage after another."""
        last = self.steps[-1]
        return last.schema, last.properties

    def describe(self) -> str:
        """Show the stages."""
        return " -> ".join(step.describe() for step in self.steps)


def chained(roots: Sequence[Node]) -> list[Node]:
    """Return the plans with such steps put together, where nothing else reads what is in between.

    Only steps of equal keys, limits and times to live, over changes: of append-only rows one that
    makes its group fail is refused, which must not come to hold for later steps. Nor may one row
    make those fail, since it is before the first that rows are tried.
    """
    readers = Counter(id(child) for node in walk(*roots) for child in node.inputs)
    done: dict[int, Node] = {}
    for node in walk(*roots):
        made = rewired(node, done, node.label)
        if isinstance(made, Over) and isinstance(node, Over) and readers[id(node.input)] == 1:
            made = _upon(made)
        done[id(node)] = made
    return [done[id(root)] for root in roots]


def _upon(step: Over) -> Node:
    """Return a step together with the one below it, if that may be."""
    below = step.input
    if not isinstance(below, Over | OverChain) or below.label is not None:
        return step
    if not below.input.properties.changelog:
        return step
    if isinstance(below, Over) and below.verb is not Verb.WITH_COLUMNS:
        return step
    stages = below.stages if isinstance(below, OverChain) else (below.exprs,)
    written = {expr.meta.output_name() for stage in (*stages, step.exprs) for expr in stage}
    alike = (step.keys, step.ttl_ns, step.max_group_rows) == (
        below.keys,
        below.ttl_ns,
        below.max_group_rows,
    )
    if step.verb is not Verb.WITH_COLUMNS or not alike or written & set(step.keys):
        return step
    if fallible(step.exprs, below.schema):
        return step
    return OverChain(
        input=below.input,
        stages=(*stages, step.exprs),
        keys=step.keys,
        ttl_ns=step.ttl_ns,
        max_group_rows=step.max_group_rows,
        label=step.label,
        line=step.line,
    )
