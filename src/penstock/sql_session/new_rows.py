"""Rows for a table: VALUES, or what a query gave, with defaults, in the types of the columns."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.casts import cast
from penstock.sql_plan.dialect import PenstockSQL, refuse, require_only
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.types import sql_type
from penstock.sql_plan.values import Value, constant, literal_as
from penstock.sql_session.execute import answer
from penstock.sql_session.relations import Catalogue, Column, Table

Instant = datetime.datetime
"""The time of a statement, in UTC: ``now()`` is the same in all of it."""

_CONSTANTS = scalars_over(pl.Schema())
_NOTHING = "#nothing"
"""The column of a frame that gives no column of a table, so that it has as many rows."""

_NOW = {
    exp.CurrentTimestamp: "timestamptz",
    exp.CurrentDate: "date",
    exp.Localtimestamp: "timestamp",
    exp.CurrentTime: "time",
}
_DAYS = (pl.Date, pl.Datetime)
"""Types that may be given for one another: a date is its midnight, an instant has a date."""


def known(table: Table, name: str) -> str:
    """Return the column of a table that a statement names."""
    exact = [c for c in table.schema if c == name] or [
        c for c in table.schema if c.lower() == name.lower()
    ]
    if not exact:
        raise PlanError(
            f"table {table.name!r} has no column {name!r}",
            step="sql",
            value=name,
            alternatives=table.schema.names(),
        )
    return exact[0]


def new_rows(
    catalogue: Catalogue, table: Table, names: Sequence[str], node: exp.Insert, now: Instant
) -> pl.DataFrame:
    """Return the rows that an INSERT gives for these columns, whole."""
    source = node.expression
    if node.args.get("default"):
        return complete(table, pl.DataFrame({_NOTHING: [None]}), now)
    if isinstance(source, exp.Values):
        require_only(source, "expressions")
        return complete(table, _written(catalogue, table, names, node, now), now)
    query = source.copy()
    if node.args.get("with_") is not None:
        query.set("with_", node.args["with_"].copy())
    found = answer(catalogue, query)
    if found.width > len(names):
        raise refuse(node, f"{found.width} values for {len(names)} columns")
    taken = names[: found.width]
    _refuse_generated(table, taken, node)
    return complete(table, found.rename(dict(zip(found.columns, taken, strict=True))), now)


def _refuse_generated(table: Table, names: Sequence[str], node: exp.Expr) -> None:
    for column in table.columns:
        if column.name in names and column.generated is not None:
            raise refuse(node, f"column {column.name!r} is generated, and only takes DEFAULT")


def _written(
    catalogue: Catalogue, table: Table, names: Sequence[str], node: exp.Insert, now: Instant
) -> pl.DataFrame:
    rows = node.expression.expressions
    by_name = {column.name: column for column in table.columns}
    columns: dict[str, list[Value]] = {name: [] for name in names}
    width = len(rows[0].expressions)
    for row in rows:
        if len(row.expressions) != width or width > len(names):
            raise refuse(row, f"{len(row.expressions)} values for {len(names)} columns")
        for name, cell in zip(names, row.expressions, strict=False):
            default = is_default(cell)
            columns[name].append(
                _default(by_name[name], now)
                if default
                else _cell(catalogue, table, name, cell, node)
            )
    given = {name: cells for name, cells in columns.items() if by_name[name].generated is None}
    return pl.DataFrame(
        [
            pl.Series(_NOTHING, [None] * len(rows)),
            *(_series(by_name[name], cells) for name, cells in given.items() if cells),
        ]
    )


def _cell(catalogue: Catalogue, table: Table, name: str, cell: exp.Expr, node: exp.Insert) -> Value:
    _refuse_generated(table, [name], node)
    if cell.find(exp.Query) is None:
        return _CONSTANTS.value(cell)
    query = exp.Select(expressions=[cell.copy()], with_=node.args.get("with_"))
    found = answer(catalogue, query).to_series()
    return constant(found.item() if found.len() else None, found.dtype)


def is_default(node: exp.Expr) -> bool:
    """Tell whether a cell says DEFAULT."""
    return isinstance(node, (exp.Var, exp.Column)) and node.name.upper() == "DEFAULT"


def _default(column: Column, now: Instant) -> Value:
    if column.default is None:
        return constant(None, column.dtype)
    return _CONSTANTS.value(timed(column.default, now))


def timed(node: exp.Expr, now: Instant) -> exp.Expr:
    """Return an expression or statement with its own time in place of ``now()``."""
    if not any(True for _ in node.find_all(*_NOW)):
        return node
    naive = now.replace(tzinfo=None)

    def replaced(part: exp.Expr) -> exp.Expr:
        kind = next((_NOW[one] for one in _NOW if isinstance(part, one)), None)
        if kind is None or part.args.get("this") is not None:
            return part
        said = {"date": str(naive.date()), "time": str(naive.time())}.get(kind, str(naive))
        return exp.cast(exp.Literal.string(said), kind)

    return node.transform(replaced)


def _series(column: Column, cells: list[Value]) -> pl.Series:
    """Return cells as one column of the table's type: those of one type at once."""
    read = [_assignable(column, cell) for cell in cells]
    kinds: dict[pl.DataType, list[int]] = {}
    for at, cell in enumerate(read):
        kinds.setdefault(cell.dtype if cell.constant else pl.Unknown(), []).append(at)
    try:
        found = [_cast(column, [read[at] for at in places]) for places in kinds.values()]
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(
            f"a value does not fit column {column.name!r}, {sql_type(column.dtype)}: {reason}",
            step="sql",
        ) from error
    order = pl.Series([at for places in kinds.values() for at in places], dtype=pl.UInt32)
    return pl.concat(found).gather(order.arg_sort()).alias(column.name)


def _cast(column: Column, cells: list[Value]) -> pl.Series:
    if not cells[0].constant:
        exprs = (cast(cell, column.dtype, strict=True).alias(column.name) for cell in cells)
        return pl.concat([pl.select(expr) for expr in exprs]).to_series()
    dtype = cells[0].dtype
    given = pl.DataFrame({column.name: pl.Series([cell.literal for cell in cells], dtype=dtype)})
    value = Value(pl.col(column.name), dtype)
    return given.select(cast(value, column.dtype, strict=True).alias(column.name)).to_series()


def _assignable(column: Column, cell: Value) -> Value:
    if cell.constant and cell.literal is None:
        return constant(None, column.dtype)
    if cell.has_months:
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
                f"column {column.name!r}: {cell.literal!r} is not a {sql_type(column.dtype)}",
                step="sql",
                value=cell.literal,
            ) from error
    refuse_other_type(column, cell.dtype)
    return cell


def complete(table: Table, frame: pl.DataFrame, now: Instant) -> pl.DataFrame:
    """Add the columns that were left out, bring all to the table's types, and check the rows."""
    cells = []
    for column in table.given:
        if column.name in frame.columns:
            value = Value(pl.col(column.name), frame.schema[column.name])
            if frame[column.name].null_count() < frame.height:  # a bare NULL has no type of its own
                refuse_other_type(column, value.dtype)
            cells.append(cast(value, column.dtype, strict=True).alias(column.name))
        else:
            cast_to = cast(_default(column, now), column.dtype, strict=True)
            cells.append(pl.repeat(cast_to, pl.len(), dtype=column.dtype).alias(column.name))
    try:
        return checked(table, frame.select(cells))
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(
            f"a value does not fit table {table.name!r}: {reason}", step="sql"
        ) from error


def checked(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that are computed from others, and refuse rows that the table does not take."""
    scalars = scalars_over(frame.schema)
    computed = [
        cast(scalars.of_rows(column.generated), column.dtype, strict=True).alias(column.name)
        for column in table.columns
        if column.generated is not None
    ]
    whole = frame.with_columns(computed).select(table.schema.names())
    for column in table.columns:
        if (column.required or column.name in table.key) and whole[column.name].null_count():
            raise PlanError(
                f"column {column.name!r} of table {table.name!r} cannot be null", step="sql"
            )
    for check in table.checks:
        holds = whole.select(scalars_over(whole.schema).predicate(check)).to_series()
        if not holds.all(ignore_nulls=True):
            text = check.sql(dialect=PenstockSQL)
            raise PlanError(
                f"a row of table {table.name!r} does not satisfy CHECK ({text})",
                step="sql",
                value=str(whole.filter(~holds).row(0)) if len(holds) == whole.height else text,
            )
    return whole


def refuse_other_type(column: Column, given: pl.DataType) -> None:
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
