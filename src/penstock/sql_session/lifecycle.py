"""What a session comes to hold: CREATE and DROP, and all of it again when a folder is opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import polars as pl
from sqlglot import exp

from penstock.columns import WEIGHT
from penstock.errors import CheckpointError, PenstockError, PlanError
from penstock.operators.deltas import weighted
from penstock.sql_plan.clock import clock_at
from penstock.sql_plan.dialect import (
    Marked,
    created_name,
    nesting_limited,
    plain_name,
    refuse,
    statements,
)
from penstock.sql_plan.types import quoted, sql_type
from penstock.sql_session import creating, looking
from penstock.sql_session.changes import Change
from penstock.sql_session.definitions import fill, in_sql_types, table_of, view_of
from penstock.sql_session.execute import answer
from penstock.sql_session.functions import SessionFunctions
from penstock.sql_session.inflow import Inflows, Place
from penstock.sql_session.log import SessionLog
from penstock.sql_session.outflow import packed, unpacked
from penstock.sql_session.relations import Column, Table, View
from penstock.sql_session.upkeep import Upkeep
from penstock.stream import Stream


class Lifecycle:
    """Lets relations, outflows and sources come and go, each time with its line in the log.

    ``recover`` runs those lines again. While it does, nothing is computed, opened or written down:
    that happens once, when all statements are known.
    """

    def __init__(self, upkeep: Upkeep, functions: SessionFunctions, inflows: Inflows) -> None:
        self._upkeep = upkeep
        self._functions = functions
        self._inflows = inflows
        self._opening: dict[str, list[pl.Schema]] | None = None
        self._to_read: dict[str, tuple[str, Stream | Exception]] = {}

    def register(self, name: str, given: Stream) -> None:
        """Add a stream of Python as a table that it fills."""
        if self._upkeep.log is not None:
            raise PlanError(
                "a durable session cannot keep a stream of Python",
                step="register",
                value=name,
                hint="describe it with CREATE SOURCE",
            )
        if name.lower() in self._upkeep.relations or name.lower() in self._upkeep.outflows:
            raise PlanError(f"{name!r} exists already", step="register", value=name)
        columns = tuple(Column(c, dtype) for c, dtype in given.schema.items())
        kept = not given.is_changelog
        self._inflows.add(name, given, Place())
        self._upkeep.relations[name.lower()] = Table(
            name, columns, append_only=kept, filled_by="stream"
        )

    def create(self, marked: Marked) -> None:
        """``CREATE`` of anything."""
        node = marked.node
        assert isinstance(node, exp.Create)
        kind = marked.clauses.kind or str(node.args.get("kind")).upper()
        if kind == "INDEX":  # a hint: every operator keeps the index it needs
            creating.check_index(self._upkeep.relations, node.this)
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
        if name.lower() not in self._upkeep.relations and name.lower() not in self._upkeep.outflows:
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
        found = self._upkeep.relations.get(name.lower())
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
            self._upkeep.relations,
            node,
            marked.text,
            maintained=bool(kinds),
            stands=not kinds,
            on_close=marked.on_close,
        )
        if kinds and self._opening is None:
            fill(self._upkeep.relations, view, self._upkeep.now, self._upkeep.complete)
        self._replaced(view, marked.text, [])

    def _replaced(self, relation: Table | View, text: str, rows: list[Change]) -> None:
        """Put a relation in its place, instead of one of its name that nothing reads."""
        key = relation.name.lower()
        replaced = [key] if key in self._upkeep.relations else []
        texts = [*self._dropping(replaced), text]
        deltas = {change.table.name: change.delta for change in rows}
        self._upkeep.commit(*texts, deltas=deltas, gone=replaced)
        self._upkeep.remove(key)
        self._upkeep.relations[key] = relation
        for change in rows:
            change.table.contents.apply(change.delta)

    def _table_from(self, marked: Marked) -> tuple[Table, str, list[Change]]:
        """``CREATE TABLE t AS SELECT ...``: a table of the query's columns, filled once."""
        node = marked.node
        if isinstance(node.this, exp.Schema):
            raise refuse(node, "CREATE TABLE AS takes its columns from the query")
        rows = in_sql_types(answer(self._upkeep.relations, node.expression))
        columns = tuple(Column(name, dtype) for name, dtype in rows.schema.items())
        table = Table(node.this.name, columns, append_only=marked.append_only)
        defined = ", ".join(f"{quoted(c.name)} {sql_type(c.dtype)}" for c in columns)
        suffix = " APPEND ONLY" if marked.append_only else ""
        text = f"CREATE TABLE {quoted(table.name)} ({defined}){suffix}"
        return table, text, [Change(table, weighted(rows, 1), rows, table.name)]

    def _create_source(self, marked: Marked, node: exp.Create) -> None:
        name = created_name(node)
        if self._opening is not None:
            before = self._opening[name.lower()].pop(0)
            table, found = creating.reopened_source(marked, node, before)
            self._to_read[name.lower()] = name, found
            self._upkeep.relations[name.lower()] = table
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
        self._upkeep.relations[name.lower()] = table

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
        self._upkeep.relations[table.name.lower()] = table
        if self._opening is not None:
            self._upkeep.outflows[table.name.lower()] = flow
            return
        try:
            self._upkeep.begin(flow, marked.text)
        except BaseException:
            del self._upkeep.relations[table.name.lower()]
            raise

    def drop(self, marked: Marked) -> None:
        """``DROP`` of anything, with CASCADE of all that reads it."""
        node = marked.node
        assert isinstance(node, exp.Drop)
        kind = str(node.args.get("kind")).upper()
        if kind == "FUNCTION":
            self._drop_function(node)
            return
        if kind not in ("TABLE", "VIEW", "INDEX", "SOURCE", "SINK"):
            raise refuse(node, f"DROP {kind} is not supported")
        names = set()
        for part in node.args.get("tables") or [node.this]:
            name = plain_name(part).lower()
            if kind == "INDEX":
                continue
            if name not in self._upkeep.relations and name not in self._upkeep.outflows:
                if node.args.get("exists"):
                    continue
                raise looking.unknown(self._upkeep, part.name)
            if self._opening is None:  # the log drops everything in one statement
                self._refuse_other_kind(kind, name, node)
            names.add(name)
        if not node.args.get("cascade"):
            self._refuse_if_read(names, node)
        self._forget(names)

    def _drop_function(self, node: exp.Drop) -> None:
        function = self._functions.named(node)
        if function is None:
            return
        callers = self._functions.callers(function.name)
        if callers and not node.args.get("cascade"):
            raise refuse(
                node, f"{', '.join(callers)} calls it", hint="DROP ... CASCADE drops that too"
            )
        self._forget({name.lower() for name in callers}, f"DROP FUNCTION {quoted(function.name)}")
        self._functions.forget(function.name)

    def _forget(self, names: set[str], *texts: str) -> None:
        """Drop relations and outflows with all that reads them."""
        gone = [*names, *self._upkeep.dependents(names)]
        self._upkeep.commit(*self._dropping(gone), *texts, gone=gone)
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
            said = ", ".join("a pipeline" if name.startswith("#") else name for name in above)
            raise refuse(node, f"{said} reads it", hint="DROP ... CASCADE drops that too")

    def _dropping(self, names: Iterable[str]) -> list[str]:
        known = {**self._upkeep.outflows, **self._upkeep.relations}
        listed = ", ".join(quoted(known[name].name) for name in sorted(names) if name[0] != "#")
        return [f"DROP TABLE {listed} CASCADE"] if listed else []

    # -- opening again ---------------------------------------------------------------------------

    def recover(self, log: SessionLog) -> None:
        """Run the statements again, put the rows back, compute the views, and go on reading."""
        self._opening = {}
        for key, data in log.notes("schema/").items():  # one for each time a source was created
            name = key.removeprefix("schema/").rpartition("/")[0]
            self._opening.setdefault(name, []).append(unpacked(data).schema)
        for relation, entry in log.entries():
            if relation is None:
                with clock_at(self._upkeep.now):
                    self._repeat(str(entry))
            else:
                assert isinstance(entry, pl.DataFrame)
                self._restore(relation, entry)
        self._opening = None
        places = {
            key.partition("/")[2]: Place.read(text) for key, text in log.notes("position/").items()
        }
        self._upkeep.complete = {name for name, place in places.items() if place.ended}
        self._upkeep.now = int(log.notes("clock").get("clock", self._upkeep.now))
        self._upkeep.rebuild()
        self._upkeep.recovered(log)
        for flow in self._upkeep.outflows.values():
            self._upkeep.open_delivery(flow)
        for key, (known, found) in self._to_read.items():
            self._resume(known, found, places.get(key, Place()))
        self._upkeep.advance()

    def _repeat(self, text: str) -> None:
        for marked in statements(text):
            with nesting_limited(), _repeating(marked):
                self._functions.noted(marked.node)
                if isinstance(marked.node, exp.Drop):
                    self.drop(marked)
                else:
                    self.create(marked)

    def _resume(self, name: str, found: Stream | Exception, place: Place) -> None:
        if isinstance(found, Exception):
            self._inflows.broken(name, place, found)
            return
        try:
            self._inflows.add(name, found, place)
        except Exception as error:  # noqa: BLE001 - raised again by wait(), shown by SHOW SOURCES
            self._inflows.broken(name, place, error)

    def _restore(self, relation: str, delta: pl.DataFrame) -> None:
        table = self._upkeep.relations.get(relation)
        if isinstance(table, Table):
            table.contents.apply(delta)


@contextlib.contextmanager
def _repeating(marked: Marked) -> Iterator[None]:
    """Say which statement cannot be run again, as where a file that it reads is gone."""
    try:
        yield
    except PenstockError as error:
        raise CheckpointError(
            f"the session cannot be opened, as {marked.title} fails: {error.message}",
            step="session",
            value=marked.title,
            hint=error.hint or "bring back what it reads",
        ) from error
