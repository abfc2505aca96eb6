"""Distinct rows: one row for each combination of some columns."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties


class Keep(enum.Enum):
    """Which of the rows that are equal on the subset stays."""

    ANY = "any"
    FIRST = "first"
    LAST = "last"
    NONE = "none"  # none of them: rows that have an equal are dropped


@dataclass(frozen=True, eq=False, kw_only=True)
class Unique(Node):
    """Keep one row for each combination of the ``subset`` columns.

    Over append-only rows ``any`` and ``first`` let the first row through and drop the others, so
    the output is append-only; everything else gives changes.
    """

    input: Node
    subset: tuple[str, ...]
    keep: Keep = Keep.ANY
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def passes_rows(self) -> bool:
        """Whether a row goes through at once or never."""
        return not self.input.properties.changelog and self.keep in (Keep.ANY, Keep.FIRST)

    @property
    def whole_rows(self) -> bool:
        """Whether rows are compared on all their columns."""
        return set(self.subset) == set(self.input.schema)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.ttl_ns is not None or any(
            c in self.input.properties.times for c in self.subset
        )
        return None if freed else "every distinct key"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Keep the schema; the subset becomes a key."""
        before, schema = self.input.properties, self.input.schema
        require_columns("unique", schema, self.subset)
        if not self.subset:
            raise PlanError("subset is empty", step="unique", alternatives=list(schema))
        times = {
            column: bound
            for column, bound in before.times.items()
            if self.passes_rows or column in self.subset
        }
        return schema, Properties(
            changelog=not self.passes_rows,
            keys=(*before.keys, self.subset),
            times=times,
            event_time=before.event_time if before.event_time in times else None,
            bounded=before.bounded,
        )

    def describe(self) -> str:
        """Show the subset and what stays."""
        return f"Unique [{', '.join(self.subset)}] keep {self.keep.value}"
