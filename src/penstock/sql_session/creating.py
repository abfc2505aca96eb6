"""CREATE SOURCE, SINK and AS CHANGELOG FROM in a session: what they make, checked before it begins."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.errors import CheckpointError, PenstockError, PlanError
from penstock.plan.node import walk
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan
from penstock.sql_plan.binding import bound
from penstock.sql_plan.dialect import Marked, created_name, refuse
from penstock.sql_plan.relations import Field, Scope
from penstock.sql_session.changes import table_of
from penstock.sql_session.connecting import sink_spec
from penstock.sql_session.definitions import view_of
from penstock.sql_session.looking import HISTORY
from penstock.sql_session.outflow import OPERATION, Delivery, Outflow
from penstock.sql_session.relations import Catalogue, Column, Table, View
from penstock.sql_session.sources import TIMING, declared, source_of
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream


def source_table(marked: Marked, node: exp.Create) -> tuple[Table, Stream]:
    """Return the table that a source fills, and the stream that fills it."""
    for option in TIMING:
        if option in marked.clauses.options:
            raise refuse(
                node,
                f"{option} is not supported in a session",
                hint="there a watermark follows from the rows alone, not from the clock",
            )
    stream, watermark = source_of(node, marked.clauses)
    if watermark is not None:
        _check_watermark(stream, node)
    return _filled(
        created_name(node), stream.schema, watermark, kept=not stream.is_changelog
    ), stream


def _check_watermark(stream: Stream, node: exp.Create) -> None:
    if stream.is_changelog:
        raise refuse(node, "a watermark needs rows that stay, the source brings changes")
    if any(isinstance(step, Scan) and step.spec.partitioned for step in walk(stream.node)):
        raise refuse(
            node,
            "a source of several partitions cannot have a watermark in a session",
            hint="run it as a pipeline: penstock run file.sql",
        )


def _filled(
    name: str, schema: Mapping[str, pl.DataType], watermark: tuple[str, int] | None, *, kept: bool
) -> Table:
    columns = tuple(Column(c, dtype) for c, dtype in schema.items() if c != WEIGHT)
    return Table(name, columns, append_only=kept, watermark=watermark, filled_by="source")


def reopened_source(
    marked: Marked, node: exp.Create, before: pl.Schema
) -> tuple[Table, Stream | Exception]:
    """Return what ``source_table`` does; a source that is not what it was comes back as an error.

    The session can be opened then, with all rows that were read, and the source be dropped.
    """
    kept = WEIGHT not in before
    try:
        table, stream = source_table(marked, node)
    except PenstockError as error:
        return _filled(created_name(node), before, declared(node)[1], kept=kept), error
    if dict(table.schema) == {c: t for c, t in before.items() if c != WEIGHT}:
        return table, stream
    changed = CheckpointError(
        f"the columns of source {table.name!r} are no longer what they were",
        step="session",
        value=str(dict(table.schema)),
        hint=f"they were {dict(before)}; DROP the source, or bring them back",
    )
    return _filled(table.name, before, table.watermark, kept=kept), changed


def sink(upkeep: Upkeep, marked: Marked, node: exp.Create, *, opening: bool) -> Outflow:
    """Return what CREATE SINK begins. While a session is ``opening``, a wrong sink is a failed one."""
    if marked.clauses.url is not None:
        raise refuse(node, "a sink is FROM a view")
    view = view_of(upkeep.relations, node, marked.text, maintained=False, on_close=marked.on_close)
    if marked.clauses.into is not None:
        return _into(upkeep, marked, node, view)
    try:
        spec = sink_spec(marked.clauses)
        SinkNode(input=view.stream.node, spec=spec)
    except PenstockError as error:
        if not opening:
            raise
        return Outflow(view.name, view, Delivery(None, error))
    return Outflow(view.name, view, Delivery(spec))


def _into(upkeep: Upkeep, marked: Marked, node: exp.Create, view: View) -> Outflow:
    name = marked.clauses.into or ""
    table = upkeep.relations.get(name.lower())
    if marked.clauses.options or marked.clauses.encoding:
        raise refuse(node, "a sink INTO a table takes no options")
    if not isinstance(table, Table) or table.filled_by is not None:
        known = [
            t.name for t in upkeep.relations.values() if isinstance(t, Table) and not t.filled_by
        ]
        raise PlanError(f"no table {name!r}", step="sql", value=name, alternatives=known)
    if view.reads & upkeep.reached(table.name):
        raise refuse(node, f"{table.name!r} would be filled from itself")
    if view.changelog and not table.key:
        raise refuse(
            node,
            f"rows may go, and table {table.name!r} has no primary key to find them by",
            hint="give the table a PRIMARY KEY, or EMIT ON WINDOW CLOSE",
        )
    filled = {column.name: column.dtype for column in table.given}
    if len(view.schema) != len(filled):
        raise refuse(node, f"{len(view.schema)} columns for the {len(filled)} of {name!r}")
    for (given, dtype), (wanted, kind) in zip(view.schema.items(), filled.items(), strict=True):
        if dtype != kind and not (dtype.is_numeric() and kind.is_numeric()):
            raise refuse(
                node,
                f"column {given!r} is {dtype}, column {wanted!r} of {name!r} is {kind}",
                hint="CAST it",
            )
    pairs = zip(view.schema, filled, strict=True)
    view.stream = view.stream.select(pl.col(given).alias(wanted) for given, wanted in pairs)
    return Outflow(view.name, view, into=table.name)


def history(upkeep: Upkeep, marked: Marked, node: exp.Create) -> tuple[Table, Outflow]:
    """Return the table of ``AS CHANGELOG FROM t``, and what fills it.

    Columns: those of the relation, and ``changelog_op`` (Int16): 1 inserted, 2 deleted; where it has
    a unique key, a row that changes is 4 as it was and 3 as it is. It begins with the rows that are
    there, inserted.
    """
    properties = node.args.get("properties")
    kinds = [type(p) for p in properties.expressions] if properties else []
    if kinds != [exp.MaterializedProperty] or marked.on_close or marked.emits_changes:
        raise refuse(node, "a changelog is a MATERIALIZED VIEW, without EMIT")
    view = view_of(upkeep.relations, node, marked.text, maintained=False)
    if OPERATION in view.schema:
        raise refuse(node, f"there is a column {OPERATION!r} already")
    columns = tuple(Column(c, dtype) for c, dtype in view.schema.items())
    table = Table(
        view.name,
        (*columns, Column(OPERATION, pl.Int16())),
        append_only=True,
        filled_by=HISTORY,
    )
    return table, Outflow(view.name, view, into=view.name, history=True)


def check_index(catalogue: Catalogue, node: exp.Expr) -> None:
    """Refuse an index on what is not there; any other is a hint that nobody needs."""
    table = table_of(catalogue, node.args["table"], "index")
    scope = Scope(tuple(Field(table.name, name, name) for name in table.schema))
    for part in node.args["params"].args.get("columns") or []:
        bound(part, scope)
