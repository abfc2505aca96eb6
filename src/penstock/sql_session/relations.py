"""What a catalogue holds, and how a plan reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.plan.sources import Scan
from penstock.sql_session.contents import Contents
from penstock.sql_session.feeding import RelationSpec
from penstock.sql_session.maintenance import Maintained
from penstock.stream import Stream


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    dtype: pl.DataType
    required: bool = False
    default: exp.Expr | None = None


@dataclass(slots=True)
class Table:
    """Rows that statements insert, change and delete."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    append_only: bool = False
    watermark: tuple[str, int] | None = None
    contents: Contents = field(init=False)

    def __post_init__(self) -> None:
        self.contents = Contents(self.schema)

    @property
    def schema(self) -> pl.Schema:
        """Names and types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def changelog(self) -> bool:
        """Whether rows may go."""
        return not self.append_only


@dataclass(slots=True)
class View:
    """A query under a name: kept up to date if it has ``maintained``, else put in place of its name.

    ``reads`` are the tables and maintained views below it, ``text`` is its CREATE statement.
    """

    name: str
    query: exp.Expr
    stream: Stream
    reads: frozenset[str]
    text: str
    maintained: Maintained | None = None
    contents: Contents | None = None

    @property
    def schema(self) -> pl.Schema:
        """Names and types."""
        return self.stream.schema

    @property
    def changelog(self) -> bool:
        """Whether rows may go."""
        return self.stream.is_changelog


def reading(relation: Table | View, *, once: bool = False) -> Stream:
    """Return the stream of a relation: its rows and changes, or ``once`` only what it holds now."""
    changelog = relation.changelog and not once
    schema = dict(relation.schema)
    if changelog:
        schema[WEIGHT] = pl.Int64()
    spec = RelationSpec(relation.name, pl.Schema(schema), bounded=once, changelog=changelog)
    stream = Stream(Scan(spec=spec))
    watermark = relation.watermark if isinstance(relation, Table) else None
    if watermark is None or relation.changelog:
        return stream
    column, lateness_ns = watermark
    return stream.with_watermark(column, lateness=f"{lateness_ns}ns")


Catalogue = Mapping[str, Table | View]
