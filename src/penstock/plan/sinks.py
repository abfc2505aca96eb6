"""Where rows leave a plan."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.connectors.contract import Accepts, SinkSpec
from penstock.errors import PlanError
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties
from penstock.plan.ranking import Sort, unsortable


@dataclass(frozen=True, eq=False, kw_only=True)
class SinkNode(Node):
    """A stream written to a sink; the root of a query."""

    input: Node
    spec: SinkSpec

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it writes."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check that the sink can take this kind of stream and these columns."""
        schema, properties = self.input.schema, self.input.properties
        step = f"sink {self.spec.name}"
        if isinstance(self.input, Sort) and not properties.bounded:
            raise unsortable(self.input)
        require_columns(step, schema, self.spec.key)
        if properties.changelog and self.spec.accepts is Accepts.APPEND:
            raise PlanError(
                "the sink takes append-only rows, these are changes",
                step=step,
                hint='emit each result once with .emit("final"), or write to an upsert sink with a key',
            )
        if (
            self.spec.accepts is Accepts.UPSERT
            and properties.changelog
            and not properties.unique_on(self.spec.key)
        ):
            raise PlanError(
                f"rows are not proven unique on key {self.spec.key}",
                step=step,
                value=self.spec.key,
                alternatives=[", ".join(key) or "(one row)" for key in properties.keys],
                hint="write with the key that the stream is grouped by",
            )
        self.spec.validate(schema)
        return schema, properties

    def describe(self) -> str:
        """Name the sink."""
        return f"Sink {self.spec.name}"
