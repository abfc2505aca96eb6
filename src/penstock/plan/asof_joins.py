"""As-of joins: each left row with the right row nearest in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.errors import PlanError
from penstock.instants import is_event_time, unit_ns
from penstock.plan.expressions.tree import first_line
from penstock.plan.joins import key_types
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties, TimeBound, joint_bound

STRATEGIES = ("backward", "forward", "nearest")

_STEP = "join_asof"


@dataclass(frozen=True, eq=False, kw_only=True)
class AsofJoin(Node):
    """Each left row with the last (next, nearest) right row by ``on``, of equal ``by``.

    ``tolerance`` is in nanoseconds for times, in the column's own unit for numbers.
    """

    left: Node
    right: Node
    left_on: str
    right_on: str
    by_left: tuple[str, ...] = ()
    by_right: tuple[str, ...] = ()
    strategy: str = "backward"
    tolerance: float | None = None
    allow_exact_matches: bool = True
    suffix: str = "_right"
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Left and right."""
        return (self.left, self.right)

    @property
    def types(self) -> tuple[pl.DataType, ...]:
        """The types that the ``by`` columns are compared in."""
        one, two = tuple(map(pl.col, self.by_left)), tuple(map(pl.col, self.by_right))
        return key_types(_STEP, self.left, one, self.right, two)

    @property
    def reach(self) -> int | None:
        """The tolerance in physical units of a time column."""
        if self.tolerance is None:
            return None
        return int(self.tolerance) // unit_ns(self.left.schema[self.left_on])

    @property
    def options(self) -> dict[str, Any]:
        """What ``polars.LazyFrame.join_asof`` is given."""
        found: dict[str, Any] = {
            "left_on": self.left_on,
            "right_on": self.right_on,
            "strategy": self.strategy,
            "allow_exact_matches": self.allow_exact_matches,
            "suffix": self.suffix,
            "check_sortedness": False,
        }
        if self.left_on == self.right_on:
            found |= {"on": self.left_on, "left_on": None, "right_on": None}
        if self.by_left:
            found |= {"by_left": list(self.by_left), "by_right": list(self.by_right)}
        if self.tolerance is not None:
            timely = is_event_time(self.left.schema[self.left_on])
            found["tolerance"] = f"{int(self.tolerance)}ns" if timely else self.tolerance
        return found

    @property
    def bounds(self) -> tuple[TimeBound, TimeBound] | None:
        """How the watermarks bound both times, if they do."""
        found = (
            self.left.properties.times.get(self.left_on),
            self.right.properties.times.get(self.right_on),
        )
        left, right = (None if bound is None else bound.plain for bound in found)
        return None if left is None or right is None else (left, right)

    @property
    def final(self) -> bool:
        """Whether each left row leaves once; otherwise the rows of a key are joined afresh."""
        grows = not (self.left.properties.changelog or self.right.properties.changelog)
        return grows and self.bounds is not None

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.bounds is not None or self.ttl_ns is not None
        return None if freed else "all rows of both sides"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Join empty frames as Polars does."""
        sides = (
            (self.left, self.left_on, self.by_left),
            (self.right, self.right_on, self.by_right),
        )
        for node, on, by in sides:
            require_columns(_STEP, node.schema, [on, *by])
        key_types(_STEP, self.left, (pl.col(self.left_on),), self.right, (pl.col(self.right_on),))
        _ = self.types
        one, two = (pl.LazyFrame(schema=node.schema) for node, _, _ in sides)
        try:
            schema = one.join_asof(two, **self.options).collect().schema
        except pl.exceptions.PolarsError as error:
            raise PlanError(first_line(error), step=_STEP) from error
        left, right = self.left.properties, self.right.properties
        times = self._times()
        return schema, Properties(
            changelog=not self.final,
            keys=left.keys,
            times=times,
            event_time=self.left_on if self.left_on in times else None,
            bounded=left.bounded and right.bounded,
        )

    def _times(self) -> dict[str, TimeBound]:
        """Rows wait until the watermarks have passed them; a forward match may take longer."""
        if not self.final or self.bounds is None:
            return {}
        bound = joint_bound(*self.bounds)
        assert bound is not None  # plain bounds always have one
        shift = bound.shift_ns - bound.refine_ns
        if self.strategy == "backward":
            return {self.left_on: TimeBound(shift)}
        if self.tolerance is None:
            return {}
        return {self.left_on: TimeBound(shift - int(self.tolerance))}

    def describe(self) -> str:
        """Show strategy, times and keys."""
        by = ", ".join(f"{a} = {b}" for a, b in zip(self.by_left, self.by_right, strict=True))
        mode = "final" if self.final else "changes"
        return f"AsofJoin {self.strategy} {self.left_on}, {self.right_on} by [{by}] ({mode})"
