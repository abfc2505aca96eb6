"""What a FROM clause gives: a stream, and the names its columns go by."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.plan.ranking import Ordering
from penstock.sql_plan.dialect import position
from penstock.stream import Stream
from penstock.windows import Window


@dataclass(frozen=True, slots=True)
class Field:
    """A column as SQL sees it: ``table.name``, and the column of the stream that holds it.

    A ``hidden`` one can be named, and is not among those a star stands for. A ``tied`` one is a
    column of USING: without its table another field, which stands for both sides, is meant.
    """

    table: str | None
    name: str
    column: str
    hidden: bool = False
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Windowed:
    """What rows that stand once for each of their windows were ``before``, and the window.

    It holds of the relation whose stream is ``expanded``. ``start`` and ``end`` are the columns of
    the window's ends, ``time`` of its last instant, ``keys`` those that sessions are kept apart by.
    """

    expanded: Stream
    before: Stream
    window: Window
    start: str
    end: str
    time: str
    keys: tuple[str, ...] = ()

    @property
    def on(self) -> str:
        """The column of time that windows are made from."""
        assert self.window.on is not None, "a window of SQL names its column"
        return self.window.on

    @property
    def marks(self) -> set[str]:
        """The columns that tell the window."""
        return {self.start, self.end, self.time}

    def filtered(self, expanded: Stream, predicates: Sequence[pl.Expr]) -> Windowed:
        """Filter the rows as they were before; does not hold if the predicates read the window."""
        read = {name for predicate in predicates for name in predicate.meta.root_names()}
        if read & self.marks:
            return self
        return replace(self, expanded=expanded, before=self.before.filter(*predicates))


@dataclass(frozen=True, slots=True)
class Relation:
    """A stream with columns of unique names, and the fields of the FROM items it was built from.

    ``keys`` are columns that every step has to keep apart: the outer values that a correlated
    subquery is computed for, all of which ``domain`` holds. ``one_row``: at most one row for each.
    """

    stream: Stream
    fields: tuple[Field, ...]
    keys: tuple[str, ...] = ()
    domain: Stream | None = None
    one_row: bool = False
    order: Ordering | None = None
    """The order that ORDER BY of the query asks for, over the columns of the stream."""
    windowed: Windowed | None = None

    @property
    def columns(self) -> set[str]:
        """The names of the stream's columns."""
        return set(self.stream.columns)

    def dtype(self, column: str) -> pl.DataType:
        """Type of a column of the stream."""
        return self.stream.schema[column]

    def filtered(self, predicates: Sequence[pl.Expr]) -> Relation:
        """Keep the rows for which all predicates are true."""
        if not predicates:
            return self
        stream, windowed = self.stream.filter(*predicates), self.windowed
        if windowed is not None and windowed.expanded is self.stream:
            windowed = windowed.filtered(stream, predicates)
        return replace(self, stream=stream, windowed=windowed)

    def pruned(self, wanted: set[str]) -> Relation:
        """Drop the columns that nothing reads; one stays, so that rows can be counted."""
        columns = [c for c in self.stream.columns if c in wanted or c in self.keys]
        columns = columns or self.stream.columns[:1]
        if len(columns) == len(self.stream.columns):
            return self
        fields = tuple(f for f in self.fields if f.column in columns)
        stream, windowed = self.stream.select(columns), self.windowed
        if windowed is not None and windowed.expanded is self.stream:
            windowed = replace(windowed, expanded=stream)
        return replace(self, stream=stream, fields=fields, windowed=windowed)


class Names:
    """Makes column names that are unique in one statement."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def __call__(self, hint: str) -> str:
        """Return a new name that begins with ``hint``."""
        return f"{hint}#{next(self._count)}"


@dataclass(slots=True)
class Scope:
    """The fields a query can name; ``used`` notes the columns that queries inside took from it."""

    fields: tuple[Field, ...]
    parent: Scope | None = None
    used: dict[str, None] = field(default_factory=dict)

    def find(self, node: exp.Column) -> Field:
        """Return the field a column names, of this query or of one around it."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.own(node)
            if found is not None:
                if scope is not self:
                    scope.used[found.column] = None
                return found
            scope = scope.parent
        raise self._unknown(node)

    def chain(self) -> list[Scope]:
        """Return this scope and those around it, innermost first."""
        return [self] if self.parent is None else [self, *self.parent.chain()]

    def mapped(self, columns: Mapping[str, str]) -> Scope:
        """Return the same scopes with other columns, without the fields that have none there."""
        parent = None if self.parent is None else self.parent.mapped(columns)
        kept = (f for f in self.fields if f.column in columns)
        return Scope(tuple(replace(f, column=columns[f.column]) for f in kept), parent)

    def own(self, node: exp.Column) -> Field | None:
        """Return the field of this query that a column names; refuses one that several have."""
        candidates = [f for f in self.fields if _is(node.table, f.table, node.args.get("table"))]
        exact = [f for f in candidates if f.name == node.name]
        if not exact and not node.this.args.get("quoted"):
            exact = [f for f in candidates if f.name.lower() == node.name.lower()]
        if not node.table:
            exact = [f for f in exact if not f.tied] or exact
        if len({f.column for f in exact}) > 1:
            tables = sorted({f"{f.table}.{f.name}" if f.table else f.name for f in exact})
            raise PlanError(
                f"column {node.name!r}{position(node)} is ambiguous",
                step="sql",
                value=node.name,
                alternatives=tables,
            )
        return exact[0] if exact else None

    def of_table(self, table: str | None) -> list[Field]:
        """Return the fields a star stands for."""
        if table is None:
            return self.shown()
        return [f for f in self.fields if not f.hidden and _is(table, f.table, None)]

    def shown(self) -> list[Field]:
        """Return the fields that ``*`` stands for."""
        return [f for f in self.fields if not (f.hidden or f.tied)]

    def names(self) -> set[str]:
        """Return the names of these."""
        return {f.name for f in self.shown()}

    def _unknown(self, node: exp.Column) -> PlanError:
        known: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            fields = [f for f in scope.fields if not f.name.startswith("#")]  # ours
            known += [f"{f.table}.{f.name}" if node.table and f.table else f.name for f in fields]
            scope = scope.parent
        name = f"{node.table}.{node.name}" if node.table else node.name
        return PlanError(
            f"no column {name!r}{position(node)}",
            step="sql",
            value=name,
            alternatives=sorted(set(known)),
            hint="texts stand in single quotes" if node.this.args.get("quoted") else None,
        )


def _is(wanted: str, table: str | None, node: exp.Expr | None) -> bool:
    if not wanted or wanted == table:
        return True
    quoted = node is not None and node.args.get("quoted")
    return not quoted and table is not None and wanted.lower() == table.lower()


def relation_of(
    stream: Stream, table: str | None, names: Names, aliases: Iterable[str] = ()
) -> Relation:
    """Return a table as a FROM item: its columns get names unique in the statement."""
    given = list(aliases)
    shown = given + stream.columns[len(given) :]
    fields = tuple(Field(table, name, names(name)) for name in shown)
    exprs = [pl.col(c).alias(f.column) for c, f in zip(stream.columns, fields, strict=True)]
    return Relation(stream.select(exprs), fields)
