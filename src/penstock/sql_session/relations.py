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
    generated: exp.Expr | None = None


@dataclass(slots=True)
class Table:
    """Rows that statements insert, change and delete, or that the session itself brings.

    ``filled_by`` says what brings them: a source, a changelog or a stream; None: statements.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    append_only: bool = False
    watermark: tuple[str, int] | None = None
    filled_by: str | None = None
    checks: tuple[exp.Expr, ...] = ()
    contents: Contents = field(init=False)

    def __post_init__(self) -> None:
        self.contents = Contents(self.schema)

    @property
    def schema(self) -> pl.Schema:
        """Names and types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def given(self) -> tuple[Column, ...]:
        """The columns that are not computed from others."""
        return tuple(column for column in self.columns if column.generated is None)

    @property
    def changelog(self) -> bool:
        """Whether rows may go."""
        return not self.append_only

    @property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """The primary key, if there is one."""
        return (self.key,) if self.key else ()


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
    followed: bool = False
    """Whether it has no name for statements: a pipeline follows the query."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types."""
        return self.stream.schema

    @property
    def changelog(self) -> bool:
        """Whether rows may go."""
        return self.stream.is_changelog

    @property
    def unique_keys(self) -> tuple[tuple[str, ...], ...]:
        """What the plan proves unique."""
        return self.stream.node.properties.keys


def reading(relation: Table | View, *, once: bool = False) -> Stream:
    """Return the stream of a relation: its rows and changes, or ``once`` only what it holds now.

    A watermark follows from the rows alone, not from the clock: computed afresh, a view comes out the
    same. What a relation holds now is read whole, late rows too.
    """
    changelog = relation.changelog and not once
    schema = dict(relation.schema)
    if changelog:
        schema[WEIGHT] = pl.Int64()
    spec = RelationSpec(
        relation.name,
        pl.Schema(schema),
        bounded=once,
        changelog=changelog,
        unique_keys=relation.unique_keys,
    )
    stream = Stream(Scan(spec=spec))
    watermark = relation.watermark if isinstance(relation, Table) else None
    if watermark is None or relation.changelog or once:
        return stream
    column, lateness_ns = watermark
    lateness = f"{lateness_ns}ns"
    return stream.with_watermark(column, lateness, idle_timeout=None, max_ahead=None)


Catalogue = Mapping[str, Table | View]


def names_of(catalogue: Catalogue) -> list[str]:
    """Return the names that statements can use."""
    found = catalogue.values()
    return [r.name for r in found if not (isinstance(r, View) and r.followed)]
