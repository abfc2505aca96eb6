"""Rows for the windows in which nothing was there."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.node import Node, require_columns
from penstock.plan.properties import Properties


class Filling(enum.Enum):
    """What a column holds in a gap: null otherwise."""

    LAST = "last"
    LINEAR = "linear"


@dataclass(frozen=True, eq=False, kw_only=True)
class GapFill(Node):
    """Windows that are closed, with those between them that had no row, for each key.

    From the first window of a key to the last one of any key, on a grid of ``width_ns``. ``fills`` are
    pairs of a column and how it is filled.
    """

    input: Node
    time: str
    keys: tuple[str, ...]
    width_ns: int
    fills: tuple[tuple[str, Filling], ...] = ()

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    @property
    def unbounded_state(self) -> str | None:
        """What is kept that neither the watermark nor a time to live frees."""
        return "the last window of every key" if self.keys else None

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Check the columns; a row is one that no other one follows before it."""
        before, schema = self.input.properties, self.input.schema
        require_columns("gap_fill", schema, [self.time, *self.keys, *(c for c, _ in self.fills)])
        if before.changelog:
            raise PlanError(
                "gaps are filled between windows that are closed, these are changes",
                step="gap_fill",
                hint='emit each window once: emit("final")',
            )
        for column, how in self.fills:
            if how is Filling.LINEAR and schema[column] != pl.Float64:
                raise PlanError(f"{column!r} is {schema[column]}, not Float64", step="gap_fill")
        return schema, Properties(keys=((*self.keys, self.time),), bounded=before.bounded)

    def describe(self) -> str:
        """Show keys and fillings."""
        fills = ", ".join(f"{column} {how.value}" for column, how in self.fills)
        return f"GapFill {self.time} by [{', '.join(self.keys)}] ({fills})"
