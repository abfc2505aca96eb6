"""Rows for a table: VALUES, or what a query gave, with defaults, in the types of the columns."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.scalars import cast
from penstock.sql_plan.types import sql_type
from penstock.sql_plan.values import Value, constant, literal_as
from penstock.sql_session.execute import answer
from penstock.sql_session.relations import Catalogue, Column, Table

_DAYS = (pl.Date, pl.Datetime)
"""Types that may be given for one another: a date is its midnight, an instant has a date."""


def new_rows(
    catalogue: Catalogue, table: Table, names: Sequence[str], node: exp.Insert
) -> pl.DataFrame:
    """Return the rows that an INSERT gives for these columns, whole."""
    source = node.expression
    if isinstance(source, exp.Values):
        frame = _written(table, names, source)
    else:
        query = source.copy()
        if node.args.get("with_") is not None:
            query.set("with_", node.args["with_"].copy())
        found = answer(catalogue, query)
        if found.width > len(names):
            raise refuse(node, f"{found.width} values for {len(names)} columns")
        taken = names[: found.width]
        frame = found.rename(dict(zip(found.columns, taken, strict=True)))
    return complete(table, frame)


def _written(table: Table, names: Sequence[str], values: exp.Values) -> pl.DataFrame:
    scalars = scalars_over(pl.Schema())
    by_name = {column.name: column for column in table.columns}
    columns: dict[str, list[Value]] = {name: [] for name in names}
    width = len(values.expressions[0].expressions)
    for row in values.expressions:
        if len(row.expressions) != width or width > len(names):
            raise refuse(row, f"{len(row.expressions)} values for {len(names)} columns")
        for name, cell in zip(names, row.expressions, strict=False):
            default = is_default(cell)
            columns[name].append(_default(by_name[name]) if default else scalars.value(cell))
    return pl.DataFrame([_series(by_name[name], cells) for name, cells in columns.items() if cells])


def is_default(node: exp.Expr) -> bool:
    """Tell whether a cell says DEFAULT."""
    return isinstance(node, (exp.Var, exp.Column)) and node.name.upper() == "DEFAULT"


def _default(column: Column) -> Value:
    if column.default is None:
        return constant(None, column.dtype)
    return scalars_over(pl.Schema()).value(column.default)


def _series(column: Column, cells: list[Value]) -> pl.Series:
    read = [_assignable(column, cell) for cell in cells]
    if all(cell.constant for cell in read):
        found = pl.Series(
            column.name, [cell.literal for cell in read], strict=False, dtype=read[0].dtype
        )
        if all(cell.dtype == column.dtype for cell in read):
            return found
    exprs = (cast(cell, column.dtype, strict=True).alias(column.name) for cell in read)
    try:
        return pl.concat([pl.select(expr) for expr in exprs]).to_series()
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(
            f"a value does not fit column {column.name!r}, {sql_type(column.dtype)}: {reason}",
            step="sql",
        ) from error


def _assignable(column: Column, cell: Value) -> Value:
    if cell.constant and cell.literal is None:
        return constant(None, column.dtype)
    if cell.months:
        raise PlanError(
            f"column {column.name!r} cannot hold months, which have no fixed length",
            step="sql",
            hint="give the interval in days",
        )
    if cell.constant and cell.dtype == pl.String and column.dtype != pl.String:
        try:
            return literal_as(cell, column.dtype)
        except (pl.exceptions.PolarsError, ValueError) as error:
            raise PlanError(
                f"{cell.literal!r} is not a {column.dtype}", step="sql", value=cell.literal
            ) from error
    _refuse_other_type(column, cell.dtype)
    return cell


def complete(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that were left out, and bring all to the table's types."""
    cells = []
    for column in table.columns:
        if column.name in frame.columns:
            value = Value(pl.col(column.name), frame.schema[column.name])
            if frame[column.name].null_count() < frame.height:  # a bare NULL has no type of its own
                _refuse_other_type(column, value.dtype)
        else:
            value = _default(column)
        cells.append(cast(value, column.dtype, strict=True).alias(column.name))
    try:
        whole = frame.select(cells)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(
            f"a value does not fit table {table.name!r}: {reason}", step="sql"
        ) from error
    return _checked(table, whole)


def _refuse_other_type(column: Column, given: pl.DataType) -> None:
    """Refuse what PostgreSQL takes with a cast only, such as a date in a column of numbers."""
    wanted = column.dtype
    fits = (
        given in (wanted, pl.Null)
        or wanted == pl.String
        or type(given) is type(wanted)
        or (given.is_numeric() and wanted.is_numeric())
        or (given in _DAYS and wanted in _DAYS)
    )
    if not fits:
        raise PlanError(
            f"column {column.name!r} is {sql_type(wanted)}, not {sql_type(given)}",
            step="sql",
            value=column.name,
            hint=f"write CAST(... AS {sql_type(wanted)})",
        )


def _checked(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    for column in table.columns:
        if (column.required or column.name in table.key) and frame[column.name].null_count():
            raise PlanError(
                f"column {column.name!r} of table {table.name!r} cannot be null", step="sql"
            )
    return frame
