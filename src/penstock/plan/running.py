"""Functions that run along the rows of a key in order of arrival."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.running import RunningExprs, running
from penstock.plan.grouping import Verb
from penstock.plan.node import Node
from penstock.plan.properties import Properties
from penstock.plan.rows import Select, WithColumns


@dataclass(frozen=True, eq=False, kw_only=True)
class Running(Node):
    """``cum_sum``, ``shift`` and their like over append-only rows: only what is carried is kept."""

    input: Node
    verb: Verb
    exprs: tuple[pl.Expr, ...]
    ttl_ns: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def parts(self) -> RunningExprs:
        """The calls and what is left around them."""
        found = running(self.exprs, self.input.schema)
        if found is None or self.input.properties.changelog:
            raise PlanError("not a running function of append-only rows", step=self.verb.value)
        return found

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        keyed = self.parts.keys and self.ttl_ns is None
        freed = any(key in self.input.properties.times for key in self.parts.keys)
        return "what is carried for every key" if keyed and not freed else None

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Give the schema and the properties that the verb gives."""
        kind = Select if self.verb is Verb.SELECT else WithColumns
        same = kind(input=self.input, exprs=self.exprs)
        return same.schema, replace(same.properties, partitioned=False)

    def describe(self) -> str:
        """Show the keys and the expressions."""
        exprs = ", ".join(str(e).replace("\n", " ") for e in self.exprs)
        return f"Running [{', '.join(self.parts.keys)}] {self.verb.value} {exprs}"


def can_run(node: Node, verb: Verb, exprs: tuple[pl.Expr, ...]) -> bool:
    """Tell whether expressions over the rows of a node need only what is carried along."""
    if node.properties.changelog or verb is Verb.FILTER:
        return False
    return running(exprs, node.schema) is not None
