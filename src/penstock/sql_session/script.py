"""A pipeline in SQL: CREATE SOURCE, VIEW and SINK statements to the queries that ``ps.run`` takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlglot import exp

from penstock.errors import ConfigError, PenstockError, PlanError
from penstock.query import Query
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import Marked, created_name, refuse, require_only, statements
from penstock.sql_plan.emission import emitted_once
from penstock.sql_plan.queries import plan
from penstock.sql_plan.statements import as_stream, named
from penstock.sql_plan.user_functions import UserFunction, created_function, with_functions
from penstock.sql_session.connecting import sink_spec
from penstock.sql_session.definitions import check_names
from penstock.sql_session.sources import source_of, watermarked
from penstock.stream import Stream

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_WRITES = "write results with CREATE SINK name FROM view WITH (connector = ...)"


def sql_script(text: str | Path, /, **tables: Any) -> list[Query]:
    """Return the queries of a pipeline in SQL, one for each CREATE SINK, for ``ps.run``.

    ``CREATE SOURCE`` names where rows come from, ``CREATE VIEW`` (materialized or not) what is made of
    them, ``CREATE SINK`` where results go; each reads what stands above it. A ``Path`` is a file with
    such statements. Streams and frames given by keyword are tables too. A ``PlanError`` or
    ``ConfigError`` names the statement and its line.

    >>> import penstock as ps
    >>> queries = ps.sql_script(\"\"\"
    ...     CREATE SOURCE numbers WITH (connector = 'rate', total = 5);
    ...     CREATE VIEW even AS SELECT "offset" AS n FROM numbers WHERE "offset" % 2 = 0;
    ...     CREATE SINK shown FROM even WITH (connector = 'console');
    ... \"\"\")
    >>> ended = ps.run(*queries)
    n
    0
    2
    4
    """
    place = str(text) if isinstance(text, Path) else ""
    try:
        found = statements(_read(text) if isinstance(text, Path) else text)
    except PlanError as error:
        error.line = place or error.line
        raise
    pipeline = _Pipeline(tables)
    for marked in found:
        with _located(marked, place):
            pipeline.take(marked)
    if not pipeline.queries:
        raise PlanError(
            "nothing would be written: there is no CREATE SINK",
            step="sql",
            hint=_WRITES,
            line=place or None,
        )
    return pipeline.queries


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the file: {error}", step="sql", value=str(path), line=str(path)
        ) from None


@contextmanager
def _located(marked: Marked, place: str) -> Iterator[None]:
    """Have errors say which statement they are of, by its name: its options may be secret."""
    try:
        yield
    except PenstockError as error:
        line = f"{place}:{marked.line}" if place else f"line {marked.line}"
        error.line = f"{line}: {marked.title}"
        raise


class _Pipeline:
    """The streams that statements have named so far, and the queries that end in sinks."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.queries: list[Query] = []
        self._streams = {name.lower(): as_stream(name, table) for name, table in tables.items()}
        self._names = list(tables)
        self._sinks: set[str] = set()
        self._functions: dict[str, UserFunction] = {}

    def take(self, marked: Marked) -> None:
        """Add what a statement defines."""
        node = marked.node
        if not isinstance(node, exp.Create):
            raise refuse(
                node, "a pipeline has CREATE SOURCE, VIEW, SINK and FUNCTION only", hint=_WRITES
            )
        if marked.append_only or marked.changelog:
            raise refuse(node, "this clause is for tables and views of a session")
        with_functions(node, self._functions)
        kind = marked.clauses.kind or str(node.args.get("kind")).upper()
        if kind == "FUNCTION":
            function = created_function(node)
            self._functions[function.name.lower()] = function
            return
        takes: dict[str, Callable[[Marked, exp.Create], None]] = {
            "SOURCE": self._source,
            "VIEW": self._view,
            "SINK": self._sink,
        }
        if kind not in takes:
            raise refuse(
                node,
                f"CREATE {kind} does not belong in a pipeline",
                hint="tables that statements change live in a session: ps.Session()",
            )
        takes[kind](marked, node)

    def _source(self, marked: Marked, node: exp.Create) -> None:
        if marked.on_close or marked.emits_changes:
            raise refuse(node, "EMIT belongs to a view or sink")
        if self._is_new(node):
            stream, watermark = source_of(node, marked.clauses)
            self._add(node, watermarked(stream, watermark, marked.clauses))

    def _view(self, marked: Marked, node: exp.Create) -> None:
        properties = node.args.get("properties")
        kinds = [type(p) for p in properties.expressions] if properties else []
        if any(kind is not exp.MaterializedProperty for kind in kinds):
            raise refuse(node, "options of a view are not supported")
        if self._is_new(node):
            self._add(node, self._planned(marked, node))

    def _sink(self, marked: Marked, node: exp.Create) -> None:
        if marked.clauses.into is not None:
            raise refuse(node, "a sink INTO a table needs a session")
        if marked.clauses.url is not None:
            raise refuse(node, "a sink is FROM a view")
        require_only(node, "this", "kind", "expression", "exists")
        name = created_name(node)
        if name.lower() in self._sinks:
            if node.args.get("exists"):
                return
            raise refuse(node, f"sink {name!r} exists already")
        query = self._planned(marked, node).sink(sink_spec(marked.clauses))
        self.queries.append(query.named(name) if _LABEL.fullmatch(name) else query)
        self._sinks.add(name.lower())

    def _planned(self, marked: Marked, node: exp.Create) -> Stream:
        require_only(node, "this", "kind", "expression", "exists", "properties")
        if node.expression is None:
            raise refuse(node, f"{marked.title} needs a query")
        context = Context(
            lambda name: self._streams.get(name.lower()), lambda: list(self._names), plan
        )
        relation = plan(context, node.expression, None, None)
        given = [c.name for c in node.this.expressions] if isinstance(node.this, exp.Schema) else []
        names = given + [f.name for f in relation.fields[len(given) :]]
        check_names(names, len(relation.fields), node)
        stream = named(relation, names)
        return emitted_once(stream, node) if marked.on_close else stream

    def _is_new(self, node: exp.Create) -> bool:
        name = created_name(node)
        if name.lower() not in self._streams:
            return True
        if node.args.get("exists"):
            return False
        raise refuse(node, f"{name!r} exists already")

    def _add(self, node: exp.Create, stream: Stream) -> None:
        name = created_name(node)
        self._streams[name.lower()] = stream
        self._names.append(name)
