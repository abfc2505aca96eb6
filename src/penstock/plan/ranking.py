"""Steps about the order of rows: the k best of each group, all rows sorted, the first rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import output_schema
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties


@dataclass(frozen=True, slots=True)
class Ordering:
    """What ``DataFrame.sort`` takes: row-wise expressions, and for each the two flags."""

    by: tuple[pl.Expr, ...]
    descending: tuple[bool, ...]
    nulls_last: tuple[bool, ...]

    def sort(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Sort a frame; rows that compare equal stay in order."""
        return frame.sort(
            *self.by,
            descending=list(self.descending),
            nulls_last=list(self.nulls_last),
            maintain_order=True,
        )

    def describe(self) -> str:
        """Show expressions and directions."""
        parts = [
            f"{expr!s}{' desc' if down else ''}"
            for expr, down in zip(self.by, self.descending, strict=True)
        ]
        return ", ".join(parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class TopK(Node):
    """The ``k`` first rows of each group in an order, as changes.

    Rows that compare equal: the one that arrived first comes first; in a changelog, which has no
    order of arrival, the smaller by all columns. ``rank`` adds a column 1, 2, ... k.
    """

    input: Node
    k: int
    order: Ordering
    keys: tuple[str, ...] = ()
    rank: str | None = None
    ttl_ns: int | None = None
    max_group_rows: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        freed = self.ttl_ns is not None or any(k in self.input.properties.times for k in self.keys)
        if freed:
            return None
        if self.input.properties.changelog:
            return "all rows, as any of them may come into the top"
        return f"{self.k} rows for every key" if self.keys else None

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the expressions; add the rank."""
        before, schema = self.input.properties, self.input.schema
        require_columns("top_k", schema, self.keys)
        _check_order("top_k", self.order, schema)
        if not isinstance(self.k, int) or self.k < 1:
            raise PlanError(f"k must be a positive integer, not {self.k!r}", step="top_k")
        keys = before.keys
        columns: dict[str, pl.DataType] = dict(schema)
        if self.rank is not None:
            if self.rank in schema:
                raise PlanError(
                    f"column {self.rank!r} is there already",
                    step="top_k",
                    hint='choose another name with rank="..."',
                )
            columns[self.rank] = pl.Int64()
            keys = (*keys, (*self.keys, self.rank))
        if self.k == 1 and self.keys:
            keys = (*keys, self.keys)
        return pl.Schema(columns), Properties(
            changelog=True,
            keys=keys,
            times={name: b for name, b in before.times.items() if name in self.keys},
            event_time=before.event_time if before.event_time in self.keys else None,
            bounded=before.bounded,
        )

    def describe(self) -> str:
        """Show k, the groups and the order."""
        return f"TopK {self.k} of [{', '.join(self.keys)}] by {self.order.describe()}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sort(Node):
    """All rows of an input that ends, sorted, at the end."""

    input: Node
    order: Ordering

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Require an end."""
        before = self.input.properties
        _check_order("sort", self.order, self.input.schema)
        return self.input.schema, Properties(keys=before.keys, bounded=before.bounded)

    def describe(self) -> str:
        """Show the order."""
        return f"Sort by {self.order.describe()}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Limit(Node):
    """The first ``count`` rows in order of arrival."""

    input: Node
    count: int

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Require rows that are never retracted."""
        before = self.input.properties
        if before.changelog:
            raise PlanError(
                "changes have no first rows",
                step="limit",
                hint="say which rows are first: .sort(by).limit(n), or .top_k(n, by=...)",
            )
        return self.input.schema, replace(before, partitioned=False)

    def describe(self) -> str:
        """Show the count."""
        return f"Limit {self.count}"


def unsortable(node: Sort) -> PlanError:
    """Return the error of sorting rows that never end."""
    return PlanError(
        "a stream that never ends cannot be sorted",
        step="sort",
        hint="keep the first rows with .sort(by).limit(n), or sort the result of collect()",
        line=node.line,
    )


def final_order(node: Node) -> Ordering | None:
    """Return the order in which the rows of a node's contents are to be shown, if it has one."""
    return node.order if isinstance(node, (TopK, Sort)) else None


def _check_order(step: str, order: Ordering, schema: pl.Schema) -> None:
    if not order.by:
        raise PlanError("by is empty", step=step, alternatives=list(schema))
    named = [expr.alias(f"by_{number}") for number, expr in enumerate(order.by)]
    types = output_schema(named, schema, "select", step).values()
    for expr, dtype in zip(order.by, types, strict=True):
        if dtype.is_nested() or isinstance(dtype, pl.Object):
            raise PlanError(f"{expr} is {dtype}, which has no order", step=step)
