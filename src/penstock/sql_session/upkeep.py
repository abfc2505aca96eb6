"""What a session holds, and the one way in which it changes: an epoch, written down, then seen."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA, WEIGHT
from penstock.connectors.contract import SinkIdentity
from penstock.errors import CheckpointError
from penstock.operators.deltas import consolidate, repeat_rows, weighted
from penstock.runtime.clock import Clock
from penstock.sql_session.definitions import fill
from penstock.sql_session.following import Following
from penstock.sql_session.log import SessionLog
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.outflow import Outflow, into_table, operations, packed, unpacked
from penstock.sql_session.relations import Table, View

_KEPT_DEAD = 1_000
"""As many as a query shows: a source that brings nothing else must not fill the memory."""

Deltas = Mapping[str, pl.DataFrame]


class Upkeep:
    """Relations and outflows by their names in small letters, and the log that makes them durable.

    ``apply`` moves everything by one epoch: views, tables that outflows fill, sinks. What it does to
    tables, sources' positions and sinks is one transaction of the log; views are computed from tables.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = clock.now()
        """The processing time of the last epoch; a session that is opened again begins with it."""
        self.relations: dict[str, Table | View] = {}
        self.outflows: dict[str, Outflow] = {}
        self.complete: set[str] = set()
        """Sources that have ended."""
        self.log: SessionLog | None = None
        self.epoch = 0
        self.watchers: list[Following] = []
        self._dead = pl.DataFrame(schema=DEAD_LETTER_SCHEMA)
        self._session = ""
        self._token = 0

    # -- an epoch --------------------------------------------------------------------------------

    def apply(
        self, deltas: Deltas, notes: Mapping[str, bytes | None] | None = None, *texts: str
    ) -> None:
        """Bring everything up to date with deltas of tables, write it down, then let it be seen."""
        made = {name: delta for name, delta in deltas.items() if delta.height}
        before, self.now = self.now, max(self.now, self.clock.now())
        if not made and not notes and not texts and not self._due(self.now):
            return
        try:
            total, handed = self._propagated(made)
            if texts or notes or handed or any(map(self._is_table, total)):
                self.epoch += 1
                self.commit(*texts, deltas=total, notes=notes, handed=handed)
        except BaseException:
            self.now = before
            self.rebuild()
            raise
        self._show(total, handed)

    def advance(self) -> int:
        """Let rows enter and leave as the clock has moved; returns the time."""
        self.apply({})
        return self.now

    def deadline(self) -> int | None:
        """Return when the clock alone changes something next; None: never."""
        found = [m.deadline() for m in self._all_maintained()]
        return min((at for at in found if at is not None), default=None)

    def _due(self, now: int) -> bool:
        deadline = self.deadline()
        return deadline is not None and deadline <= now

    def _all_maintained(self) -> list[Maintained]:
        views = [*self.maintained(), *(flow.view for flow in self.outflows.values())]
        return [view.maintained for view in views if view.maintained is not None]

    def end(self, name: str) -> None:
        """Note that a source has ended: what waited for its watermark is due."""
        self.complete.add(name)

    def _propagated(self, deltas: Deltas) -> tuple[dict[str, pl.DataFrame], Deltas]:
        """Return the deltas of all relations, and of outflows to sinks, by name.

        Tables that outflows fill are moved in passes of their own, until none is left.
        """
        total: dict[str, pl.DataFrame] = {}
        handed: dict[str, pl.DataFrame] = {}
        pending = dict(deltas)
        first = True
        while pending or first:
            first = False
            known = self._pass(pending)
            total = _added(total, known)
            pending = {}
            for flow in self.outflows.values():
                delta = self._moved(flow.view, known)
                if delta is None or not delta.height:
                    continue
                if flow.into is None:
                    handed = _added(handed, {flow.name: delta})
                    continue
                table, change = self._into(flow, delta, _added(total, pending))
                pending = _added(pending, {table.name: change} if change.height else {})
        return total, handed

    def _pass(self, deltas: Deltas) -> dict[str, pl.DataFrame]:
        """Return the deltas of tables and of every maintained view above them."""
        known = dict(deltas)
        for view in self.maintained():
            delta = self._moved(view, known)
            if delta is not None and delta.height:
                known[view.name] = delta
        return known

    def _moved(self, view: View, known: Deltas) -> pl.DataFrame | None:
        """Move a view by what it reads; None if nothing of that has changed."""
        assert view.maintained is not None
        mine = {name: known[name] for name in known if name.lower() in view.reads}
        ended = {n for n in view.reads if n in self.complete}
        deadline = view.maintained.deadline()
        due = deadline is not None and deadline <= self.now
        if not mine and not due and not ended - view.maintained.complete:
            return None
        handed = {n: self._as_read(n, delta) for n, delta in mine.items()}
        return view.maintained.step(handed, complete=ended, now=self.now)

    def _as_read(self, name: str, delta: pl.DataFrame) -> pl.DataFrame:
        """Views read a changelog with weights and an append-only relation without."""
        relation = self.relations[name.lower()]
        if relation.changelog:
            return delta if WEIGHT in delta.columns else weighted(delta, 1)
        return repeat_rows(delta) if WEIGHT in delta.columns else delta

    def _into(
        self, flow: Outflow, delta: pl.DataFrame, so_far: Deltas
    ) -> tuple[Table, pl.DataFrame]:
        assert flow.into is not None
        table = self.relations[flow.into.lower()]
        assert isinstance(table, Table)
        if flow.history:
            keys = flow.view.unique_keys
            return table, weighted(operations(delta, keys[0] if keys else ()), 1)
        before = table.contents.weighted()
        if table.name in so_far:
            before = consolidate(pl.concat([before, so_far[table.name]]))
        return table, into_table(table, delta, before)

    def _show(self, total: Deltas, handed: Deltas) -> None:
        for name, delta in total.items():
            contents = self.relations[name.lower()].contents
            assert contents is not None
            contents.apply(delta)
        for name, delta in handed.items():
            delivery = self.outflows[name.lower()].delivery
            assert delivery is not None
            delivery.hand(self.epoch, self._as_written(name, delta))
        for watcher in list(self.watchers):
            watcher.see(total)
        self._tidy(total)

    def _as_written(self, name: str, delta: pl.DataFrame) -> pl.DataFrame:
        if not self.outflows[name.lower()].view.changelog:
            return repeat_rows(delta) if WEIGHT in delta.columns else delta
        return consolidate(delta if WEIGHT in delta.columns else weighted(delta, 1))

    # -- views -----------------------------------------------------------------------------------

    def maintained(self) -> list[View]:
        """Return the views that are kept up to date, in the order in which they were made."""
        views = (r for r in self.relations.values() if isinstance(r, View))
        return [view for view in views if view.maintained is not None]

    def rebuild(self) -> None:
        """Compute every view afresh: a failed statement may have reached some and not others."""
        for view in self.maintained():
            fill(self.relations, view, self.now, self.complete)
        for flow in self.outflows.values():
            self._first(flow)

    def begin(self, flow: Outflow, text: str) -> None:
        """Add an outflow, and write its statement down; what its query holds now goes out first."""
        first = self._first(flow)
        self.outflows[flow.name.lower()] = flow
        try:
            if flow.into is not None:
                found = {} if first is None else dict([self._named_change(flow, first)])
                self.apply(found, None, text)
                return
            handed = {} if first is None or not first.height else {flow.name: first}
            self.epoch += 1
            self.commit(text, handed=handed)
        except BaseException:
            del self.outflows[flow.name.lower()]
            raise
        self._show({}, handed)

    def _named_change(self, flow: Outflow, delta: pl.DataFrame) -> tuple[str, pl.DataFrame]:
        table, change = self._into(flow, delta, {})
        return table.name, change

    def _first(self, flow: Outflow) -> pl.DataFrame | None:
        """Compute an outflow's query afresh; its rows are kept where they go to."""
        delta = fill(self.relations, flow.view, self.now, self.complete)
        flow.view.contents = None
        return delta

    def dependents(self, names: Iterable[str]) -> list[str]:
        """Return the views and outflows that read any of these or write to them, however indirectly."""
        return _closure(names, self._edges())

    def reached(self, name: str) -> set[str]:
        """Return a relation and all that its changes reach, tables that outflows fill among them."""
        filled = [(f.into.lower(), {key}) for key, f in self.outflows.items() if f.into]
        return {name.lower(), *_closure([name], [*self._edges(), *filled])}

    def _edges(self) -> list[tuple[str, set[str]]]:
        views = [(k, set(v.reads)) for k, v in self.relations.items() if isinstance(v, View)]
        flows = [
            (k, set(f.view.reads) | ({f.into.lower()} if f.into and not f.history else set()))
            for k, f in self.outflows.items()
        ]
        return views + flows

    def remove(self, name: str) -> None:
        """Forget a relation or outflow; who follows it has seen all of it."""
        self.relations.pop(name, None)
        for watcher in list(self.watchers):
            if watcher.name.lower() == name:
                watcher.close()
        flow = self.outflows.pop(name, None)
        if flow is not None and flow.delivery is not None:
            flow.delivery.close()
        self.complete.discard(name)

    # -- dead letters ----------------------------------------------------------------------------

    def keep_dead(self, frames: Iterable[pl.DataFrame]) -> None:
        """Keep the latest rows that sources refused."""
        found = [frame.select(DEAD_LETTER_SCHEMA.names()) for frame in frames]
        self._dead = pl.concat([self._dead, *found], how="vertical_relaxed").tail(_KEPT_DEAD)

    def dead_letters(self) -> pl.DataFrame:
        """Return the rows that were refused."""
        found = [maintained.dead_letters for maintained in self._all_maintained()]
        found += [f.delivery.refused() for f in self.outflows.values() if f.delivery is not None]
        return pl.concat([self._dead, *found], how="vertical_relaxed")

    # -- the log ---------------------------------------------------------------------------------

    def commit(
        self,
        *texts: str,
        deltas: Deltas | None = None,
        gone: Sequence[str] = (),
        notes: Mapping[str, bytes | None] | None = None,
        handed: Deltas | None = None,
    ) -> None:
        """Write down statements, changes of tables, and what sinks are still to be given."""
        if self.log is None:
            return
        tables = [(n.lower(), delta) for n, delta in (deltas or {}).items() if self._is_table(n)]
        written = {**self._applied(), **(notes or {})}
        for name in gone:
            written[f"position/{name}"] = None
            written |= dict.fromkeys(self.log.notes(f"outbox/{name}/"))
        for name, delta in (handed or {}).items():
            key = f"outbox/{name.lower()}/{self.epoch:020d}"
            written[key] = packed(self._as_written(name, delta))
        written["epoch"] = str(self.epoch).encode()
        written["clock"] = str(self.now).encode()
        self.log.commit(texts, tables, list(gone), written)

    def _is_table(self, name: str) -> bool:
        return not isinstance(self.relations.get(name.lower()), View)

    def _applied(self) -> dict[str, bytes | None]:
        """Return the notes of output that has reached its sink, to be forgotten."""
        assert self.log is not None
        found: dict[str, bytes | None] = {}
        for key, flow in self.outflows.items():
            if flow.delivery is not None and flow.delivery.error is None:
                for note in self.log.notes(f"outbox/{key}/"):
                    if int(note.rpartition("/")[2]) <= flow.delivery.applied:
                        found[note] = None
        return found

    def recovered(self, log: SessionLog) -> None:
        """Go on with a log whose statements and changes were taken in: count on, fence the one before."""
        known = {**log.notes("epoch"), **log.notes("session"), **log.notes("token")}
        self.epoch = int(known.get("epoch", b"0"))
        self._token = int(known.get("token", b"0")) + 1
        self._session = known.get("session", uuid.uuid4().hex.encode()).decode()
        notes = {"token": str(self._token).encode(), "session": self._session.encode()}
        log.commit(notes=notes)
        self.log = log

    def open_delivery(self, flow: Outflow) -> None:
        """Connect a sink, and hand it what was written down for it and may not have arrived."""
        if flow.delivery is None:
            return
        identity, staged = None, []
        if self.log is not None:
            identity = SinkIdentity(f"{self._session}/{flow.name}", self._token)
            notes = self.log.notes(f"outbox/{flow.name.lower()}/")
            staged = [(int(k.rpartition("/")[2]), unpacked(data)) for k, data in notes.items()]
        flow.delivery.open(identity, flow.frame_schema(), staged)

    def _tidy(self, deltas: Deltas) -> None:
        if self.log is None:
            return
        for name in deltas:
            table = self.relations[name.lower()]
            if not isinstance(table, Table):
                continue
            with contextlib.suppress(CheckpointError):  # the change itself is written down
                if self.log.worth_rewriting(name.lower(), len(table.contents)):
                    self.log.rewrite(name.lower(), table.contents.weighted())

    def close(self) -> None:
        """Let sinks finish, and the log go."""
        for watcher in list(self.watchers):
            watcher.close()
        for flow in self.outflows.values():
            if flow.delivery is not None:
                flow.delivery.flush()
        if self.log is not None and self.outflows:
            self.commit()
        for flow in self.outflows.values():
            if flow.delivery is not None:
                flow.delivery.close()
        self.relations, self.outflows = {}, {}
        if self.log is not None:
            self.log.close()
            self.log = None


def _closure(names: Iterable[str], edges: Sequence[tuple[str, set[str]]]) -> list[str]:
    """Return what depends on any of these names, directly or through others, without themselves."""
    found = {name.lower() for name in names}
    above: list[str] = []
    grown = True
    while grown:
        grown = False
        for key, below in edges:
            if key not in found and below & found:
                found.add(key)
                above.append(key)
                grown = True
    return above


def _added(total: Deltas, more: Deltas) -> dict[str, pl.DataFrame]:
    """Return deltas by name, those of the same relation one after the other."""
    found = dict(total)
    for name, delta in more.items():
        found[name] = pl.concat([found[name], delta]) if name in found else delta
    return found
