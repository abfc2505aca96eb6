"""Joins of rows whose times lie near each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.instants import duration_text, is_event_time
from penstock.plan.joins import Layout, key_types, layout, unique_keys
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties, TimeBound

INTERVAL_HOWS = ("inner", "left", "right", "full", "semi", "anti")

_STEP = "join_interval"


@dataclass(frozen=True, eq=False, kw_only=True)
class IntervalJoin(Node):
    """Rows with equal keys and the right's time in [left + lower, left + upper]."""

    left: Node
    right: Node
    left_on: tuple[pl.Expr, ...]
    right_on: tuple[pl.Expr, ...]
    left_time: str
    right_time: str
    lower_ns: int
    upper_ns: int
    how: str = "inner"
    suffix: str = "_right"
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """Left and right."""
        return (self.left, self.right)

    @property
    def columns(self) -> Layout:
        """The output columns."""
        keys = list(zip(self.left_on, self.right_on, strict=True))
        one, two = self.left.schema, self.right.schema
        return layout(_STEP, one, two, self.how, keys, suffix=self.suffix, coalesce=None)

    @property
    def types(self) -> tuple[pl.DataType, ...]:
        """The types that the keys are compared in."""
        return key_types(_STEP, self.left, self.left_on, self.right, self.right_on)

    @property
    def bounds(self) -> tuple[TimeBound | None, TimeBound | None]:
        """How the watermarks bound the two time columns."""
        left = self.left.properties.times.get(self.left_time)
        right = self.right.properties.times.get(self.right_time)
        return (left.plain if left else None, right.plain if right else None)

    @property
    def incremental(self) -> bool:
        """Whether every pair and every unmatched row is emitted once, when it is certain.

        Otherwise the rows of a key are joined afresh when it is touched, and changes emitted.
        """
        if self.how == "inner":
            return True
        if self.left.properties.changelog or self.right.properties.changelog:
            return False
        return self.how == "semi" or None not in self.bounds

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.ttl_ns is not None or None not in self.bounds
        return None if freed else "all rows of both sides"

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check times and keys; join empty frames."""
        self._check_times()
        _ = self.types
        found = self.columns
        left, right = self.left.properties, self.right.properties
        times = self._times(found)
        events = (found.left.get(left.event_time or ""), found.right.get(right.event_time or ""))
        keys = list(zip(self.left_on, self.right_on, strict=True))
        return found.schema, Properties(
            changelog=left.changelog or right.changelog or not self.incremental,
            keys=unique_keys(self.how, keys, left, right, found),
            times=times,
            event_time=next((name for name in events if name in times), None),
            bounded=left.bounded and right.bounded,
        )

    def _check_times(self) -> None:
        sides = ((self.left, self.left_time), (self.right, self.right_time))
        for node, column in sides:
            require_columns(_STEP, node.schema, [column])
            if not is_event_time(node.schema[column]):
                raise PlanError(
                    f"column {column!r} is {node.schema[column]}, not a Datetime or Date",
                    step=_STEP,
                    value=column,
                    alternatives=[c for c, t in node.schema.items() if is_event_time(t)],
                )
        one, two = (node.schema[column] for node, column in sides)
        if one != two:
            raise PlanError(
                f"time {self.left_time!r} is {one} on the left, {self.right_time!r} is {two} "
                "on the right",
                step=_STEP,
                hint=f'cast one of them, e.g. pl.col("{self.right_time}").cast(pl.{one!r})',
            )
        if self.lower_ns > self.upper_ns:
            raise PlanError(
                f"lower={duration_text(self.lower_ns)} is above "
                f"upper={duration_text(self.upper_ns)}",
                step=_STEP,
                hint="the right time lies in [left + lower, left + upper]",
            )

    def _times(self, found: Layout) -> Mapping[str, TimeBound]:
        """A row leaves with its first match, or when the other side has passed its interval.

        A column that is null in padded rows is not bounded.
        """
        left, right = self.bounds
        if left is None or right is None or not self.incremental:
            return {}
        refine = max(left.refine_ns, right.refine_ns)
        times: dict[str, TimeBound] = {}
        name = found.left.get(self.left_time)
        if name is not None and self.how not in ("right", "full"):
            shift = min(left.shift_ns, right.shift_ns - self.upper_ns)
            times[name] = TimeBound(shift, refine)
        name = found.right.get(self.right_time)
        if name is not None and self.how in ("inner", "right"):
            times[name] = TimeBound(min(right.shift_ns, left.shift_ns + self.lower_ns), refine)
        return times

    def describe(self) -> str:
        """Show how, the keys and the interval."""
        keys = ", ".join(
            f"{a} = {b}" for a, b in zip(self.left_on, self.right_on, strict=True)
        ).replace("\n", " ")
        span = f"[{duration_text(self.lower_ns)}, {duration_text(self.upper_ns)}]"
        near = f"{self.right_time} - {self.left_time} in {span}"
        return f"IntervalJoin {self.how} on [{keys}] {near}"
