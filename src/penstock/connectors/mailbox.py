"""Messages between the thread of a client, which receives them, and the polls, which take them.

    client thread     put(b"m1", mark 1) put(b"m2", mark 2) ...     waits while too much is there
    poll              take(100) -> entries, in order

A mark says how to go on behind an entry; what it is only the client knows.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.record_rows import VALUE, RecordRows

MAX_ENTRIES = 65_536
MAX_BYTES = 32 << 20
"""What waits to be polled, at most; beyond, the client does not read on."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message; ``beside`` holds the columns beside it, ``mark`` how to go on behind it."""

    value: bytes
    beside: tuple[object, ...] = ()
    mark: object = None


class Mailbox:
    """A queue of entries with a limit, and what is known of the client."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._quiet = False
        self._ended = False
        self.closed = False

    # By the client

    @property
    def full(self) -> bool:
        """Whether the client should wait."""
        return len(self._entries) >= self._max_entries or self._bytes >= self._max_bytes

    def put(self, entries: Iterable[Entry]) -> None:
        """Add entries, however many there are already."""
        with self._changed:
            for entry in entries:
                self._entries.append(entry)
                self._bytes += len(entry.value)
            self._quiet = False
            self._changed.notify_all()

    def wait_for_room(self) -> bool:
        """Wait while it is full; False once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or not self.full)
            return not self.closed

    def pause(self, seconds: float) -> bool:
        """Wait for a while; False once it is closed."""
        with self._changed:
            return not self._changed.wait_for(lambda: self.closed, seconds)

    def tell(self, *, quiet: bool) -> None:
        """Say whether the client is connected and has brought all there is."""
        with self._changed:
            self._quiet = quiet
            self._changed.notify_all()

    def end(self) -> None:
        """Say that nothing will come any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Have a poll raise, once everything before was taken."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    # By the polls

    def take(self, most: int, timeout_s: float) -> list[Entry]:
        """Wait for entries and take up to ``most``; raises what the client failed with."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._entries or self._error or self._ended or self.closed, timeout_s
            )
            if self._error is not None and not self._entries and not self.closed:
                raise self._error
            found = [self._entries.popleft() for _ in range(min(most, len(self._entries)))]
            self._bytes -= sum(len(entry.value) for entry in found)
            self._changed.notify_all()
            return found

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return len(self._entries)

    @property
    def caught_up(self) -> bool:
        """Whether everything that was there has been taken."""
        return (self._quiet or self._ended) and not self._entries

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come."""
        return self._ended and not self._entries

    def close(self) -> None:
        """Wake everybody, for the last time."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Client(Protocol):
    """What receives: it runs on a thread of its own, and puts entries into the mailbox."""

    def begin(self, position: Position | None) -> None:
        """Go on where ``position`` says, which ``passed`` gave."""

    def run(self) -> None:
        """Receive until the mailbox is closed."""

    def passed(self, entries: Sequence[Entry]) -> Position:
        """Return where to go on behind all entries handed over, ``entries`` the last of them."""

    def close(self) -> None:
        """End a receiving that waits; from any thread."""


_NUMBER = "_penstock_received"


class _Position(msgspec.Struct):
    """What a position holds: how many messages were ever handed over, and what the client says."""

    received: int = 0
    client: object = None


def places(name: str) -> Callable[[pl.DataFrame], pl.Series]:
    """Return what gives messages their places: ``NAME message 17``."""
    return lambda frame: frame.select(
        pl.format(f"{_plain(name)} message {{}}", _NUMBER)
    ).to_series()


def _plain(name: str) -> str:
    return name.replace("{", "(").replace("}", ")")  # pl.format would fill them


class MailboxSource(OnePartition):
    """A live source of what a client receives; nothing of it can be asked for again by position.

    What the client itself can ask for again (by a cursor, an id) is in the position it gives.
    """

    def __init__(self, name: str, client: Client, box: Mailbox, rows: RecordRows) -> None:
        self._client = client
        self._box = box
        self._rows = rows
        self._schema = pl.Schema({VALUE: pl.Binary(), **dict.fromkeys(rows.extra, pl.String())})
        self._held = _Position()
        self._begun_at = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def seek(self, position: Position | None) -> None:
        """Begin to receive, where the client can, behind ``position``."""
        if position is not None:
            self._held = msgspec.convert(position, _Position)
            self._begun_at = self._held.received
        self._client.begin(self._held.client)
        self._thread.start()

    def acknowledge(self, position: Position) -> None:
        """Tell the client, if it wants to know, how many messages of this run are durable."""
        acknowledged = getattr(self._client, "acknowledged", None)
        if acknowledged is not None:
            acknowledged(msgspec.convert(position, _Position).received - self._begun_at)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return what was received, as soon as there is anything."""
        entries = self._box.take(max_rows, timeout_s)
        if not entries:
            nothing = pl.DataFrame(schema=self._row_schema)
            return Polled(
                nothing,
                msgspec.to_builtins(self._held),
                caught_up=self._box.caught_up,
                ended=self._box.ended,
            )
        frame, dead = self._rows.of(self._frame(entries))
        self._held = _Position(self._held.received + len(entries), self._client.passed(entries))
        return Polled(
            frame,
            msgspec.to_builtins(self._held),
            dead=dead,
            caught_up=self._box.caught_up,
            ended=self._box.ended,
        )

    def lag(self) -> int | None:
        """Return what was received and not handed over."""
        return self._box.waiting

    @property
    def address(self) -> tuple[str, int]:
        """Where a client that listens does so."""
        found: tuple[str, int] = self._client.address  # type: ignore[attr-defined]
        return found

    def close(self) -> None:
        """Stop receiving; what is here already can still be polled."""
        self._box.close()
        self._client.close()

    @property
    def _row_schema(self) -> pl.Schema:
        decoded, extra = self._rows.decoder.schema, self._schema
        return pl.Schema(
            {name: decoded[name] if name in decoded else extra[name] for name in self._rows.names}
        )

    def _frame(self, entries: Sequence[Entry]) -> pl.DataFrame:
        columns: dict[str, object] = {VALUE: [entry.value for entry in entries]}
        for at, name in enumerate(self._rows.extra):
            columns[name] = [entry.beside[at] for entry in entries]
        first = self._held.received + 1
        numbers = pl.int_range(first, first + len(entries), eager=True).alias(_NUMBER)
        return pl.DataFrame(columns, schema=self._schema).with_columns(numbers)

    def _run(self) -> None:
        try:
            self._client.run()
        except BaseException as error:  # noqa: BLE001 - raised by the next poll
            self._box.fail(error)
