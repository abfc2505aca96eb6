"""Session: SQL statements over tables and views that live in this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
from sqlglot import exp

from penstock.columns import DEAD_LETTER_SCHEMA, WEIGHT
from penstock.errors import CheckpointError, PlanError
from penstock.operators.deltas import weighted
from penstock.scans import scan_batches
from penstock.sql_plan.dialect import Marked, nesting_limited, refuse, statements
from penstock.sql_plan.statements import shown
from penstock.sql_plan.types import quoted, sql_type
from penstock.sql_session import changes
from penstock.sql_session.changes import Change
from penstock.sql_session.definitions import dependents, fill, table_of, view_of
from penstock.sql_session.execute import answer, planned
from penstock.sql_session.log import SessionLog
from penstock.sql_session.relations import Column, Table, View
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
        self._relations: dict[str, Table | View] = {}
        self._log: SessionLog | None = None
        self._closed = False
        self._opening = False
        if checkpoint is not None:
            log = SessionLog(Path(checkpoint))
            try:
                self._recover(log)
            except BaseException:
                log.close()
                raise
            self._log = log

    def sql(self, text: str) -> pl.DataFrame | None:
        """Run statements; return the rows of the last one if it is a query, else None."""
        found = statements(text)
        result = None
        with self._lock:
            self._refuse_closed()
            for marked in found:
                with nesting_limited():
                    result = self._run(marked)
        return result

    def table(self, name: str) -> pl.DataFrame:
        """Return what a table or view holds now."""
        with self._lock:
            self._refuse_closed()
            return answer(self._relations, exp.select("*").from_(exp.to_table(name)))

    def dead_letters(self) -> pl.DataFrame:
        """Return the rows that expressions of maintained views could not be computed for."""
        with self._lock:
            found = [
                v.maintained.dead_letters
                for v in self._relations.values()
                if isinstance(v, View) and v.maintained is not None
            ]
        return pl.concat([pl.DataFrame(schema=DEAD_LETTER_SCHEMA), *found])

    def close(self) -> None:
        """Let go of everything; a durable session can be opened again."""
        with self._lock:
            self._closed = True
            self._relations = {}
            if self._log is not None:
                self._log.close()
                self._log = None

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
        node = marked.node
        if isinstance(node, (exp.Query, exp.Values)):
            if marked.on_close or marked.changelog or marked.append_only:
                raise refuse(node, "this clause belongs to a CREATE statement")
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
            exp.Describe: self._describe,
            exp.Show: self._show,
            exp.Command: self._command,
        }

    # -- rows ------------------------------------------------------------------------------------

    def _change(
        self, marked: Marked, read: Callable[[dict[str, Table | View], Any], Change]
    ) -> pl.DataFrame | None:
        change = read(self._relations, marked.node)
        result = changes.returned(change, marked.node)
        self._apply([change])
        return result

    def _truncate(self, marked: Marked) -> None:
        assert isinstance(marked.node, exp.TruncateTable)
        self._apply(changes.emptied(self._relations, marked.node))

    def _apply(self, found: list[Change]) -> None:
        """Bring every view up to date, write the change down, and then let it be seen."""
        made = [c for c in found if c.delta.height]
        if not made:
            return
        try:
            deltas = self._propagated({c.table.name: c.delta for c in made})
            self._commit(changes=made)
        except BaseException:
            self._rebuild()
            raise
        for name, delta in deltas.items():
            contents = self._relations[name.lower()].contents
            assert contents is not None
            contents.apply(delta)
        self._tidy(made)

    def _propagated(self, deltas: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Return the deltas of tables and of every maintained view above them."""
        known = dict(deltas)
        for view in self._maintained():
            mine = {name: known[name] for name in known if name.lower() in view.reads}
            if not mine:
                continue
            assert view.maintained is not None
            handed = {n: self._as_read(n, delta) for n, delta in mine.items()}
            delta = view.maintained.step(handed)
            if delta is not None and delta.height:
                known[view.name] = delta
        return known

    def _as_read(self, name: str, delta: pl.DataFrame) -> pl.DataFrame:
        """Views read a changelog with weights and an append-only relation without."""
        relation = self._relations[name.lower()]
        if relation.changelog:
            return delta if WEIGHT in delta.columns else weighted(delta, 1)
        return delta.drop(WEIGHT, strict=False)

    def _maintained(self) -> list[View]:
        views = (r for r in self._relations.values() if isinstance(r, View))
        return [view for view in views if view.maintained is not None]

    def _commit(
        self, *texts: str, changes: Sequence[Change] = (), gone: Iterable[str] = ()
    ) -> None:
        if self._log is not None:
            deltas = [(c.table.name.lower(), c.delta) for c in changes]
            self._log.commit(texts, deltas, list(gone))

    def _rebuild(self) -> None:
        """Compute every view afresh: a failed statement may have reached some and not others."""
        for view in self._maintained():
            fill(self._relations, view)

    def _tidy(self, made: list[Change]) -> None:
        if self._log is None:
            return
        for change in made:
            name, contents = change.table.name.lower(), change.table.contents
            with contextlib.suppress(CheckpointError):  # the change itself is written down
                if self._log.worth_rewriting(name, len(contents)):
                    self._log.rewrite(name, contents.weighted())

    # -- definitions -----------------------------------------------------------------------------

    def _create(self, marked: Marked) -> None:
        node = marked.node
        assert isinstance(node, exp.Create)
        kind = str(node.args.get("kind")).upper()
        if kind == "INDEX":  # a hint: every operator keeps the index it needs
            changes.table_of(self._relations, node.this.args["table"], "index")
            return
        if kind not in ("TABLE", "VIEW"):
            raise refuse(node, f"CREATE {kind} is not supported")
        if marked.append_only and kind == "VIEW":
            raise refuse(node, "APPEND ONLY is said of a table")
        name = (node.this.this if isinstance(node.this, exp.Schema) else node.this).name
        if name.lower() in self._relations:
            if node.args.get("exists"):
                return
            if not node.args.get("replace"):
                raise refuse(node, f"{name!r} exists already", hint="DROP it, or IF NOT EXISTS")
            self._refuse_if_read({name.lower()}, node)
        rows: list[Change] = []
        text = marked.text
        if kind == "VIEW":
            relation: Table | View = self._view(marked)
        elif node.expression is None:
            relation = table_of(node, append_only=marked.append_only)
        else:
            relation, text, rows = self._table_from(marked)
        replaced = {name.lower()} & set(self._relations)
        self._commit(*self._dropping(replaced), text, changes=rows, gone=replaced)
        self._relations.pop(name.lower(), None)
        self._relations[name.lower()] = relation
        for change in rows:
            change.table.contents.apply(change.delta)

    def _view(self, marked: Marked) -> View:
        node = marked.node
        assert isinstance(node, exp.Create)
        properties = node.args.get("properties")
        kinds = [type(p) for p in properties.expressions] if properties else []
        if any(kind is not exp.MaterializedProperty for kind in kinds):
            raise refuse(node, "options of a view are not supported")
        view = view_of(self._relations, node, marked.text, maintained=bool(kinds))
        if kinds and not self._opening:
            fill(self._relations, view)
        return view

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

    def _drop(self, marked: Marked) -> None:
        node = marked.node
        assert isinstance(node, exp.Drop)
        names = set()
        kind = str(node.args.get("kind")).upper()
        if kind not in ("TABLE", "VIEW", "INDEX"):
            raise refuse(node, f"DROP {kind} is not supported")
        for part in node.args.get("tables") or [node.this]:
            name = part.name.lower()
            if kind == "INDEX":
                continue
            if name not in self._relations:
                if node.args.get("exists"):
                    continue
                raise PlanError(
                    f"no table or view {part.name!r}",
                    step="sql",
                    value=part.name,
                    alternatives=[r.name for r in self._relations.values()],
                )
            if not self._opening:  # the log drops tables and views in one statement
                self._refuse_other_kind(kind, self._relations[name], node)
            names.add(name)
        self._drop_names(names, cascade=bool(node.args.get("cascade")), node=node)

    def _refuse_other_kind(self, kind: str, found: Table | View, node: exp.Expr) -> None:
        is_kind = "TABLE" if isinstance(found, Table) else "VIEW"
        if kind != is_kind:
            what = "MATERIALIZED VIEW" if isinstance(found, View) and found.maintained else is_kind
            raise refuse(node, f"{found.name!r} is a {what.lower()}", hint=f"DROP {what}")

    def _drop_names(self, names: set[str], *, cascade: bool, node: exp.Expr) -> None:
        if not cascade:
            self._refuse_if_read(names, node)
        gone = {*names, *dependents(self._relations, names)}
        self._commit(*self._dropping(gone), gone=gone)
        self._relations = {n: r for n, r in self._relations.items() if n not in gone}

    def _refuse_if_read(self, names: set[str], node: exp.Expr) -> None:
        above = list(dependents(self._relations, names))
        if above:
            raise refuse(
                node, f"{', '.join(above)} reads it", hint="DROP ... CASCADE drops that too"
            )

    def _dropping(self, names: Iterable[str]) -> list[str]:
        listed = ", ".join(quoted(self._relations[name].name) for name in sorted(names))
        return [f"DROP TABLE {listed} CASCADE"] if listed else []

    # -- looking ---------------------------------------------------------------------------------

    def _describe(self, marked: Marked) -> pl.DataFrame:
        found = self._found(marked.node.this)
        return pl.DataFrame(
            {
                "column": found.schema.names(),
                "type": [sql_type(dtype) for dtype in found.schema.dtypes()],
            },
            schema={"column": pl.String, "type": pl.String},
        )

    def _found(self, node: exp.Expr) -> Table | View:
        found = self._relations.get(node.name.lower())
        if found is None:
            raise PlanError(
                f"no table or view {node.name!r}",
                step="sql",
                value=node.name,
                alternatives=[r.name for r in self._relations.values()],
            )
        return found

    def _show(self, marked: Marked) -> pl.DataFrame:
        return self._listed(marked.node.name.upper())

    def _command(self, marked: Marked) -> pl.DataFrame | None:
        verb = str(marked.node.this).upper()
        rest = marked.node.args.get("expression")
        said = (rest.name if isinstance(rest, exp.Expr) else str(rest or "")).strip()
        if verb == "SHOW":
            return self._listed(said.upper().rstrip(";"))
        if verb == "EXPLAIN":
            return self._explain(said)
        raise refuse(marked.node, "this statement is not supported")

    def _listed(self, what: str) -> pl.DataFrame:
        kinds: dict[str, Callable[[Table | View], bool]] = {
            "TABLES": lambda r: isinstance(r, Table),
            "VIEWS": lambda r: isinstance(r, View) and r.maintained is None,
            "MATERIALIZED VIEWS": lambda r: isinstance(r, View) and r.maintained is not None,
        }
        if what not in kinds:
            raise PlanError(
                f"cannot show {what!r}", step="sql", value=what, alternatives=list(kinds)
            )
        names = sorted(r.name for r in self._relations.values() if kinds[what](r))
        return pl.DataFrame({"name": names}, schema={"name": pl.String})

    def _explain(self, text: str) -> pl.DataFrame:
        marked = _one(text)
        node = marked.node.expression if isinstance(marked.node, exp.Create) else marked.node
        if not isinstance(node, exp.Query):
            raise refuse(marked.node, "EXPLAIN shows the plan of a query")
        relation, _ = planned(self._relations, node, once=False)
        return pl.DataFrame({"plan": shown(relation).explain().splitlines()})

    def stream(self, query: str) -> Stream:
        """Return a query over tables and views as a stream of what they hold now."""
        marked = _one(query)
        with self._lock:
            self._refuse_closed()
            rows = answer(self._relations, marked.node)
        return scan_batches([rows])

    # -- opening again ---------------------------------------------------------------------------

    def _recover(self, log: SessionLog) -> None:
        self._opening = True
        for relation, entry in log.entries():
            if relation is None:
                for marked in statements(str(entry)):
                    self._run(marked)
            else:
                assert isinstance(entry, pl.DataFrame)
                self._restore(relation, entry)
        self._opening = False
        self._rebuild()

    def _restore(self, relation: str, delta: pl.DataFrame) -> None:
        table = self._relations.get(relation)
        if isinstance(table, Table):
            table.contents.apply(delta)


def _one(text: str) -> Marked:
    found = statements(text)
    if len(found) != 1:
        raise PlanError(f"one query is needed, not {len(found)} statements", step="sql")
    return found[0]
