"""The thread that keeps what arrives: poll, append, acknowledge.

poll -> rows, dead letters -> one transaction, one fsync -> shelf -> acknowledge
                                                           |
                                          polls of the engine, from memory
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl

from penstock.columns import PARTITION
from penstock.connectors.contract import Polled, Position, Source
from penstock.connectors.decoding import join_dead
from penstock.connectors.durable.shelf import Mark, Shelf
from penstock.topics import Durability
from penstock.topics.journal import Journal, Kind

_POLL_ROWS = 65_536
_POLL_TIMEOUT_S = 0.25
_GROUP_S = 0.002
"""Least time from one append to the next: a trickle of single rows shares transactions (0.4 ms of
processor time each) instead of filling the machine with them. A row after a pause waits for none."""
_GROUP_ROWS = 262_144
_FORGET_EVERY_S = 1.0
_RESCUES = 64
"""Polls after the close for what the source within has read already: 4 M rows, more than any holds."""


class Note(msgspec.Struct):
    """What a journal says of the source within, as of its last append, and of its own reader."""

    position: object = None
    ended: bool = False
    partitions: list[int] = []
    acknowledged: dict[int, int] = {}


@dataclass(slots=True)
class Group:
    """Some polls on their way into one transaction."""

    polled: Polled
    frames: list[pl.DataFrame] = field(default_factory=list)
    dead: list[pl.DataFrame | None] = field(default_factory=list)
    during: set[int] = field(default_factory=set)
    after: frozenset[int] = frozenset()
    rows: int = 0

    def add(self, polled: Polled, after: frozenset[int], *, carries_partition: bool) -> None:
        """Add what one poll brought; ``after``: the partitions that may bring more."""
        self.polled, self.after = polled, after
        self.during |= after
        if polled.frame.height:
            self.during.add(polled.partition)
            number = pl.lit(polled.partition, pl.UInt32).alias(PARTITION)
            frame = polled.frame.with_columns(number) if carries_partition else polled.frame
            self.frames.append(frame)
        self.dead.append(polled.dead)
        self.rows += polled.frame.height + (0 if polled.dead is None else polled.dead.height)


class Intake:
    """Owns the source within, once ``start`` was called."""

    def __init__(
        self,
        inner: Source,
        journal: Journal,
        shelf: Shelf,
        *,
        name: str,
        schema: pl.Schema,
        carries_partition: bool,
        durability: Durability,
        note: Note,
    ) -> None:
        self._inner = inner
        self._journal = journal
        self._shelf = shelf
        self._schema = schema
        self._carries_partition = carries_partition
        self._durability = durability
        self._note = note  # written by the thread alone
        self._acknowledged = note.acknowledged
        self._stopping = False
        self._forget: Mapping[Kind, int] = {}
        self._forgotten = True
        self._forget_due = 0.0
        self._append_due = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"arrivals {name}", daemon=True)

    def start(self) -> None:
        """Begin to read the source within."""
        self._thread.start()

    def forget(self, offsets: Mapping[Kind, int], acknowledged: Mapping[Kind, int]) -> None:
        """Let the journal drop what is below ``offsets``, little by little, and note the newest."""
        self._acknowledged = {int(kind): offset for kind, offset in acknowledged.items()}
        self._forget = offsets
        self._forgotten = False

    def stop(self) -> None:
        """Close the source within, keep what it had read already, and end the thread."""
        self._stopping = True
        self._inner.close()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        try:
            while not self._stopping:
                if self._ended:
                    self._shelf.wait_for_close(_POLL_TIMEOUT_S)
                elif self._shelf.wait_for_room(_POLL_TIMEOUT_S) and not self._stopping:
                    self._keep(self._gather())
                self._forget_some()
            if not self._ended:
                self._rescue()
        except BaseException as error:  # noqa: BLE001 - raised again by the next poll
            self._shelf.fail(error)

    def _gather(self) -> Group:
        """Poll once; if the last append was only just, until the next is due."""
        group = self._poll(None, _POLL_TIMEOUT_S)
        while (
            0 < group.rows < _GROUP_ROWS
            and not group.polled.ended
            and not self._stopping
            and (left := self._append_due - time.monotonic()) > 0
        ):
            self._poll(group, left)
        return group

    def _poll(self, group: Group | None, timeout_s: float) -> Group:
        polled = self._inner.poll(_POLL_ROWS, timeout_s)
        group = Group(polled) if group is None else group
        after = frozenset(self._inner.partitions())
        group.add(polled, after, carries_partition=self._carries_partition)
        return group

    def _keep(self, group: Group) -> None:
        polled = group.polled
        moved = polled.position != self._note.position  # without rows: a release, a heartbeat
        if group.rows or polled.ended or moved:
            if group.rows or polled.ended:
                self._shelf.busy()
            seen = sorted(group.during.union(self._note.partitions))
            self._note = Note(polled.position, polled.ended, seen)
            rows = pl.concat(group.frames) if group.frames else pl.DataFrame(schema=self._schema)
            dead = join_dead(*group.dead)
            note = self._encoded_note()
            stored = self._journal.append(rows, dead, note, self._forget, self._durability)
            self._append_due = time.monotonic() + _GROUP_S
            self._shelf.put(rows, dead, Mark(0, 0, stored, frozenset(group.during), group.after))
            self._inner.acknowledge(polled.position)
        self._ended = polled.ended
        self._shelf.tell(group.after, caught_up=polled.caught_up, ended=polled.ended)

    def _encoded_note(self) -> bytes:
        noted = msgspec.structs.replace(self._note, acknowledged=self._acknowledged)
        return msgspec.json.encode(noted)

    def _rescue(self) -> None:
        """Keep what the source within had read before it was closed."""
        with contextlib.suppress(Exception):
            for _ in range(_RESCUES):
                group = self._poll(None, 0.0)
                if not group.rows:
                    return
                self._keep(group)

    def _forget_some(self) -> None:
        now = time.monotonic()
        if self._forgotten or now < self._forget_due:
            return
        self._forgotten = True  # before the look at what to forget: it may become more meanwhile
        if self._journal.forget(self._forget, self._encoded_note()):
            self._forgotten = False
        else:
            self._forget_due = now + _FORGET_EVERY_S


def read_note(data: bytes | None) -> Note:
    """Decode the note of a journal; a new one has none."""
    return Note() if data is None else msgspec.json.decode(data, type=Note)


def as_position(identity: str, offsets: Mapping[Kind, int]) -> Position:
    """Return a position: the offsets of the journal, as of any topic."""
    return {"topic": identity, "offsets": {str(int(kind)): at for kind, at in offsets.items()}}
