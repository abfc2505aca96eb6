"""Session: SQL statements over tables, sources, views and sinks that live in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.errors import PlanError, QueryFailed
from penstock.operators.deltas import weighted
from penstock.scans import scan_batches
from penstock.sql_plan.dialect import Marked, created_name, nesting_limited, refuse, statements
from penstock.sql_plan.statements import as_stream
from penstock.sql_plan.types import quoted, sql_type
from penstock.sql_session import changes, creating, looking
from penstock.sql_session.changes import Change
from penstock.sql_session.connecting import refuse_secrets
from penstock.sql_session.definitions import fill, table_of, view_of
from penstock.sql_session.execute import answer
from penstock.sql_session.following import Following
from penstock.sql_session.functions import SessionFunctions
from penstock.sql_session.inflow import Inflow, Inflows, Place, Taken
from penstock.sql_session.log import SessionLog
from penstock.sql_session.outflow import packed, unpacked
from penstock.sql_session.relations import Column, Table, View
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream


class Session:
    """Tables and views kept up to date by the statements that change them.

    A statement's effect is visible everywhere as soon as it returns; with ``checkpoint`` it is on
    disk too, and the same folder opens the same tables and views again. Views are maintained
    incrementally: a change costs what it changes.

    >>> import penstock as ps
    >>> with ps.Session() as session:
    ...     session.sql("CREATE TABLE sales (shop TEXT, amount INT)")
    ...     session.sql(
    ...         "CREATE MATERIALIZED VIEW totals AS "
    ...         "SELECT shop, sum(amount) AS total FROM sales GROUP BY shop"
    ...     )
    ...     session.sql("INSERT INTO sales VALUES ('north', 5), ('south', 2), ('north', 4)")
    ...     session.sql("SELECT * FROM totals ORDER BY shop").rows()
    [('north', 9), ('south', 2)]
    """

    def __init__(self, checkpoint: str | Path | None = None) -> None:
        self._lock = threading.RLock()
        self._upkeep = Upkeep()
        self._functions = SessionFunctions(self._upkeep)
        self._inflows = Inflows(self._lock, self._take_in)
        self._closed = False
        self._opening: dict[str, list[pl.Schema]] | None = None
        self._to_read: dict[str, tuple[str, Stream | Exception]] = {}
        if checkpoint is not None:
            log = SessionLog(Path(checkpoint))
            try:
                self._recover(log)
            except BaseException:
                self._inflows.close()
                log.close()
                raise

    @property
    def _relations(self) -> dict[str, Table | View]:
        return self._upkeep.relations

    def sql(self, text: str) -> pl.DataFrame | None:
        """Run statements; return the rows of the last one if it is a query, else None."""
        found = statements(text)
        result = None
        with self._lock:
            self._refuse_closed()
            for marked in found:
                with nesting_limited():
                    if self._upkeep.log is not None:
                        refuse_secrets(marked)
                    result = self._run(marked)
        return result

    def table(self, name: str) -> pl.DataFrame:
        """Return what a table, source or view holds now."""
        with self._lock:
            self._refuse_closed()
            return answer(self._relations, exp.select("*").from_(exp.to_table(name)))

    def stream(self, query: str) -> Stream:
        """Return a query over tables and views as a stream of what they hold now."""
        marked = looking.one(query)
        with self._lock:
            self._refuse_closed()
            rows = answer(self._relations, self._functions.noted(marked.node))
        return scan_batches([rows])

    def function(self, name: str, function: Callable[..., Any], types: Sequence[Any]) -> None:
        """Let statements call a Python function; ``types``: of its arguments, then of its result.

        A function whose parameters are annotated ``pl.Series`` is called with whole columns, any
        other once a row. A durable session could not open its views again without it: there,
        ``CREATE FUNCTION name(a TEXT) RETURNS INT LANGUAGE python AS $$ def name(a): ... $$``.

        >>> import penstock as ps, polars as pl
        >>> with ps.Session() as session:
        ...     session.function("shout", lambda text: text.upper() + "!", [pl.String, pl.String])
        ...     session.sql("SELECT shout('hello') AS said").item()
        'HELLO!'
        """
        with self._lock:
            self._refuse_closed()
            self._functions.give(name, function, types)

    def register(self, name: str, stream: Stream | pl.DataFrame | pl.LazyFrame) -> None:
        """Let SQL read a stream as a table: the session reads it in the background, and keeps its rows.

        Only of a session without a checkpoint: a durable one reads what ``CREATE SOURCE`` describes,
        which it can describe again when it is opened. ``wait`` returns when the rows are there.

        >>> import penstock as ps
        >>> with ps.Session() as session:
        ...     session.register("numbers", ps.scan_rate(total=4))
        ...     session.wait()
        ...     session.sql('SELECT sum("offset") AS total FROM numbers')["total"].to_list()
        True
        [6]
        """
        given = as_stream(name, stream)
        with self._lock:
            self._refuse_closed()
            if self._upkeep.log is not None:
                raise PlanError(
                    "a durable session cannot keep a stream of Python",
                    step="register",
                    value=name,
                    hint="describe it with CREATE SOURCE",
                )
            if name.lower() in self._relations or name.lower() in self._upkeep.outflows:
                raise PlanError(f"{name!r} exists already", step="register", value=name)
            columns = tuple(Column(c, dtype) for c, dtype in given.schema.items())
            kept = not given.is_changelog
            self._inflows.add(name, given, Place())
            self._relations[name.lower()] = Table(
                name, columns, append_only=kept, filled_by="stream"
            )

    def changes(self, name: str) -> Following:
        """Return what a table or view holds, then each of its changes: frames with ``_weight``.

        Iterating waits for the next change; it ends when the session is closed, or by ``close``.

        >>> import penstock as ps
        >>> session = ps.Session()
        >>> session.sql("CREATE TABLE t (a INT)")
        >>> following = session.changes("t")
        >>> session.sql("INSERT INTO t VALUES (1)")
        >>> next(following).rows()
        [(1, 1)]
        >>> session.close()
        >>> list(following)
        []
        """
        with self._lock:
            self._refuse_closed()
            found = self._relations.get(name.lower())
            if found is None:
                raise looking.unknown(self._upkeep, name)
            if found.contents is None:
                raise PlanError(
                    f"view {name!r} is not kept up to date",
                    step="changes",
                    value=name,
                    hint="create it as a MATERIALIZED VIEW",
                )
            return Following(found.name, found.contents.weighted(), self._upkeep.watchers)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the sources have nothing more, and sinks hold what there is.

        False if ``timeout`` seconds passed first. What a source had when it was last looked at counts
        (a followed file is looked at every 10 ms). Raises ``QueryFailed`` for a source or sink that
        failed; such a one goes on when the session is opened again.
        """
        done = self._inflows.wait(timeout)
        with self._lock:
            deliveries = [f.delivery for f in self._upkeep.outflows.values() if f.delivery]
            for delivery in deliveries:
                delivery.flush()
            errors = [f.error for f in self._inflows.flows.values()]
            errors += [delivery.error for delivery in deliveries]
        failed = [error for error in errors if error is not None]
        if failed:
            raise QueryFailed(f"a source or sink failed: {failed[0]}", line="") from failed[0]
        return done

    def dead_letters(self) -> pl.DataFrame:
        """Return the rows that expressions of views could not be computed for, and of those that
        sources could not decode the latest 1,000.
        """
        with self._lock:
            return self._upkeep.dead_letters()

    def close(self) -> None:
        """Let sinks finish and go of everything; a durable session can be opened again."""
        self._inflows.close()
        with self._lock:
            if not self._closed:
                for watcher in list(self._upkeep.watchers):
                    watcher(None)
            self._closed = True
            self._upkeep.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session: {', '.join(r.name for r in self._relations.values()) or 'empty'}>"

    def _refuse_closed(self) -> None:
        if self._closed:
            raise PlanError("the session is closed", step="session", hint="open a new one")

    def _run(self, marked: Marked) -> pl.DataFrame | None:
        node = self._functions.noted(marked.node)
        if not isinstance(node, exp.Create):
            marked.refuse_clauses()
        if isinstance(node, (exp.Query, exp.Values)):
            return answer(self._relations, node)
        for kind, run in self._verbs().items():
            if isinstance(node, kind):
                return run(marked)
        raise refuse(node, "this statement is not supported")

    def _verbs(self) -> dict[type[exp.Expr], Callable[[Marked], pl.DataFrame | None]]:
        return {
            exp.Create: self._create,
            exp.Drop: self._drop,
            exp.Insert: lambda m: self._change(m, changes.inserted),
            exp.Update: lambda m: self._change(m, changes.updated),
            exp.Delete: lambda m: self._change(m, changes.deleted),
            exp.TruncateTable: self._truncate,
            exp.Describe: lambda m: looking.described(self._upkeep, m.node.this),
            exp.Show: lambda m: self._listed(m.node.name),
            exp.Command: self._command,
        }

    # -- rows ------------------------------------------------------------------------------------

    def _change(
        self, marked: Marked, read: Callable[[dict[str, Table | View], Any], Change]
    ) -> pl.DataFrame | None:
        change = read(self._relations, marked.node)
        result = changes.returned(change, marked.node)
        self._upkeep.apply({change.table.name: change.delta})
        return result

    def _truncate(self, marked: Marked) -> None:
        assert isinstance(marked.node, exp.TruncateTable)
        found = changes.emptied(self._relations, marked.node)
        self._upkeep.apply({change.table.name: change.delta for change in found})

    def _take_in(self, flow: Inflow, taken: Taken) -> None:
        """Make an epoch of what a source has brought; its thread calls this under the lock."""
        self._upkeep.keep_dead(taken.dead)
        notes: dict[str, bytes | None] = {}
        if taken.place != flow.place:
            notes[f"position/{flow.name.lower()}"] = taken.place.written()
        if taken.place.ended:
            self._upkeep.end(flow.name.lower())
        deltas = {} if taken.delta is None else {flow.name: taken.delta}
        self._upkeep.apply(deltas, notes)

    # -- definitions -----------------------------------------------------------------------------

    def _create(self, marked: Marked) -> None:
        node = marked.node
        assert isinstance(node, exp.Create)
        kind = marked.clauses.kind or str(node.args.get("kind")).upper()
        if kind == "INDEX":  # a hint: every operator keeps the index it needs
            changes.table_of(self._relations, node.this.args["table"], "index")
            return
        if kind == "FUNCTION":
            self._functions.create(node, marked.text)
            return
        creators = {
            "TABLE": self._create_table,
            "VIEW": self._create_history if marked.changelog else self._create_view,
            "SOURCE": self._create_source,
            "SINK": self._create_sink,
        }
        if kind not in creators:
            raise refuse(node, f"CREATE {kind} is not supported")
        if marked.append_only and kind != "TABLE":
            raise refuse(node, "APPEND ONLY is for tables")
        if (marked.on_close or marked.emits_changes) and kind not in ("VIEW", "SINK"):
            raise refuse(node, "EMIT belongs to a materialized view or a sink")
        if self._is_new(marked, node, replaceable=kind in ("TABLE", "VIEW")):
            creators[kind](marked, node)

    def _is_new(self, marked: Marked, node: exp.Create, *, replaceable: bool) -> bool:
        name = created_name(node)
        if name.lower() not in self._relations and name.lower() not in self._upkeep.outflows:
            return True
        if node.args.get("exists"):
            return False
        if not node.args.get("replace"):
            raise refuse(node, f"{name!r} exists already", hint="DROP it, or IF NOT EXISTS")
        if not replaceable or marked.changelog or not self._is_plain(name):
            raise refuse(node, f"{name!r} cannot be replaced", hint="DROP it first")
        self._refuse_if_read({name.lower()}, node)
        return True

    def _is_plain(self, name: str) -> bool:
        found = self._relations.get(name.lower())
        return found is not None and not (isinstance(found, Table) and found.filled_by)

    def _create_table(self, marked: Marked, node: exp.Create) -> None:
        if node.expression is None:
            table = table_of(node, append_only=marked.append_only)
            self._replaced(table, marked.text, [])
        else:
            self._replaced(*self._table_from(marked))

    def _create_view(self, marked: Marked, node: exp.Create) -> None:
        properties = node.args.get("properties")
        kinds = [type(p) for p in properties.expressions] if properties else []
        if any(kind is not exp.MaterializedProperty for kind in kinds):
            raise refuse(node, "options of a view are not supported")
        if (marked.on_close or marked.emits_changes) and not kinds:
            raise refuse(node, "EMIT belongs to a materialized view or a sink")
        view = view_of(
            self._relations,
            node,
            marked.text,
            maintained=bool(kinds),
            on_close=marked.on_close,
        )
        if kinds and self._opening is None:
            fill(self._relations, view, self._upkeep.complete)
        self._replaced(view, marked.text, [])

    def _replaced(self, relation: Table | View, text: str, rows: list[Change]) -> None:
        """Put a relation in its place, instead of one of its name that nothing reads."""
        key = relation.name.lower()
        replaced = [key] if key in self._relations else []
        texts = [*self._dropping(replaced), text]
        deltas = {change.table.name: change.delta for change in rows}
        self._upkeep.commit(*texts, deltas=deltas, gone=replaced)
        self._relations.pop(key, None)
        self._relations[key] = relation
        for change in rows:
            change.table.contents.apply(change.delta)

    def _table_from(self, marked: Marked) -> tuple[Table, str, list[Change]]:
        """``CREATE TABLE t AS SELECT ...``: a table of the query's columns, filled once."""
        node = marked.node
        if isinstance(node.this, exp.Schema):
            raise refuse(node, "CREATE TABLE AS takes its columns from the query")
        rows = answer(self._relations, node.expression)
        columns = tuple(Column(name, dtype) for name, dtype in rows.schema.items())
        table = Table(node.this.name, columns, append_only=marked.append_only)
        defined = ", ".join(f"{quoted(c.name)} {sql_type(c.dtype)}" for c in columns)
        suffix = " APPEND ONLY" if marked.append_only else ""
        text = f"CREATE TABLE {quoted(table.name)} ({defined}){suffix}"
        return table, text, [Change(table, weighted(rows, 1), rows)]

    def _create_source(self, marked: Marked, node: exp.Create) -> None:
        name = created_name(node)
        if self._opening is not None:
            before = self._opening[name.lower()].pop(0)
            table, found = creating.reopened_source(marked, node, before)
            self._to_read[name.lower()] = name, found
            self._relations[name.lower()] = table
            return
        table, stream = creating.source_table(marked, node)
        self._inflows.add(name, stream, Place())
        try:
            self._upkeep.epoch += 1
            note = f"schema/{name.lower()}/{self._upkeep.epoch:020d}"
            columns = {**table.schema, **({WEIGHT: pl.Int64()} if table.changelog else {})}
            schema = packed(pl.DataFrame(schema=columns))
            self._upkeep.commit(marked.text, notes={note: schema})
        except BaseException:
            self._inflows.drop(name.lower())
            raise
        self._relations[name.lower()] = table

    def _create_sink(self, marked: Marked, node: exp.Create) -> None:
        flow = creating.sink(self._upkeep, marked, node, opening=self._opening is not None)
        if self._opening is not None:
            self._upkeep.outflows[flow.name.lower()] = flow
            return
        self._upkeep.open_delivery(flow)
        if flow.delivery is not None and flow.delivery.error is not None:
            flow.delivery.close()
            raise flow.delivery.error
        self._upkeep.begin(flow, marked.text)

    def _create_history(self, marked: Marked, node: exp.Create) -> None:
        table, flow = creating.history(self._upkeep, marked, node)
        self._relations[table.name.lower()] = table
        if self._opening is not None:
            self._upkeep.outflows[table.name.lower()] = flow
            return
        try:
            self._upkeep.begin(flow, marked.text)
        except BaseException:
            del self._relations[table.name.lower()]
            raise

    def _drop(self, marked: Marked) -> None:
        node = marked.node
        kind = str(node.args.get("kind")).upper()
        if kind == "FUNCTION":
            self._functions.drop(node)
            return
        if kind not in ("TABLE", "VIEW", "INDEX", "SOURCE", "SINK"):
            raise refuse(node, f"DROP {kind} is not supported")
        names = set()
        for part in node.args.get("tables") or [node.this]:
            name = part.name.lower()
            if kind == "INDEX":
                continue
            if name not in self._relations and name not in self._upkeep.outflows:
                if node.args.get("exists"):
                    continue
                raise looking.unknown(self._upkeep, part.name)
            if self._opening is None:  # the log drops everything in one statement
                self._refuse_other_kind(kind, name, node)
            names.add(name)
        if not node.args.get("cascade"):
            self._refuse_if_read(names, node)
        gone = [*names, *self._upkeep.dependents(names)]
        self._upkeep.commit(*self._dropping(gone), gone=gone)
        for name in gone:
            self._inflows.drop(name)
            self._to_read.pop(name, None)
            self._upkeep.remove(name)

    def _refuse_other_kind(self, kind: str, name: str, node: exp.Expr) -> None:
        what = looking.kind_of(self._upkeep, name)
        if kind != what.rpartition(" ")[2]:
            raise refuse(node, f"{name!r} is a {what.lower()}", hint=f"DROP {what}")

    def _refuse_if_read(self, names: set[str], node: exp.Expr) -> None:
        above = self._upkeep.dependents(names)
        if above:
            raise refuse(
                node, f"{', '.join(above)} reads it", hint="DROP ... CASCADE drops that too"
            )

    def _dropping(self, names: Iterable[str]) -> list[str]:
        known = {**self._upkeep.outflows, **self._relations}
        listed = ", ".join(quoted(known[name].name) for name in sorted(names))
        return [f"DROP TABLE {listed} CASCADE"] if listed else []

    # -- looking ---------------------------------------------------------------------------------

    def _command(self, marked: Marked) -> pl.DataFrame | None:
        verb = str(marked.node.this).upper()
        rest = marked.node.args.get("expression")
        said = (rest.name if isinstance(rest, exp.Expr) else str(rest or "")).strip()
        if verb == "SHOW":
            return self._listed(said)
        if verb == "EXPLAIN":
            return looking.explained(self._upkeep, self._functions, said)
        raise refuse(marked.node, "this statement is not supported")

    def _listed(self, what: str) -> pl.DataFrame:
        return looking.listed(self._upkeep, self._inflows.flows, what.upper().rstrip(";"))

    # -- opening again ---------------------------------------------------------------------------

    def _recover(self, log: SessionLog) -> None:
        """Run the statements again, put the rows back, compute the views, and go on reading."""
        self._opening = {}
        for key, data in log.notes("schema/").items():  # one for each time a source was created
            name = key.removeprefix("schema/").rpartition("/")[0]
            self._opening.setdefault(name, []).append(unpacked(data).schema)
        for relation, entry in log.entries():
            if relation is None:
                for marked in statements(str(entry)):
                    self._run(marked)
            else:
                assert isinstance(entry, pl.DataFrame)
                self._restore(relation, entry)
        self._opening = None
        places = {
            key.partition("/")[2]: Place.read(text) for key, text in log.notes("position/").items()
        }
        self._upkeep.complete = {name for name, place in places.items() if place.ended}
        self._upkeep.rebuild()
        self._upkeep.recovered(log)
        for flow in self._upkeep.outflows.values():
            self._upkeep.open_delivery(flow)
        for key, (known, found) in self._to_read.items():
            self._resume(known, found, places.get(key, Place()))

    def _resume(self, name: str, found: Stream | Exception, place: Place) -> None:
        if isinstance(found, Exception):
            self._inflows.broken(name, place, found)
            return
        try:
            self._inflows.add(name, found, place)
        except Exception as error:  # noqa: BLE001 - raised again by wait(), shown by SHOW SOURCES
            self._inflows.broken(name, place, error)

    def _restore(self, relation: str, delta: pl.DataFrame) -> None:
        table = self._relations.get(relation)
        if isinstance(table, Table):
            table.contents.apply(delta)
