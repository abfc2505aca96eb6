"""Answering a SELECT from what tables and views hold now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate, repeat_rows
from penstock.sql_plan.clock import clock_at, statement_time
from penstock.sql_plan.context import Context
from penstock.sql_plan.queries import plan
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.statements import named, output_names
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Catalogue, View, names_of, reading
from penstock.stream import Stream


def planned(catalogue: Catalogue, query: exp.Expr, *, once: bool) -> tuple[Relation, set[str]]:
    """Plan a query over a catalogue; returns the names of the tables and views it reads too.

    What is asked ``once`` reads the clock of the statement, anything else one that moves.
    """
    read: set[str] = set()
    with contextlib.nullcontext() if once else clock_at(None):
        return plan(context_of(catalogue, read, once=once), query, None, None), read


def context_of(catalogue: Catalogue, read: set[str], *, once: bool) -> Context:
    """Return what a query is planned in; ``read`` collects what it reads."""

    def stream_of(name: str) -> Stream | None:
        found = catalogue.get(name.lower())
        if found is None:
            return None
        if isinstance(found, View) and found.contents is None:
            return query_of(name)
        read.add(found.name.lower())
        return reading(found, once=once)

    def query_of(name: str) -> Stream | None:
        found = catalogue.get(name.lower())
        if not isinstance(found, View):
            return None
        read.add(name.lower())
        inside = context_of(catalogue, read, once=once)
        return named(plan(inside, found.query, None, None), found.schema.names())

    return Context(stream_of, lambda: names_of(catalogue), plan, query_of)


def answer(catalogue: Catalogue, query: exp.Expr) -> pl.DataFrame:
    """Return the rows of a query as they are now, in its order."""
    relation, read = planned(catalogue, query, once=True)
    return rows_of(relation, contents_of(catalogue, read), statement_time())


def contents_of(catalogue: Catalogue, names: set[str]) -> Callable[[], dict[str, pl.DataFrame]]:
    """Return what gives the rows of relations by name; a plain view has none of its own."""

    def rows() -> dict[str, pl.DataFrame]:
        found = {}
        for name in names:
            relation = catalogue[name]
            if relation.contents is not None:
                found[relation.name] = relation.contents.rows()
        return found

    return rows


def rows_of(
    relation: Relation, contents: Callable[[], dict[str, pl.DataFrame]], now: int
) -> pl.DataFrame:
    """Run a plan once over rows."""
    delta = Maintained(relation.stream).step(contents(), ended=True, now=now)
    if delta is None:
        delta = pl.DataFrame(schema=relation.stream.schema)
    if WEIGHT in delta.columns:
        delta = repeat_rows(consolidate(delta))
    if relation.order is not None:
        delta = relation.order.sort(delta)
    names = output_names(relation)
    return delta.select(
        pl.col(f.column).alias(name) for f, name in zip(relation.fields, names, strict=True)
    )
