"""CREATE TABLE and CREATE VIEW: from a statement to what the catalogue holds."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from sqlglot import exp
from sqlglot.errors import ParseError

from penstock.columns import is_reserved
from penstock.errors import PlanError
from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.binding import bound
from penstock.sql_plan.dialect import PenstockSQL, refuse, require_only
from penstock.sql_plan.emission import emitted_once
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Field, Scope
from penstock.sql_plan.statements import named
from penstock.sql_plan.types import dtype_of, sql_type
from penstock.sql_session.contents import Contents
from penstock.sql_session.execute import contents_of, planned
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.new_rows import refuse_other_type, timed
from penstock.sql_session.relations import Catalogue, Column, Table, View

_CONSTRAINTS = "PRIMARY KEY, NOT NULL, DEFAULT, CHECK, GENERATED ALWAYS AS (...) STORED are"
_OF_COLUMN = (
    exp.NotNullColumnConstraint,
    exp.DefaultColumnConstraint,
    exp.ComputedColumnConstraint,
    exp.PrimaryKeyColumnConstraint,
    exp.CheckColumnConstraint,
)
_CREATE = ("this", "kind", "expression", "exists", "replace", "properties")


def table_of(node: exp.Create, *, append_only: bool) -> Table:
    """Return the table that ``CREATE TABLE t (columns and constraints)`` makes."""
    require_only(node, *(part for part in _CREATE if part != "properties"))
    schema = node.this
    if not isinstance(schema, exp.Schema):
        raise refuse(node, "a table needs columns", hint="CREATE TABLE t (a INT, b TEXT)")
    columns: list[Column] = []
    keys: list[tuple[str, ...]] = []
    watermark = None
    checks: list[exp.Expr] = []
    for part in _unnamed(schema.expressions):
        if isinstance(part, exp.ColumnDef):
            column, is_key = column_of(part)
            columns.append(column)
            keys += [(column.name,)] if is_key else []
            checks += checks_of(part)
        elif isinstance(part, exp.PrimaryKey):
            keys.append(tuple(item.name for item in part.expressions))
        elif isinstance(part, exp.WatermarkColumnConstraint):
            watermark = watermark_of(part)
        elif isinstance(part, exp.CheckColumnConstraint):
            checks.append(part.this)
        else:
            raise refuse(part, "this constraint is not supported", hint=_CONSTRAINTS)
    exact = {column.name.lower(): column.name for column in columns}
    key = tuple(exact.get(name.lower(), name) for name in _one_key(keys, node))
    table = Table(schema.this.name, tuple(columns), key, append_only, watermark)
    _check(table, node)
    return with_expressions(table, checks)


def _unnamed(parts: Sequence[exp.Expr]) -> Iterator[exp.Expr]:
    """Yield constraints without their names, which nothing asks for."""
    for part in parts:
        yield from part.expressions if isinstance(part, exp.Constraint) else [part]


def checks_of(node: exp.ColumnDef) -> list[exp.Expr]:
    """Return the CHECK conditions of a column."""
    kinds = (constraint.args["kind"] for constraint in node.args.get("constraints") or [])
    return [kind.this for kind in kinds if isinstance(kind, exp.CheckColumnConstraint)]


def with_expressions(table: Table, checks: Sequence[exp.Expr]) -> Table:
    """Bind the expressions of generated columns and checks to columns, and see that they have types."""
    fields = tuple(Field(table.name, c.name, c.name) for c in table.given)
    every = tuple(Field(table.name, c.name, c.name) for c in table.columns)
    columns = []
    for column in table.columns:
        if column.generated is not None:
            of = bound(column.generated, Scope(fields))
            _refuse_query(of)
            value = scalars_over(pl.Schema({c.name: c.dtype for c in table.given})).value(of)
            refuse_other_type(column, value.dtype)
            column = replace(column, generated=of)
        columns.append(column)
    conditions = [bound(check, Scope(every)) for check in checks]
    for condition in conditions:
        _refuse_query(condition)
        scalars_over(table.schema).predicate(condition)
    return replace(table, columns=tuple(columns), checks=tuple(conditions))


def _refuse_query(node: exp.Expr) -> None:
    if node.find(exp.Query) is not None:
        raise refuse(node, "a generated column or CHECK reads the columns of its row only")


def _one_key(keys: list[tuple[str, ...]], node: exp.Expr) -> tuple[str, ...]:
    if len(keys) > 1:
        raise refuse(node, "a table has one primary key")
    return keys[0] if keys else ()


def _check(table: Table, node: exp.Expr) -> None:
    names = [column.name for column in table.columns]
    lowered = [name.lower() for name in names]
    if not names:
        raise refuse(node, "a table needs columns")
    for name in names:
        if lowered.count(name.lower()) > 1:
            raise refuse(node, f"column {name!r} is given twice")
        if is_reserved(name):
            raise refuse(node, f"column name {name!r} is reserved")
    if len(set(table.key)) < len(table.key):
        raise refuse(node, "a column is in the primary key twice")
    wanted = [*table.key, *([table.watermark[0]] if table.watermark else [])]
    for name in wanted:
        if name not in names:
            raise PlanError(f"no column {name!r}", step="sql", value=name, alternatives=names)
    if table.append_only and table.key:
        raise refuse(node, "an append-only table has no primary key")
    if table.watermark is not None and not table.append_only:
        raise refuse(node, "a watermark needs rows that stay", hint="add APPEND ONLY at the end")


def column_of(node: exp.ColumnDef) -> tuple[Column, bool]:
    """Return the column that a definition declares, and whether it is the primary key."""
    if node.args.get("kind") is None:
        raise refuse(node, "a column needs a type")
    found = {type(c.args["kind"]): c for c in node.args.get("constraints") or []}
    for constraint in node.args.get("constraints") or []:
        if type(constraint.args["kind"]) not in _OF_COLUMN:
            raise refuse(constraint, "this constraint is not supported", hint=_CONSTRAINTS)
    null, default, generated = (
        found[kind].args["kind"] if kind in found else None for kind in _OF_COLUMN[:3]
    )
    if default is not None:
        if default.this.find(exp.Column) is not None:
            raise refuse(node, "a default cannot read columns")
        if generated is not None:
            raise refuse(node, "a generated column has no default")
        scalars_over(pl.Schema()).value(timed(default.this, datetime.datetime.now(datetime.UTC)))
    column = Column(
        node.name,
        dtype_of(node.args["kind"]),
        required=null is not None and not null.args.get("allow_null"),
        default=default and default.this,
        generated=generated and generated.this,
    )
    is_key = exp.PrimaryKeyColumnConstraint in found
    return replace(column, required=column.required or is_key), is_key


def watermark_of(node: exp.WatermarkColumnConstraint) -> tuple[str, int]:
    """``WATERMARK FOR ts AS ts - INTERVAL '5 seconds'``."""
    name, rule = node.this.name, node.expression
    if isinstance(rule, exp.Column) and rule.name == name:
        return name, 0
    if (
        isinstance(rule, exp.Sub)
        and isinstance(rule.expression, exp.Interval)
        and rule.this.name == name
    ):
        span = interval(scalars_over(pl.Schema()), rule.expression)
        if not span.months:
            return name, int(span.literal) * 1_000
    raise refuse(node, f"a watermark is {name}, or {name} less a fixed INTERVAL")


_WIDER: dict[Any, pl.DataType] = {
    pl.Null: pl.String(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
    pl.Int8: pl.Int16(),
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Decimal(20, 0),
    pl.Int128: pl.Decimal(38, 0),
}
"""What holds the values of types that PostgreSQL has no name for."""


def in_sql_types(rows: pl.DataFrame) -> pl.DataFrame:
    """Bring columns to types that a statement can name, by which a table is made again."""
    return rows.select(pl.col(name).cast(_named(name, t)) for name, t in rows.schema.items())


def _named(name: str, dtype: pl.DataType) -> pl.DataType:
    wider = next((wide for kind, wide in _WIDER.items() if dtype == kind), None)
    if wider is not None:
        return wider
    try:
        found = dtype_of(exp.DataType.build(sql_type(dtype), dialect=PenstockSQL))
    except (PlanError, ParseError):
        raise PlanError(
            f"column {name!r} is {dtype}, which no table of SQL holds",
            step="sql",
            value=name,
            hint="CAST it",
        ) from None
    return found


def view_of(
    catalogue: Catalogue,
    node: exp.Create,
    text: str,
    *,
    maintained: bool,
    stands: bool = False,
    on_close: bool = False,
) -> View:
    """Return the view that a statement makes; a maintained one is still to be filled.

    One that ``stands`` for its query reads the clock of the statement that names it. ``on_close``:
    each of its results once, when its window is closed.
    """
    require_only(node, *_CREATE)
    given = [c.name for c in node.this.expressions] if isinstance(node.this, exp.Schema) else []
    name = node.this.this.name if isinstance(node.this, exp.Schema) else node.this.name
    query = node.expression
    if query is None:
        raise refuse(node, "a view needs a query")
    relation, reads = planned(catalogue, query, once=stands)
    names = given + [f.name for f in relation.fields[len(given) :]]
    check_names(names, len(relation.fields), node)
    stream = named(relation, names)
    if on_close:
        stream = emitted_once(stream, node)
    view = View(name, query, stream, frozenset(reads), text)
    if maintained:
        view.maintained, view.contents = Maintained(view.stream), Contents(view.schema)
    return view


def fill(
    catalogue: Catalogue, view: View, now: int, complete: Collection[str] = ()
) -> pl.DataFrame | None:
    """Compute a maintained view afresh from what it reads, and return its rows as a delta.

    ``complete``: the relations that nothing will be added to; ``now``: what the clock says.
    """
    view.maintained, view.contents = Maintained(view.stream), Contents(view.schema)
    ended = {name for name in view.reads if name in complete}
    contents = weighted_contents(catalogue, set(view.reads))
    delta = view.maintained.step(contents, complete=ended, now=now)
    if delta is not None:
        view.contents.apply(delta)
    return delta


def weighted_contents(catalogue: Catalogue, names: set[str]) -> dict[str, pl.DataFrame]:
    """Return the rows of relations as the first delta of a plan that reads them."""
    found = {}
    for name, rows in contents_of(catalogue, names)().items():
        relation = catalogue[name.lower()]
        assert relation.contents is not None
        found[name] = relation.contents.weighted() if relation.changelog else rows
    return found


def check_names(names: list[str], count: int, node: exp.Expr) -> None:
    """Refuse column names of a view that are too many, reserved, or there twice."""
    if len(names) > count:
        raise refuse(node, f"{len(names)} names for {count} columns")
    for name in names:
        if names.count(name) > 1:
            raise refuse(node, f"column {name!r} is there twice", hint="name one of them with AS")
        if is_reserved(name):
            raise refuse(node, f"column name {name!r} is reserved")
