"""Steps that run a user's Python function, which need not be deterministic."""

from __future__ import annotations

import enum
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from penstock.errors import ConfigError
from penstock.plan.node import Node
from penstock.plan.properties import Properties
from penstock.plan.rows import RowStep


class BatchKind(enum.Enum):
    """What a function of batches takes and returns."""

    POLARS = "polars"  # polars.DataFrame
    ARROW = "arrow"  # pyarrow.Table
    PANDAS = "pandas"  # pandas.DataFrame

    def require(self) -> None:
        """Raise a ``ConfigError`` naming the extra, if the library is not installed."""
        needed = {BatchKind.ARROW: ("pyarrow",), BatchKind.PANDAS: ("pandas", "pyarrow")}
        for module in needed.get(self, ()):
            if importlib.util.find_spec(module) is None:
                raise ConfigError(
                    f"the Python package {module!r} is not installed",
                    step="map_batches",
                    value=module,
                    hint=f"pip install 'penstock[{self.value}]'",
                )


class Rows(enum.Enum):
    """How the rows that a function of batches returns belong to those it was given."""

    ANY = "any"  # any number of rows for each row
    SAME = "same"  # one row for each row, in order


@dataclass(frozen=True, eq=False, kw_only=True)
class Function(Node):
    """Base of the steps that call a function; what leaves has the declared ``output`` schema.

    Nothing is known of what the function does to keys and times, so none of them is kept.
    """

    input: Node
    function: Callable[..., Any]
    output: pl.Schema

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The one node it reads."""
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Take the declared schema."""
        before = self.input.properties
        return self.output, Properties(
            changelog=before.changelog, bounded=before.bounded, partitioned=before.partitioned
        )

    def describe(self) -> str:
        """Name the function."""
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return f"{self.kind} {name}"


@dataclass(frozen=True, eq=False, kw_only=True)
class MapBatches(Function):
    """Call a function with each batch."""

    batch: BatchKind = BatchKind.POLARS
    rows: Rows = Rows.ANY


@dataclass(frozen=True, eq=False, kw_only=True)
class MapRows(Function):
    """Call a function with each row as a dict; it returns a dict, a list of dicts, or None."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Remember(Node):
    """A row step over changes whose expressions are not deterministic.

    What it gave for a row is stored, so that the deletion of the row takes back exactly that.
    """

    row_step: RowStep

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The node that the row step reads."""
        return (self.row_step.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Take over what the row step derives."""
        return self.row_step.schema, replace(self.row_step.properties)

    def describe(self) -> str:
        """Show the row step."""
        return f"Remember {self.row_step.describe()}"
