"""The door to SQL: one query over streams that are given by name."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError
from penstock.plan.narrowing import narrowed
from penstock.scans import scan_batches
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import Marked, nesting_limited, refuse, statements
from penstock.sql_plan.queries import plan
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.user_functions import created_function, with_functions
from penstock.stream import Stream


def sql(query: str, /, **tables: Any) -> Stream:
    """Return the result of an SQL query over streams (or Polars frames) as a stream.

    Tables are named by keyword; the query may use them in any way, the result is kept up to date
    as they change; a quoted file or URL is a table too (``FROM 'orders.csv'``). Expressions and
    types are PostgreSQL's. ORDER BY counts with LIMIT; a stream has
    no order of its own. ``EMIT ON WINDOW CLOSE`` at the end: groups leave once, when the watermark has
    passed them. ``CREATE FUNCTION`` statements may stand before the query.

    >>> import penstock as ps, polars as pl
    >>> bids = ps.scan_batches([pl.DataFrame({"auction": [1, 1, 2], "price": [5, 7, 3]})])
    >>> top = ps.sql("SELECT auction, max(price) AS best FROM bids GROUP BY auction", bids=bids)
    >>> top.collect().sort("auction").rows()
    [(1, 7), (2, 3)]
    """
    found = statements(query)
    made = [created_function(node) for node in map(_function, found[:-1]) if node is not None]
    if len(found) != len(made) + 1:
        raise PlanError(f"one query is needed, not {len(found)} statements", step="sql")
    marked = found[-1]
    statement = marked.node
    if not isinstance(statement, (exp.Query, exp.Values)) or marked.changelog or marked.append_only:
        raise refuse(statement, "not a query", hint="write SELECT ...")
    with_functions(statement, {function.name.lower(): function for function in made})
    streams = {name.lower(): as_stream(name, table) for name, table in tables.items()}
    streams = _narrowed(statement, streams)
    context = Context(
        lambda name: streams.get(name.lower()),
        lambda: list(tables),
        plan,
        on_close=marked.on_close,
    )
    with nesting_limited():
        return shown(plan(context, statement, None, None))


def _function(marked: Marked) -> exp.Create | None:
    node = marked.node
    if isinstance(node, exp.Create) and str(node.args.get("kind")).upper() == "FUNCTION":
        return node
    return None


def _narrowed(statement: exp.Expr, streams: dict[str, Stream]) -> dict[str, Stream]:
    """Leave out of files what the query does not name; a star, and NATURAL, name everything."""
    stars = (
        star for star in statement.find_all(exp.Star) if not isinstance(star.parent, exp.Count)
    )
    natural = (j for j in statement.find_all(exp.Join) if (j.method or "").upper() == "NATURAL")
    if any(True for _ in stars) or any(True for _ in natural):
        return streams
    named = {node.name.lower() for node in statement.find_all(exp.Identifier)}
    read = {id(stream): stream for name, stream in streams.items() if name in named}
    wanted = [
        (stream.node, [column for column in stream.columns if column.lower() in named])
        for stream in read.values()
    ]
    less = {key: Stream(node) for key, node in zip(read, narrowed(wanted), strict=True)}
    return {name: less.get(id(stream), stream) for name, stream in streams.items()}


def as_stream(name: str, table: Any) -> Stream:
    """Return a stream, or the rows of a Polars frame, as a stream."""
    if isinstance(table, Stream):
        return table
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if isinstance(table, pl.DataFrame):
        return scan_batches([table])
    raise PlanError(
        f"table {name!r} is a {type(table).__name__}",
        step="sql",
        hint="give a Stream or a Polars frame",
    )


def shown(relation: Relation) -> Stream:
    """Return a query's stream with its columns named as the query names them, each once."""
    return named(relation, output_names(relation))


def named(relation: Relation, names: list[str]) -> Stream:
    """Return a query's stream with these column names."""
    cells = [pl.col(f.column).alias(n) for f, n in zip(relation.fields, names, strict=True)]
    return relation.stream.select(cells)


def output_names(relation: Relation) -> list[str]:
    """Return the names of a query's columns; a name given twice gets a number, as in DuckDB."""
    names: list[str] = []
    for field in relation.fields:
        name, again = field.name, 1
        while name in names:
            name, again = f"{field.name}_{again}", again + 1
        names.append(name)
    return names
