"""INSERT, UPDATE, DELETE and TRUNCATE as deltas of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.errors import PlanError
from penstock.operators.deltas import consolidate, weighted
from penstock.sql_plan.dialect import PenstockSQL, refuse, require_only
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.scalars import cast
from penstock.sql_plan.types import sql_type
from penstock.sql_plan.values import Value, constant, literal_as
from penstock.sql_session.execute import answer
from penstock.sql_session.relations import Catalogue, Column, Table

_EXCLUDED = "excluded"
_DAYS = (pl.Date, pl.Datetime)
"""Types that may be given for one another: a date is its midnight, an instant has a date."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement does to a table: the delta, and the rows that RETURNING shows."""

    table: Table
    delta: pl.DataFrame
    rows: pl.DataFrame


def table_of(catalogue: Catalogue, node: exp.Expr, verb: str) -> Table:
    """Return the table a statement changes."""
    table = node.this if isinstance(node, exp.Schema) else node
    found = catalogue.get(table.name.lower())
    if found is None:
        raise PlanError(
            f"no table {table.name!r}",
            step="sql",
            value=table.name,
            alternatives=[t.name for t in catalogue.values() if isinstance(t, Table)],
        )
    if not isinstance(found, Table):
        raise refuse(table, f"cannot {verb} a view")
    if found.filled_by is not None and verb != "index":
        raise refuse(table, f"cannot {verb} what a {found.filled_by} fills")
    return found


def inserted(catalogue: Catalogue, node: exp.Insert) -> Change:
    """``INSERT INTO t [(columns)] VALUES ... | SELECT ... [ON CONFLICT ...]``."""
    require_only(node, "this", "expression", "conflict", "returning", "with_")
    table = table_of(catalogue, node.this, "insert into")
    given = [c.name for c in node.this.expressions] if isinstance(node.this, exp.Schema) else None
    names = table.schema.names() if given is None else [_known(table, name) for name in given]
    if len(set(names)) != len(names):
        raise refuse(node, "a column is given twice")
    rows = _new_rows(catalogue, table, names, node)
    conflict = node.args.get("conflict")
    if not table.key:
        if conflict is not None:
            raise refuse(node, f"table {table.name!r} has no primary key to conflict with")
        return Change(table, weighted(rows, 1), rows)
    return _keyed(catalogue, table, rows, conflict)


def _known(table: Table, name: str) -> str:
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


def _new_rows(
    catalogue: Catalogue, table: Table, names: Sequence[str], node: exp.Insert
) -> pl.DataFrame:
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
    return _complete(table, frame)


def _written(table: Table, names: Sequence[str], values: exp.Values) -> pl.DataFrame:
    scalars = scalars_over(pl.Schema())
    by_name = {column.name: column for column in table.columns}
    columns: dict[str, list[Value]] = {name: [] for name in names}
    width = len(values.expressions[0].expressions)
    for row in values.expressions:
        if len(row.expressions) != width or width > len(names):
            raise refuse(row, f"{len(row.expressions)} values for {len(names)} columns")
        for name, cell in zip(names, row.expressions, strict=False):
            default = _is_default(cell)
            columns[name].append(_default(by_name[name]) if default else scalars.value(cell))
    return pl.DataFrame([_series(by_name[name], cells) for name, cells in columns.items() if cells])


def _is_default(node: exp.Expr) -> bool:
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
    _refuse_other_type(column, cell.dtype)
    return cell


def _complete(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
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
        complete = frame.select(cells)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise PlanError(
            f"a value does not fit table {table.name!r}: {reason}", step="sql"
        ) from error
    return _checked(table, complete)


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


def _keyed(
    catalogue: Catalogue,
    table: Table,
    rows: pl.DataFrame,
    conflict: exp.OnConflict | None,
) -> Change:
    key = list(table.key)
    action = conflict.args["action"].name.upper() if conflict is not None else ""
    if conflict is not None and conflict.args.get("conflict_keys"):
        named = {
            _known(table, part.name or part.this.name) for part in conflict.args["conflict_keys"]
        }
        if named != set(key):
            raise refuse(conflict, f"the primary key of {table.name!r} is {', '.join(key)}")
    present = table.contents.rows()
    if conflict is not None and action == "DO NOTHING":
        require_only(conflict, "action", "conflict_keys", "expressions")
        fresh = rows.unique(key, keep="first", maintain_order=True)
        fresh = fresh.join(present, on=key, how="anti")
        return Change(table, weighted(fresh, 1), fresh)
    twice = rows.filter(pl.struct(key).is_duplicated())
    if twice.height:
        raise _duplicate(table, twice)
    old = present.join(rows, on=key, how="semi")
    if old.height and conflict is None:
        raise _duplicate(table, old)
    if not old.height:
        return Change(table, weighted(rows, 1), rows)
    assert conflict is not None
    fresh = rows.join(old, on=key, how="anti")
    updated = _merged(catalogue, table, rows, old, conflict)
    delta = consolidate(pl.concat([weighted(old, -1), weighted(fresh, 1), weighted(updated, 1)]))
    _refuse_duplicates(table, delta)
    return Change(table, delta, pl.concat([fresh, updated]))


def _duplicate(table: Table, rows: pl.DataFrame) -> PlanError:
    value = rows.select(table.key).row(0)
    return PlanError(
        f"table {table.name!r} would have two rows with key {value}",
        step="sql",
        value=value,
        hint="use ON CONFLICT DO UPDATE or DO NOTHING",
    )


def _merged(
    catalogue: Catalogue,
    table: Table,
    rows: pl.DataFrame,
    old: pl.DataFrame,
    conflict: exp.OnConflict,
) -> pl.DataFrame:
    """``DO UPDATE SET b = excluded.b``: evaluate over the old rows beside the new ones."""
    require_only(conflict, "action", "conflict_keys", "expressions")
    before, after = Table(table.name, table.columns), Table(_EXCLUDED, table.columns)
    before.contents.apply(old)
    after.contents.apply(rows)
    world = {**catalogue, table.name.lower(): before, _EXCLUDED: after}
    joined = " AND ".join(f'"{table.name}"."{k}" = {_EXCLUDED}."{k}"' for k in table.key)
    query = exp.Select(
        from_=exp.From(this=exp.Table(this=exp.Identifier(this=table.name, quoted=True))),
        joins=[
            exp.Join(this=exp.to_table(_EXCLUDED), on=exp.maybe_parse(joined, dialect="postgres"))
        ],
    )
    return _assigned(world, table, query, conflict.expressions)


def _assigned(
    catalogue: Catalogue, table: Table, query: exp.Select, assignments: Sequence[exp.Expr]
) -> pl.DataFrame:
    """Return rows of the table after SET, which reads what the query's FROM names."""
    new: dict[str, exp.Expr] = {}
    for item in assignments:
        name = _known(table, item.this.name)
        if name in new:
            raise refuse(item, f"column {name!r} is set twice")
        column = next(c for c in table.columns if c.name == name)
        new[name] = exp.Null() if _is_default(item.expression) else _typed(column, item.expression)
        if _is_default(item.expression) and column.default is not None:
            new[name] = column.default
    columns = [exp.Identifier(this=name, quoted=True) for name in table.schema]
    alias = exp.Identifier(this=table.name, quoted=True)
    query.set(
        "expressions",
        [
            exp.alias_(
                new.get(c.name, exp.Column(this=c.copy(), table=alias.copy())), c.name, quoted=True
            )
            for c in columns
        ],
    )
    return _complete(table, answer(catalogue, query))


def _typed(column: Column, node: exp.Expr) -> exp.Expr:
    """A text that is written down takes the type of the column it is given to."""
    if not (isinstance(node, exp.Literal) and node.args.get("is_string")):
        return node
    if column.dtype == pl.String:
        return node
    return exp.Cast(this=node, to=exp.DataType.build(sql_type(column.dtype), dialect=PenstockSQL))


def updated(catalogue: Catalogue, node: exp.Update) -> Change:
    """``UPDATE t SET a = ... [FROM u] [WHERE ...]``."""
    require_only(node, "this", "expressions", "from_", "where", "returning")
    table = table_of(catalogue, node.this, "update")
    _refuse_append_only(table, node, "updated")
    sources = [
        node.this.copy(),
        *([node.args["from_"].this.copy()] if node.args.get("from_") else []),
    ]
    query = exp.Select(
        from_=exp.From(this=sources[0]),
        joins=[exp.Join(this=other) for other in sources[1:]],
        where=node.args.get("where"),
    )
    old = _selected(catalogue, table, query.copy(), node)
    new = _assigned(catalogue, _aliased(table, node), query, node.expressions)
    if len(sources) > 1:
        left = consolidate(pl.concat([table.contents.weighted(), weighted(old, -1)]))
        if (left[WEIGHT] < 0).any():
            raise refuse(node, "a row would be updated twice")
    delta = consolidate(pl.concat([weighted(old, -1), weighted(new, 1)]))
    if table.key:
        _refuse_duplicates(table, delta)
    return Change(table, delta, new)


def _aliased(table: Table, node: exp.Update) -> Table:
    alias = node.this.alias
    return Table(alias, table.columns, table.key) if alias else table


def _refuse_duplicates(table: Table, delta: pl.DataFrame) -> None:
    added = delta.filter(pl.col(WEIGHT) > 0)
    twice = added.filter(pl.struct(table.key).is_duplicated())
    gone = delta.filter(pl.col(WEIGHT) < 0).drop(WEIGHT)
    left = table.contents.rows().join(gone, on=table.schema.names(), how="anti", nulls_equal=True)
    twice = pl.concat([twice, added.join(left, on=table.key, how="semi")])
    if twice.height:
        raise _duplicate(table, twice.drop(WEIGHT))


def _refuse_append_only(table: Table, node: exp.Expr, verb: str) -> None:
    if table.append_only:
        raise refuse(node, f"rows of {table.name!r}, which is append-only, cannot be {verb}")


def _selected(
    catalogue: Catalogue, table: Table, query: exp.Select, node: exp.Expr
) -> pl.DataFrame:
    """Return the rows of the table that a statement's WHERE picks, each once."""
    name = node.this.alias or table.name
    alias = exp.Identifier(this=name, quoted=True)
    query.set(
        "expressions",
        [
            exp.Column(this=exp.Identifier(this=c, quoted=True), table=alias.copy())
            for c in table.schema
        ],
    )
    found = answer(catalogue, query)
    return found.rename(dict(zip(found.columns, table.schema, strict=True)))


def deleted(catalogue: Catalogue, node: exp.Delete) -> Change:
    """``DELETE FROM t [USING u] [WHERE ...]``."""
    require_only(node, "this", "using", "where", "returning")
    table = table_of(catalogue, node.this, "delete from")
    _refuse_append_only(table, node, "deleted")
    query = exp.Select(
        from_=exp.From(this=node.this.copy()),
        joins=[exp.Join(this=other.copy()) for other in node.args.get("using") or []],
        where=node.args.get("where"),
    )
    rows = _selected(catalogue, table, query, node)
    if node.args.get("using"):
        rows = table.contents.rows().join(
            rows.unique(), on=rows.columns, how="semi", nulls_equal=True
        )
    return Change(table, consolidate(weighted(rows, -1)), rows)


def emptied(catalogue: Catalogue, node: exp.TruncateTable) -> list[Change]:
    """``TRUNCATE t, u``."""
    found = []
    for part in node.expressions:
        table = table_of(catalogue, part, "truncate")
        _refuse_append_only(table, node, "deleted")
        rows = table.contents.rows()
        found.append(Change(table, consolidate(weighted(rows, -1)), rows))
    return found


def returned(change: Change, node: exp.Expr) -> pl.DataFrame | None:
    """Return what RETURNING asks of the changed rows."""
    clause = node.args.get("returning")
    if clause is None:
        return None
    table = Table(change.table.name, change.table.columns)
    table.contents.apply(change.rows)
    query = exp.Select(
        expressions=clause.expressions,
        from_=exp.From(this=exp.Table(this=exp.Identifier(this=table.name, quoted=True))),
    )
    return answer({table.name.lower(): table}, query)
