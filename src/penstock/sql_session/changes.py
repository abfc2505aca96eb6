"""INSERT, UPDATE, DELETE and TRUNCATE as deltas of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.operators.deltas import consolidate, weighted
from penstock.sql_plan.dialect import PenstockSQL, plain_name, refuse, require_only
from penstock.sql_plan.types import sql_type
from penstock.sql_session.new_rows import Instant, complete, is_default, known, new_rows, timed
from penstock.sql_session.relations import Catalogue, Table
from penstock.sql_session.targets import (
    Picked,
    names_beside,
    numbered,
    picked,
    same_number,
    shown,
    target,
)

_EXCLUDED = "excluded"
_TARGET = "#target"


@dataclass(frozen=True, slots=True)
class Change:
    """What a statement does to a table: the delta, and the rows that RETURNING shows."""

    table: Table
    delta: pl.DataFrame
    rows: pl.DataFrame
    alias: str
    """What the statement calls the table."""
    beside: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """What the other tables of the statement had beside each of the rows."""


def table_of(catalogue: Catalogue, node: exp.Expr, verb: str) -> Table:
    """Return the table a statement changes."""
    table = node.this if isinstance(node, exp.Schema) else node
    found = catalogue.get(plain_name(table).lower())
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


def inserted(catalogue: Catalogue, node: exp.Insert, now: Instant) -> Change:
    """``[WITH ...] INSERT INTO t [(columns)] VALUES ... | SELECT ... [ON CONFLICT ...]``."""
    require_only(node, "this", "expression", "default", "conflict", "returning", "with_")
    table = table_of(catalogue, node.this, "insert into")
    given = [c.name for c in node.this.expressions] if isinstance(node.this, exp.Schema) else None
    names = table.schema.names() if given is None else [known(table, name) for name in given]
    if len(set(names)) != len(names):
        raise refuse(node, "a column is given twice")
    rows = new_rows(catalogue, table, names, node, now)
    if table.key:
        return _keyed(catalogue, table, rows, node, now)
    if node.args.get("conflict") is not None:
        raise refuse(node, f"table {table.name!r} has no primary key to conflict with")
    return Change(table, weighted(rows, 1), rows, node_alias(node.this, table))


def _keyed(
    catalogue: Catalogue, table: Table, rows: pl.DataFrame, node: exp.Insert, now: Instant
) -> Change:
    """Insert into a table with a primary key."""
    key, alias = list(table.key), node_alias(node.this, table)
    conflict = node.args.get("conflict")
    action = conflict.args["action"].name.upper() if conflict is not None else ""
    if conflict is not None and conflict.args.get("conflict_keys"):
        named = {
            known(table, part.name or part.this.name) for part in conflict.args["conflict_keys"]
        }
        if named != set(key):
            raise refuse(conflict, f"the primary key of {table.name!r} is {', '.join(key)}")
    present = table.contents.rows()
    if conflict is not None and action == "DO NOTHING":
        require_only(conflict, "action", "conflict_keys", "expressions")
        fresh = rows.unique(key, keep="first", maintain_order=True)
        fresh = fresh.join(present, on=key, how="anti")
        return Change(table, weighted(fresh, 1), fresh, alias)
    twice = rows.filter(pl.struct(key).is_duplicated())
    if twice.height:
        raise _duplicate(table, twice)
    old = present.join(rows, on=key, how="semi", maintain_order="left")
    if old.height and conflict is None:
        raise _duplicate(table, old)
    if not old.height:
        return Change(table, weighted(rows, 1), rows, alias)
    assert conflict is not None
    fresh = rows.join(old, on=key, how="anti", maintain_order="left")
    gone, updated = _merged(catalogue, table, alias, old, rows, conflict, now)
    delta = consolidate(pl.concat([weighted(gone, -1), weighted(fresh, 1), weighted(updated, 1)]))
    _refuse_duplicates(table, present.join(gone, on=key, how="anti"), pl.concat([fresh, updated]))
    return Change(table, delta, pl.concat([fresh, updated]), alias)


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
    alias: str,
    old: pl.DataFrame,
    rows: pl.DataFrame,
    conflict: exp.OnConflict,
    now: Instant,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """``DO UPDATE SET b = excluded.b [WHERE ...]``: the rows that it changes, and what they become."""
    require_only(conflict, "action", "conflict_keys", "expressions", "where")
    key = list(table.key)
    beside = old.select(key).join(rows, on=key, how="left", maintain_order="left")
    before = numbered(_TARGET, table.columns, old)
    after = numbered(_EXCLUDED, table.columns, beside.select(table.schema.names()))
    assignments = _assignments(table, conflict.expressions, now)
    query = exp.Select(
        from_=exp.From(this=target(_TARGET, alias)),
        joins=[
            exp.Join(
                this=target(_EXCLUDED, _EXCLUDED),
                on=same_number(before, alias, after, _EXCLUDED),
            )
        ],
        where=conflict.args.get("where"),
    )
    world = {**catalogue, _TARGET: before, _EXCLUDED: after}
    found = picked(world, before, query, list(assignments.values()))
    gone = old[found.numbers]
    return gone, _assigned(table, gone, list(assignments), found, now)


def _assignments(table: Table, items: Sequence[exp.Expr], now: Instant) -> dict[str, exp.Expr]:
    """Return what SET gives to each column, ``(a, b) = (1, 2)`` taken apart."""
    new: dict[str, exp.Expr] = {}
    for item in items:
        for column, value in _pairs(item):
            name = known(table, column.name)
            if name in new:
                raise refuse(item, f"column {name!r} is set twice")
            new[name] = _set_to(table, name, value, now)
    return new


def _pairs(item: exp.Expr) -> list[tuple[exp.Expr, exp.Expr]]:
    if not isinstance(item, exp.EQ):
        raise refuse(item, "SET takes column = value")
    if not isinstance(item.this, (exp.Tuple, exp.Paren)):
        return [(item.this, item.expression)]
    columns = item.this.expressions or [item.this.this]
    given = item.expression.unnest()
    if isinstance(given, exp.Select) and not given.args.get("distinct") and not given.is_star:
        values = []
        for cell in given.expressions:
            one = given.copy()
            one.set("expressions", [cell.copy()])
            values.append(exp.Subquery(this=one))
    elif isinstance(item.expression, exp.Tuple):
        values = item.expression.expressions
    else:
        values = [given] if len(columns) == 1 else []
    if len(values) != len(columns):
        raise refuse(item, f"{len(values)} values for {len(columns)} columns")
    return list(zip(columns, values, strict=True))


def _set_to(table: Table, name: str, value: exp.Expr, now: Instant) -> exp.Expr:
    column = next(c for c in table.columns if c.name == name)
    if is_default(value):
        return timed(column.default, now) if column.default is not None else exp.Null()
    if column.generated is not None:
        raise refuse(value, f"column {name!r} is generated, and only takes DEFAULT")
    if isinstance(value, exp.Literal) and value.is_string and column.dtype != pl.String:
        return exp.cast(value, sql_type(column.dtype), dialect=PenstockSQL)
    return value


def _assigned(
    table: Table, old: pl.DataFrame, names: Sequence[str], found: Picked, now: Instant
) -> pl.DataFrame:
    """Return rows as they are after SET."""
    generated = {column.name for column in table.columns if column.generated is not None}
    set_to = dict(zip(names, found.cells.get_columns(), strict=True))
    cells = [set_to.get(c, old[c]).alias(c) for c in old.columns if c not in generated]
    return complete(table, pl.DataFrame(cells), now)


def updated(catalogue: Catalogue, node: exp.Update, now: Instant) -> Change:
    """``[WITH ...] UPDATE t SET a = ... [FROM u] [WHERE ...]``."""
    require_only(node, "this", "expressions", "from_", "where", "returning", "with_")
    table = table_of(catalogue, node.this, "update")
    _refuse_append_only(table, node, "updated")
    beside = [node.args["from_"].this] if node.args.get("from_") else []
    assignments = _assignments(table, node.expressions, now)
    rows = table.contents.rows()
    found = _found(catalogue, table, rows, node, beside, list(assignments.values()))
    if found.numbers.is_duplicated().any():
        raise refuse(node, "a row would be updated twice")
    old = rows[found.numbers]
    new = _assigned(table, old, list(assignments), found, now)
    if set(assignments) & set(table.key):
        _refuse_duplicates(table, _without(rows, found.numbers), new)
    delta = consolidate(pl.concat([weighted(old, -1), weighted(new, 1)]))
    return Change(table, delta, new, node_alias(node.this, table), found.beside)


def _found(
    catalogue: Catalogue,
    table: Table,
    rows: pl.DataFrame,
    node: exp.Update | exp.Delete,
    beside: Sequence[exp.Expr],
    cells: Sequence[exp.Expr],
) -> Picked:
    """Run the WHERE of a statement over the rows of its table, beside those of others."""
    lines = numbered(_TARGET, table.columns, rows)
    query = exp.Select(
        from_=exp.From(this=target(_TARGET, node_alias(node.this, table))),
        joins=[exp.Join(this=other.copy()) for other in beside],
        where=node.args.get("where"),
        with_=node.args.get("with_"),
    )
    shown_beside = names_beside(beside) if node.args.get("returning") else []
    return picked({**catalogue, _TARGET: lines}, lines, query, cells, shown_beside)


def node_alias(node: exp.Expr, table: Table) -> str:
    """Return the name by which a statement calls the table it changes."""
    named = node.this if isinstance(node, exp.Schema) else node
    return named.alias or table.name


def _without(rows: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    return rows.filter(~pl.int_range(rows.height, dtype=pl.UInt32, eager=True).is_in(numbers))


def _refuse_duplicates(table: Table, others: pl.DataFrame, new: pl.DataFrame) -> None:
    """Refuse new rows with one key, or with the key of a row that stays."""
    twice = new.filter(pl.struct(table.key).is_duplicated())
    twice = pl.concat([twice, new.join(others, on=table.key, how="semi")])
    if twice.height:
        raise _duplicate(table, twice)


def _refuse_append_only(table: Table, node: exp.Expr, verb: str) -> None:
    if table.append_only:
        raise refuse(node, f"rows of {table.name!r}, which is append-only, cannot be {verb}")


def deleted(catalogue: Catalogue, node: exp.Delete, _: Instant) -> Change:
    """``[WITH ...] DELETE FROM t [USING u] [WHERE ...]``."""
    require_only(node, "this", "using", "where", "returning", "with_")
    table = table_of(catalogue, node.this, "delete from")
    _refuse_append_only(table, node, "deleted")
    rows = table.contents.rows()
    beside = node.args.get("using") or []
    found = _found(catalogue, table, rows, node, beside, []).first_of_each()
    old = rows[found.numbers]
    delta = consolidate(weighted(old, -1))
    return Change(table, delta, old, node_alias(node.this, table), found.beside)


def emptied(catalogue: Catalogue, node: exp.TruncateTable) -> list[Change]:
    """``TRUNCATE t, u``."""
    found = []
    for part in node.expressions:
        table = table_of(catalogue, part, "truncate")
        _refuse_append_only(table, node, "deleted")
        rows = table.contents.rows()
        found.append(Change(table, consolidate(weighted(rows, -1)), rows, table.name))
    return found


def returned(catalogue: Catalogue, change: Change, node: exp.Expr) -> pl.DataFrame | None:
    """Return what RETURNING asks of the changed rows: the new ones, or those that are gone."""
    clause = node.args.get("returning")
    if clause is None:
        return None
    return shown(catalogue, clause, change.alias, change.table.columns, change.rows, change.beside)
