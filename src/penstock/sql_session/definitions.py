"""CREATE TABLE and CREATE VIEW: from a statement to what the catalogue holds."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
from sqlglot import exp

from penstock.columns import is_reserved
from penstock.errors import PlanError
from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.emission import emitted_once
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.statements import named
from penstock.sql_plan.types import dtype_of
from penstock.sql_session.contents import Contents
from penstock.sql_session.execute import contents_of, planned
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Catalogue, Column, Table, View

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
    for part in schema.expressions:
        if isinstance(part, exp.ColumnDef):
            column, is_key = column_of(part)
            columns.append(column)
            keys += [(column.name,)] if is_key else []
        elif isinstance(part, exp.PrimaryKey):
            keys.append(tuple(item.name for item in part.expressions))
        elif isinstance(part, exp.WatermarkColumnConstraint):
            watermark = watermark_of(part)
        else:
            raise refuse(part, "this constraint is not supported")
    exact = {column.name.lower(): column.name for column in columns}
    key = tuple(exact.get(name.lower(), name) for name in _one_key(keys, node))
    table = Table(schema.this.name, tuple(columns), key, append_only, watermark)
    _check(table, node)
    return table


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
    required, is_key, default = False, False, None
    for constraint in node.args.get("constraints") or []:
        kind = constraint.args["kind"]
        if isinstance(kind, exp.PrimaryKeyColumnConstraint):
            is_key = True
        elif isinstance(kind, exp.NotNullColumnConstraint):
            required = not kind.args.get("allow_null")
        elif isinstance(kind, exp.DefaultColumnConstraint):
            default = kind.this
        else:
            raise refuse(constraint, "this constraint is not supported")
    dtype = dtype_of(node.args["kind"])
    if default is not None:
        if default.find(exp.Column) is not None:
            raise refuse(node, "a default cannot read columns")
        scalars_over(pl.Schema()).value(default)
    return Column(node.name, dtype, required or is_key, default), is_key


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
