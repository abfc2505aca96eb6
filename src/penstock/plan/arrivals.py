"""The instant at which a row was processed, as a column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.errors import PlanError
from penstock.plan.node import Node
from penstock.plan.properties import Properties


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrivalTime(Node):
    """Add the processing time of the epoch that brought a row, in UTC: ``PROCTIME()`` in SQL."""

    input: Node
    column: str

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Add the column; rows that are deleted later would need the instant of their insertion."""
        before = self.input.properties
        if before.changelog:
            raise PlanError(
                "processing time needs rows that stay, these are changes",
                step="proctime",
                hint="take PROCTIME() of the append-only table itself",
            )
        schema = {**self.input.schema, self.column: pl.Datetime("us", "UTC")}
        return pl.Schema(schema), replace(before, partitioned=False)

    def describe(self) -> str:
        """Name the column."""
        return f"ArrivalTime {self.column}"
