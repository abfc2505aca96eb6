"""Steps that run a user's processor: code per key, with state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.columns import is_reserved
from penstock.errors import PlanError
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties
from penstock.processors import BatchProcessor, Processor

AnyProcessor = Processor | BatchProcessor | type[Processor] | type[BatchProcessor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Process(Node):
    """Call a processor for the keys that an epoch touches. The output is append-only."""

    input: Node
    processor: AnyProcessor
    keys: tuple[str, ...]
    ttl_ns: int | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def name(self) -> str:
        """The name of the processor's class."""
        given = self.processor
        return given.__name__ if isinstance(given, type) else type(given).__name__

    @property
    def state_schema(self) -> pl.Schema:
        """The declared state columns."""
        return self._declared("state")

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        return "the state of every key" if self.ttl_ns is None else None

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the processor, its declarations and the keys."""
        kind = self.processor if isinstance(self.processor, type) else type(self.processor)
        if not issubclass(kind, (Processor, BatchProcessor)):
            raise PlanError(
                f"not a processor: {self.processor!r}",
                step="process",
                hint="give a subclass of ps.Processor or ps.BatchProcessor",
            )
        require_columns("process", self.input.schema, self.keys)
        before = self.input.properties
        if before.changelog and not self.processor.changes:
            raise PlanError(
                f"{self.name} takes append-only rows, these are changes",
                step="process",
                hint="declare changes = True in the class and heed the _weight of its rows, "
                'or put .emit("final") before',
            )
        self._check_state()
        output = self._declared("output")
        if not output:
            raise PlanError(f"{self.name} declares no output columns", step="process")
        if kind.process in (Processor.process, BatchProcessor.process):
            raise PlanError(
                f"{self.name} has no method process",
                step="process",
                hint="write what is to be done with the rows of a key: def process(self, ...)",
            )
        return output, Properties(bounded=before.bounded)

    def _check_state(self) -> None:
        for column in self.state_schema:
            if column in self.keys or is_reserved(column):
                taken = "a key" if column in self.keys else "reserved"
                raise PlanError(
                    f"state column {column!r} of {self.name} is {taken}",
                    step="process",
                    hint="call it something else",
                )

    def _declared(self, what: str) -> pl.Schema:
        declared: Mapping[str, Any] = getattr(self.processor, what)
        try:
            schema = pl.DataFrame(schema=dict(declared)).schema
        except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise PlanError(
                f"{what} of {self.name} is not a mapping of names to types: {error}", step="process"
            ) from error
        untyped = next((name for name, t in schema.items() if t == pl.Unknown), None)
        if untyped is not None:
            raise PlanError(f"{what} column {untyped!r} of {self.name} has no type", step="process")
        return schema

    def describe(self) -> str:
        """Show the processor and its keys."""
        return f"Process {self.name} by [{', '.join(self.keys)}]"
