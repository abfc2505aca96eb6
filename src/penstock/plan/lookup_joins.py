"""Lookups: each left row with what the right side holds when it comes."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.joins import Layout, key_types, layout, unique_keys
from penstock.plan.node import Node
from penstock.plan.properties import Properties

LOOKUP_HOWS = ("inner", "left")

_STEP = "lookup"


@dataclass(frozen=True, eq=False, kw_only=True)
class LookupJoin(Node):
    """Each left row, once, with the right rows of equal keys at that moment of processing time.

    What the right side holds later changes nothing of what has been emitted. Of one epoch the right
    rows come first.
    """

    left: Node
    right: Node
    left_on: tuple[pl.Expr, ...]
    right_on: tuple[pl.Expr, ...]
    how: str = "inner"

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Left and right."""
        return (self.left, self.right)

    @property
    def columns(self) -> Layout:
        """The output columns: all of both sides."""
        pairs = list(zip(self.left_on, self.right_on, strict=True))
        left, right = self.left.schema, self.right.schema
        return layout(_STEP, left, right, self.how, pairs, suffix="_right", coalesce=False)

    @property
    def types(self) -> tuple[pl.DataType, ...]:
        """The types that the keys are compared in."""
        return key_types(_STEP, self.left, self.left_on, self.right, self.right_on)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        return None if self.right.properties.changelog else "all rows of the right side"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Join empty frames as Polars does; rows that go would need what they were joined with."""
        left, right = self.left.properties, self.right.properties
        if left.changelog:
            raise PlanError(
                "a lookup at processing time needs rows that stay, these are changes",
                step=_STEP,
                hint="join with what the other side holds at any time, or as of an event time",
            )
        _ = self.types
        found = self.columns
        pairs = list(zip(self.left_on, self.right_on, strict=True))
        alike = unique_keys(self.how, pairs, left, right, found)
        kept = set(found.left.values())
        return found.schema, Properties(
            keys=tuple(key for key in alike if set(key) <= kept),
            times={found.left[name]: bound for name, bound in left.times.items()},
            event_time=left.event_time,
            bounded=left.bounded and right.bounded,
        )

    def describe(self) -> str:
        """Show how, and the keys."""
        pairs = zip(self.left_on, self.right_on, strict=True)
        keys = ", ".join(f"{one} = {two}" for one, two in pairs).replace("\n", " ")
        return f"LookupJoin {self.how} on [{keys}]"
