"""Session: SQL statements over tables, sources, views and sinks that live in this process."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
from sqlglot import exp

from penstock.errors import PlanError, QueryFailed
from penstock.runtime.clock import Clock, SystemClock
from penstock.scans import scan_batches
from penstock.sql_plan.clock import clock_at
from penstock.sql_plan.dialect import Marked, nesting_limited, refuse, statements
from penstock.sql_plan.parameters import Parameters, given
from penstock.sql_plan.statements import as_stream
from penstock.sql_session import changes, looking
from penstock.sql_session.changes import Change
from penstock.sql_session.connecting import refuse_secrets
from penstock.sql_session.execute import answer
from penstock.sql_session.followed import followed
from penstock.sql_session.following import Following
from penstock.sql_session.functions import SessionFunctions
from penstock.sql_session.inflow import Inflow, Inflows, Taken
from penstock.sql_session.lifecycle import Lifecycle
from penstock.sql_session.log import SessionLog
from penstock.sql_session.new_rows import Instant, timed
from penstock.sql_session.relations import Table, View, names_of
from penstock.sql_session.ticking import Ticking
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class Session:
    """Tables and views kept up to date by the statements that change them.

    A statement's effect is visible everywhere as soon as it returns; with ``checkpoint`` it is on
    disk too, and the same folder opens the same tables and views again. Views are maintained
    incrementally: a change costs what it changes. ``now()`` reads ``clock``, by default the machine's.

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

    def __init__(self, checkpoint: str | Path | None = None, *, clock: Clock | None = None) -> None:
        self._lock = threading.RLock()
        self._upkeep = Upkeep(clock or SystemClock())
        self._ticking = Ticking(self._upkeep, self._lock)
        self._functions = SessionFunctions(self._upkeep)
        self._inflows = Inflows(self._lock, self._take_in, self._upkeep.clock)
        self._lifecycle = Lifecycle(self._upkeep, self._functions, self._inflows)
        self._closed = False
        if checkpoint is not None:
            log = SessionLog(Path(checkpoint))
            try:
                self._lifecycle.recover(log)
            except BaseException:
                self._inflows.close()
                log.close()
                raise
            self._ticking.watch()

    @property
    def _relations(self) -> dict[str, Table | View]:
        return self._upkeep.relations

    def sql(self, text: str, parameters: Parameters | None = None) -> pl.DataFrame | None:
        """Run statements; return the rows of the last one if it is a query, else None.

        ``parameters``: values of ``$1``, ``$2`` or of ``?`` in a list, of ``:name`` in a dict. They
        are never read as SQL.

        >>> import penstock as ps
        >>> with ps.Session() as session:
        ...     session.sql("CREATE TABLE t (a INT, b TEXT)")
        ...     session.sql("INSERT INTO t VALUES (?, ?), (?, ?)", [1, "it's", 2, None])
        ...     session.sql("SELECT b FROM t WHERE a = :wanted", {"wanted": 1}).item()
        "it's"
        """
        found = statements(text)
        result = None
        with self._lock:
            self._refuse_closed()
            for marked in found:
                with nesting_limited(), self._at_present():
                    if self._upkeep.log is not None:
                        refuse_secrets(marked)
                    whole = replace(marked, node=given(marked.node, parameters))
                    result = self._run(whole, parameters)
            self._ticking.watch()
        return result

    def table(self, name: str) -> pl.DataFrame:
        """Return what a table, source or view holds now."""
        with self._lock, self._at_present():
            return answer(self._relations, exp.select("*").from_(exp.to_table(name)))

    def stream(self, query: str, parameters: Parameters | None = None) -> Stream:
        """Return a query over tables and views as a stream of what they hold now."""
        marked = looking.one(query)
        node = given(marked.node, parameters)
        with self._lock, self._at_present():
            rows = answer(self._relations, self._functions.noted(node))
        return scan_batches([rows])

    def follow(self, query: str, parameters: Parameters | None = None) -> Stream:
        """Return a query over tables and views as a stream that goes on: its rows, then each change.

        Where rows may go the stream is a changelog. A pipeline that reads it begins, each time it is
        started, with what the query gives then, and ends when the session is closed or something that
        the query reads is dropped. What a statement changes arrives whole, in one epoch.

        >>> import penstock as ps
        >>> session = ps.Session()
        >>> session.sql("CREATE TABLE t (a INT)")
        >>> running = session.follow("SELECT sum(a) AS total FROM t").changes()
        >>> next(running).rows()
        [(None, 1)]
        >>> session.sql("INSERT INTO t VALUES (1), (2)")
        >>> next(running).rows()
        [(None, -1), (3, 1)]
        >>> session.close()
        """
        node = self._functions.noted(given(looking.one(query).node, parameters))
        with self._lock, self._at_present():
            return followed(self._upkeep, node, self._lock)

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
        ...     session.sql('SELECT max("offset") AS last FROM numbers')["last"].to_list()
        True
        [3]
        """
        read = as_stream(name, stream)
        with self._lock:
            self._refuse_closed()
            self._lifecycle.register(name, read)

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
        with self._lock, self._at_present():
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
            self._upkeep.advance()
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
        """Return the rows that expressions of views could not be computed for, and the latest 1,000 of
        those that sources could not decode and that each sink's database refused.
        """
        with self._lock:
            return self._upkeep.dead_letters()

    def close(self) -> None:
        """Let sinks finish and go of everything; a durable session can be opened again."""
        self._inflows.close()
        self._ticking.close()
        with self._lock:
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
        return f"<Session: {', '.join(names_of(self._relations)) or 'empty'}>"

    @contextlib.contextmanager
    def _at_present(self) -> Iterator[None]:
        """Bring what depends on the clock up to date, and let it stand for a statement."""
        self._refuse_closed()
        with clock_at(self._upkeep.advance()):
            yield

    def _refuse_closed(self) -> None:
        if self._closed:
            raise PlanError("the session is closed", step="session", hint="open a new one")

    def _run(self, marked: Marked, parameters: Parameters | None) -> pl.DataFrame | None:
        node = self._functions.noted(marked.node)
        if not isinstance(node, exp.Create):
            marked.refuse_clauses()
        if isinstance(node, (exp.Query, exp.Values)):
            return answer(self._relations, node)
        if isinstance(node, exp.Command):
            return self._command(marked, parameters)
        for kind, run in self._verbs().items():
            if isinstance(node, kind):
                return run(marked)
        raise refuse(node, "this statement is not supported")

    def _verbs(self) -> dict[type[exp.Expr], Callable[[Marked], pl.DataFrame | None]]:
        return {
            exp.Create: self._lifecycle.create,
            exp.Drop: self._lifecycle.drop,
            exp.Insert: lambda m: self._change(m, changes.inserted),
            exp.Update: lambda m: self._change(m, changes.updated),
            exp.Delete: lambda m: self._change(m, changes.deleted),
            exp.TruncateTable: self._truncate,
            exp.Describe: lambda m: looking.described(self._upkeep, m.node.this),
            exp.Show: lambda m: self._listed(m.node.name),
            exp.Transaction: _refuse_transaction,
            exp.Commit: _refuse_transaction,
            exp.Rollback: _refuse_transaction,
        }

    # -- rows ------------------------------------------------------------------------------------

    def _change(
        self, marked: Marked, read: Callable[[dict[str, Table | View], Any, Instant], Change]
    ) -> pl.DataFrame | None:
        now = _EPOCH + datetime.timedelta(microseconds=self._upkeep.now // 1000)
        node = timed(marked.node, now)
        change = read(self._relations, node, now)
        result = changes.returned(self._relations, change, node)
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

    # -- looking ---------------------------------------------------------------------------------

    def _command(self, marked: Marked, parameters: Parameters | None) -> pl.DataFrame | None:
        verb = str(marked.node.this).upper()
        rest = marked.node.args.get("expression")
        said = (rest.name if isinstance(rest, exp.Expr) else str(rest or "")).strip()
        if verb == "SHOW":
            return self._listed(said)
        if verb == "EXPLAIN":
            return looking.explained(self._upkeep, self._functions, said, parameters)
        what = " ".join([verb, *said.split()[:1]])  # not all of it: it may hold a secret
        raise PlanError(f"the statement {what} is not supported", step="sql", value=what)

    def _listed(self, what: str) -> pl.DataFrame:
        return looking.listed(
            self._upkeep, self._functions, self._inflows.flows, what.upper().rstrip(";")
        )


def _refuse_transaction(marked: Marked) -> None:
    raise refuse(
        marked.node,
        "transactions of several statements are not supported",
        hint="each statement is one: all of its rows are seen and kept at once, or none",
    )
