"""Steps that look at one row at a time; neighbours are fused into one Polars query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import polars as pl

from penstock.errors import PlanError
from penstock.plan.bounds import carried_bounds
from penstock.plan.expressions import output_schema
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties, copied_columns, kept_keys

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@dataclass(frozen=True, eq=False, kw_only=True)
class RowStep(Node):
    """Base of the stateless steps.

    ``apply`` runs the step on a frame that may carry hidden columns behind the user's; these are
    passed through.
    """

    input: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:
        """Run the step on a frame, eager or lazy."""
        raise NotImplementedError  # pragma: no cover - every step overrides it


@dataclass(frozen=True, eq=False, kw_only=True)
class Select(RowStep):
    """Row by row, compute the given columns and drop the others."""

    exprs: tuple[pl.Expr, ...]

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Run the expressions on an empty frame."""
        before = self.input.properties
        schema = output_schema(self.exprs, self.input.schema, "select")
        renames = copied_columns(self.exprs)
        times = carried_bounds(self.exprs, self.input.schema, before.times)
        back = {old: new for new, old in renames.items()}
        keys = tuple(tuple(back[c] for c in key) for key in kept_keys(before.keys, back))
        return schema, replace(
            before,
            keys=keys,
            times=times,
            event_time=back.get(before.event_time or ""),
        )

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:
        """Select the expressions and the hidden columns."""
        return frame.select(*self.exprs, *hidden)

    def describe(self) -> str:
        """Show the expressions."""
        return f"Select {_short(self.exprs)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class WithColumns(RowStep):
    """Row by row, add or replace columns."""

    exprs: tuple[pl.Expr, ...]

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Run the expressions on an empty frame."""
        before = self.input.properties
        schema = output_schema(self.exprs, self.input.schema, "with_columns")
        renames = copied_columns(self.exprs)
        written = {expr.meta.output_name() for expr in self.exprs}
        changed = {name for name in written if renames.get(name) != name}
        untouched = [c for c in self.input.schema if c not in changed]
        times = {c: b for c, b in before.times.items() if c not in changed}
        times |= carried_bounds(self.exprs, self.input.schema, before.times)
        event_time = before.event_time if before.event_time in times else None
        keys = kept_keys(before.keys, untouched)
        keys += _copied_keys(before.keys, renames, untouched)
        return schema, replace(before, keys=keys, times=times, event_time=event_time)

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:
        """Add the columns, keeping hidden ones last."""
        result = frame.with_columns(*self.exprs)
        return result.select(*self.schema, *hidden) if hidden else result

    def describe(self) -> str:
        """Show the expressions."""
        return f"WithColumns {_short(self.exprs)}"


def _copied_keys(
    keys: tuple[tuple[str, ...], ...], copies: Mapping[str, str], untouched: list[str]
) -> tuple[tuple[str, ...], ...]:
    """Return the keys under the names of the copies that are made of their columns."""
    new = {old: name for name, old in copies.items() if name != old}
    found = []
    for key in keys:
        names = tuple(new.get(column, column) for column in key)
        if names != key and all(c in new or c in untouched for c in key):
            found.append(names)
    return tuple(found)


@dataclass(frozen=True, eq=False, kw_only=True)
class Filter(RowStep):
    """Keep the rows for which the predicate is true; null is not true."""

    predicate: pl.Expr

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the predicate is Boolean."""
        keep = (self.predicate.alias("keep"),)
        found = output_schema(keep, self.input.schema, "select", "filter")["keep"]
        if found not in (pl.Boolean, pl.Null):
            raise PlanError(f"the predicate is {found}, not Boolean", step="filter")
        return self.input.schema, self.input.properties

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:  # noqa: ARG002 - same for all steps
        """Filter."""
        return frame.filter(self.predicate)

    def describe(self) -> str:
        """Show the predicate."""
        return f"Filter {_short((self.predicate,))}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Explode(RowStep):
    """One row for each element of the list columns."""

    columns: tuple[str, ...]

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the columns are lists."""
        require_columns("explode", self.input.schema, self.columns)
        for name in self.columns:
            if not isinstance(self.input.schema[name], (pl.List, pl.Array)):
                lists = [
                    n for n, t in self.input.schema.items() if isinstance(t, (pl.List, pl.Array))
                ]
                raise PlanError(
                    f"column {name!r} is {self.input.schema[name]}, not a List or Array",
                    step="explode",
                    alternatives=lists,
                )
        empty = pl.DataFrame(schema=self.input.schema)
        try:
            schema = empty.explode(*self.columns).schema
        except pl.exceptions.PolarsError as error:
            raise PlanError(
                str(error).splitlines()[0], step="explode", value=self.columns
            ) from error
        before = self.input.properties
        kept = [c for c in schema if c not in self.columns]
        times = {c: b for c, b in before.times.items() if c in kept}
        return schema, replace(
            before,
            keys=(),
            times=times,
            event_time=before.event_time if before.event_time in times else None,
        )

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:  # noqa: ARG002 - same for all steps
        """Explode."""
        return frame.explode(*self.columns)

    def describe(self) -> str:
        """Show the columns."""
        return f"Explode {', '.join(self.columns)}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Unnest(RowStep):
    """Each field of the struct columns becomes a column."""

    columns: tuple[str, ...]

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the columns are structs and the names stay unique."""
        require_columns("unnest", self.input.schema, self.columns)
        empty = pl.DataFrame(schema=self.input.schema)
        try:
            schema = empty.unnest(*self.columns).schema
        except pl.exceptions.PolarsError as error:
            raise PlanError(
                str(error).splitlines()[0], step="unnest", value=self.columns
            ) from error
        before = self.input.properties
        kept = [c for c in self.input.schema if c not in self.columns]
        return schema, replace(before, keys=kept_keys(before.keys, kept))

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:  # noqa: ARG002 - same for all steps
        """Unnest."""
        return frame.unnest(*self.columns)

    def describe(self) -> str:
        """Show the columns."""
        return f"Unnest {', '.join(self.columns)}"


def _short(exprs: tuple[pl.Expr, ...]) -> str:
    text = ", ".join(str(expr).replace("\n", " ") for expr in exprs)
    return text if len(text) <= 200 else f"{text[:197]}..."
