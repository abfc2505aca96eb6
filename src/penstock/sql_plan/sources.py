"""The items of a FROM clause: tables, queries, VALUES, functions that give rows, windows."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.scans import scan_batches
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.generated_rows import series
from penstock.sql_plan.relations import Relation, Scope, relation_of
from penstock.sql_plan.values import Value, aligned
from penstock.sql_plan.window_tables import window_table

_ONE = pl.DataFrame({"one": [True]})


def nothing(context: Context) -> Relation:
    """Return one row without columns that anybody can name: what SELECT reads without FROM."""
    name = context.names("one")
    return Relation(scan_batches([_ONE.rename({"one": name})]), (), one_row=True)


def item(
    context: Context, node: exp.Expr, parent: Scope | None, outer: Relation | None
) -> Relation:
    """Return a FROM item, its columns known by its alias."""
    alias = node.args.get("alias")
    columns = [c.name for c in alias.columns] if alias else []
    name = alias.name if alias and alias.name else None
    if isinstance(node, exp.Lateral):
        return item(context, _with_alias(node.this, alias), parent, outer)
    if isinstance(node, exp.Subquery):
        if isinstance(node.this, exp.Table):
            return item(context, node.this, parent, outer)
        found = context.plan(context, node.this, parent, outer)
        return renamed(found, name, columns, node)
    if isinstance(node, exp.Values):
        return _values(context, node, name, columns)
    if isinstance(node, exp.Table):
        return _table(context, node, name, columns, parent, outer)
    raise refuse(node, "cannot stand in FROM")


def _table(
    context: Context,
    node: exp.Table,
    name: str | None,
    columns: list[str],
    parent: Scope | None,
    outer: Relation | None,
) -> Relation:
    """Return a table by its name, or what a function in its place gives."""
    require_only(node, "this", "alias", "joins", "db", "catalog")
    function = node.this
    if isinstance(function, exp.Values):  # so they are read as the first of a parenthesis
        return _values(context, function, name, columns)
    if isinstance(function, exp.Anonymous):
        if function.name.upper() == "TABLE" and len(function.expressions) == 1:
            function = function.expressions[0]  # Flink: TABLE(TUMBLE(TABLE t, ...))
        if not isinstance(function, exp.Anonymous) or not function.expressions:
            raise refuse(node, "this function does not give rows")
        inner = function.expressions[0]
        table = exp.Table(this=inner.this) if isinstance(inner, exp.Column) else inner
        source = item(context, table, parent, outer)
        return renamed(window_table(context, function, source), name or inner.name, columns, node)
    if isinstance(function, exp.Func):
        return series(context, function, name, columns)
    return renamed(_fresh(context, context.table(node)), name or node.name, columns, node)


def _with_alias(node: exp.Expr, alias: exp.Expr | None) -> exp.Expr:
    copy = node.copy()
    if alias is not None:
        copy.set("alias", alias.copy())
    return copy


def _fresh(context: Context, relation: Relation) -> Relation:
    """Give columns new names: a table may stand in FROM twice."""
    renames = {f.column: context.names(f.name) for f in relation.fields}
    fields = tuple(replace(f, column=renames[f.column]) for f in relation.fields)
    exprs = [pl.col(old).alias(new) for old, new in renames.items()]
    exprs += [pl.col(key) for key in relation.keys]
    return replace(relation, stream=relation.stream.select(exprs), fields=fields)


def renamed(relation: Relation, table: str | None, columns: list[str], node: exp.Expr) -> Relation:
    """Let the fields go by the name of the FROM item, the first of them by the given names."""
    if len(columns) > len(relation.fields):
        raise refuse(node, f"{len(columns)} names for {len(relation.fields)} columns")
    names = columns + [f.name for f in relation.fields[len(columns) :]]
    fields = tuple(
        replace(f, table=table, name=name) for name, f in zip(names, relation.fields, strict=True)
    )
    return replace(relation, fields=fields)


def _values(context: Context, node: exp.Values, table: str | None, columns: list[str]) -> Relation:
    scalars = scalars_over(pl.Schema())
    rows = [scalars.values(row.expressions) for row in node.expressions]
    if len({len(row) for row in rows}) != 1:
        raise refuse(node, "the rows of VALUES have different numbers of values")
    frames = []
    for number, cells in enumerate(zip(*rows, strict=True), 1):
        same = aligned(*cells)
        if same is None:
            raise refuse(node, f"column {number} of VALUES has values of different types")
        frames.append(_column(f"column{number}", same).to_frame())
    stream = scan_batches([pl.concat(frames, how="horizontal")])
    return relation_of(stream, table, context.names, columns)


def _column(name: str, cells: list[Value]) -> pl.Series:
    """Return computed cells of one type as a column; what is written down needs no query."""
    if all(cell.constant for cell in cells):
        return pl.Series(name, [cell.literal for cell in cells], dtype=cells[0].dtype, strict=False)
    return pl.concat([pl.select(cell.expr.alias(name)) for cell in cells]).to_series()
