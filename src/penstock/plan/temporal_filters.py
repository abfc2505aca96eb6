"""Rows that are there for a time: from one instant of the clock to another one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import output_schema
from penstock.plan.node import Node
from penstock.plan.properties import Properties


@dataclass(frozen=True, eq=False, kw_only=True)
class TemporalFilter(Node):
    """Keep each row while ``since <= now < until``, ``now`` being processing time.

    Both are row by row, microseconds since 1970 UTC (Int64); a row for which one is null is not
    kept. Rows enter and leave as the clock moves, so that ``until`` makes changes of any rows.
    """

    input: Node
    since: pl.Expr | None = None
    until: pl.Expr | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def bounds(self) -> tuple[pl.Expr, ...]:
        """The expressions that are given."""
        return tuple(expr for expr in (self.since, self.until) if expr is not None)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the types; what leaves later is behind any watermark."""
        for expr in self.bounds:
            found = output_schema((expr.alias("at"),), self.input.schema, "select", "filter")["at"]
            if found != pl.Int64:
                raise PlanError(f"an instant is {found}, not Int64", step="filter")
        before = self.input.properties
        return self.input.schema, replace(
            before,
            changelog=before.changelog or self.until is not None,
            times={},
            event_time=None,
            partitioned=False,
        )

    def describe(self) -> str:
        """Show the bounds."""
        parts = [f"{expr} <= now" for expr in (self.since,) if expr is not None]
        parts += [f"now < {expr}" for expr in (self.until,) if expr is not None]
        return f"TemporalFilter {' and '.join(parts)}".replace("\n", " ")
