"""Live reading of a stream of Redis: by ids that we keep, or as a member of a group."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from penstock.connectors.contract import Keeper, Position
from penstock.connectors.messaging.facts import HEADERS, INSTANT
from penstock.connectors.messaging.server import Server
from penstock.connectors.options import Start
from penstock.connectors.redis.connection import Connection
from penstock.errors import ConnectorError, Fault

_MOST = 5_000
"""Entries asked for at once: 355 k/s; more do not make it faster."""
_BEGINNING = "0-0"
_NEW = ">"


class Held(msgspec.Struct):
    """A position: the id handed over last, and the one to end at, if there is one."""

    id: str
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a live source is told; see ``RedisSourceSpec``."""

    step: str
    server: Server
    db: int
    stream: str
    field: bytes
    start: Start | datetime | str
    stops: bool
    group: str | None
    consumer: str
    keeper: Keeper
    wanted: tuple[str, ...]


class Connector:
    """Makes links; of a group it knows which entries are handed over and not acknowledged."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._open: dict[bytes, None] = {}

    def __call__(self, position: Position | None) -> StreamLink:
        """Connect, and find where to go on."""
        reading = self._reading
        connection = Connection(reading.server, reading.db, reading.step)
        try:
            if reading.group is not None:
                _join(connection, reading)
                return GroupLink(reading, connection, self._open)
            return StreamLink(reading, connection, _resumed(connection, reading, position))
        except BaseException:
            connection.close()
            raise


class StreamLink:
    """Reads entries after an id."""

    def __init__(self, reading: Reading, connection: Connection, held: Held) -> None:
        self._reading = reading
        self._connection = connection
        self._held = held
        self.at_end = False

    @property
    def position(self) -> Position:
        """The id handed over last."""
        stop = {} if self._held.stop is None else {"stop": self._held.stop}
        return {"id": self._held.id, **stop}

    @property
    def ended(self) -> bool:
        """Whether the id to end at has come."""
        held = self._held
        return held.stop is not None and _order(held.id) >= _order(held.stop)

    def fetch(self, most: int, wait_s: float) -> pl.DataFrame:
        """Return the next entries."""
        if self.ended:
            self.at_end = True
            return self._frame([])
        found = self._asked(min(most, _MOST), wait_s)
        if self._held.stop is not None:
            stop = _order(self._held.stop)
            kept = [entry for entry in found if _order(entry[0].decode()) <= stop]
            if len(kept) < len(found) or not found:  # the last ones were deleted
                self._held.id = self._held.stop
            found = kept
        if found:
            self._held.id = max(found[-1][0].decode(), self._held.id, key=_order)
        return self._frame(found)

    def _asked(self, most: int, wait_s: float) -> list[Any]:
        words = ["XREAD", "COUNT", most]
        return self._read(words, self._held.id, most, wait_s)

    def _read(self, words: list[Any], after: str, most: int, wait_s: float) -> list[Any]:
        """Ask, first for what is there, then waiting."""
        name = ("STREAMS", self._reading.stream, after)
        answer = self._connection.call(*words, *name)
        if not answer and wait_s > 0 and not self._reading.stops:
            blocking = ("BLOCK", max(1, int(wait_s * 1000)))
            answer = self._connection.call(*words, *blocking, *name, wait_s=wait_s)
        found = answer[0][1] if answer else []
        self.at_end = len(found) < most
        return list(found)

    def _frame(self, entries: list[Any]) -> pl.DataFrame:
        reading = self._reading
        field, wanted = reading.field, reading.wanted
        ids = [entry[0] for entry in entries]
        values = [_value(entry[1], field) for entry in entries]
        columns = {"value": pl.Series(values, dtype=pl.Binary())}
        if wanted:
            texts = pl.Series(ids, dtype=pl.Binary()).cast(pl.String)
            columns["id"] = texts
            if "timestamp" in wanted:
                millis = texts.str.split("-").list.first().cast(pl.Int64)
                columns["timestamp"] = (millis * 1000).cast(INSTANT)
        if "topic" in wanted:
            columns["topic"] = pl.repeat(reading.stream, len(ids), dtype=pl.String(), eager=True)
        if "headers" in wanted:
            others = [_headers(entry[1], field) for entry in entries]
            columns["headers"] = pl.Series(others, dtype=HEADERS)
        return pl.DataFrame(columns)

    def acknowledge(self, position: Position) -> None:
        """Nothing: the stream keeps its entries."""

    def wake(self) -> None:
        """Nothing: a wait is short."""

    def close(self) -> None:
        """Leave."""
        self._connection.close()


class GroupLink(StreamLink):
    """Reads as a member of a group: first what it was given before, then what nobody was."""

    def __init__(self, reading: Reading, connection: Connection, given: dict[bytes, None]) -> None:
        super().__init__(reading, connection, Held(_BEGINNING))
        self._open = given
        self._after = _BEGINNING
        self._due: deque[bytes] = deque()
        self._unkept: deque[tuple[str, list[bytes]]] = deque()

    def _asked(self, most: int, wait_s: float) -> list[Any]:
        if self._reading.keeper is Keeper.NOBODY:
            self.acknowledge(self.position)
        self._acknowledge_due()
        assert self._reading.group is not None
        words = ["XREADGROUP", "GROUP", self._reading.group, self._reading.consumer, "COUNT", most]
        if self._after != _NEW:
            return self._given_before(words, most)
        found = self._read(words, _NEW, most, wait_s)
        self._hand_over(found)
        return found

    def _given_before(self, words: list[Any], most: int) -> list[Any]:
        """Read entries that are not acknowledged; those that are handed over already are known."""
        found = self._read(words, self._after, most, 0.0)
        self.at_end = False
        if not found:
            self._after = _NEW
            return []
        self._after = found[-1][0].decode()
        fresh = [entry for entry in found if entry[0] not in self._open]
        known = [entry[0] for entry in found if entry[0] in self._open]
        if known:
            self._unkept.append((known[-1].decode(), known))
        gone = [entry[0] for entry in fresh if entry[1] is None]  # trimmed meanwhile
        self._due.extend(gone)
        self._hand_over(fresh := [entry for entry in fresh if entry[1] is not None])
        return fresh

    def _hand_over(self, found: list[Any]) -> None:
        if found:
            ids = [entry[0] for entry in found]
            self._open.update(dict.fromkeys(ids))
            self._unkept.append((ids[-1].decode(), ids))

    def acknowledge(self, position: Position) -> None:
        """Tell the group with the next fetch."""
        kept = _order(_held(position, self._reading.step).id)
        while self._unkept and _order(self._unkept[0][0]) <= kept:
            self._due.extend(self._unkept.popleft()[1])

    def _acknowledge_due(self) -> None:
        while self._due:
            some = [self._due[n] for n in range(min(_MOST, len(self._due)))]
            self._connection.call("XACK", self._reading.stream, self._reading.group or "", *some)
            for each in some:
                self._due.popleft()
                self._open.pop(each, None)

    def close(self) -> None:
        """Say what is kept, and leave."""
        try:
            self._acknowledge_due()
        except ConnectorError:  # then it comes again
            pass
        finally:
            super().close()


def _join(connection: Connection, reading: Reading) -> None:
    """Create the group if it is not there."""
    begin = "$" if reading.start is Start.LATEST else _first(reading, _BEGINNING)
    try:
        connection.call("XGROUP", "CREATE", reading.stream, reading.group or "", begin, "MKSTREAM")
    except ConnectorError as error:
        if "BUSYGROUP" not in error.message:
            raise


def _resumed(connection: Connection, reading: Reading, position: Position | None) -> Held:
    """Return where to go on, and to end."""
    last = _last_id(connection, reading.stream)
    if position is None:
        return Held(_first(reading, last), last if reading.stops else None)
    held = _held(position, reading.step)
    if _order(last) < _order(held.id):
        raise ConnectorError(
            f"the stream {reading.stream!r} ends before {held.id}, where reading goes on",
            step=reading.step,
            value=held.id,
            fault=Fault.USER,
            hint="it was removed and created anew, or the server lost entries; start with a new "
            "checkpoint folder",
        )
    if reading.stops and held.stop is None:
        held.stop = last
    return held


def _first(reading: Reading, last: str) -> str:
    """Return the id after which to begin."""
    start = reading.start
    if isinstance(start, datetime):
        return f"{max(0, int(start.timestamp() * 1000) - 1)}-{(1 << 64) - 1}"
    if start is Start.LATEST:
        return last
    return _BEGINNING if isinstance(start, Start) else start


def _last_id(connection: Connection, stream: str) -> str:
    """Return the id that was given last; a stream that is not there yet has given none."""
    try:
        told = connection.call("XINFO", "STREAM", stream)
    except ConnectorError as error:
        if "no such key" in error.message:
            return _BEGINNING
        raise
    facts = dict(zip(told[::2], told[1::2], strict=True))
    last: bytes = facts[b"last-generated-id"]
    return last.decode()


def _held(position: Position, step: str) -> Held:
    try:
        return msgspec.convert(position, Held)
    except msgspec.ValidationError as error:
        raise ConnectorError(
            f"this is no position of a Redis source: {error}",
            step=step,
            fault=Fault.USER,
            hint="the checkpoint is of another source under the same name",
        ) from error


def _order(entry: str) -> tuple[int, int]:
    millis, _, number = entry.partition("-")
    return int(millis), int(number or 0)


def _value(fields: list[bytes], wanted: bytes) -> bytes | None:
    if len(fields) == 2 and fields[0] == wanted:
        return fields[1]
    for at in range(0, len(fields), 2):
        if fields[at] == wanted:
            return fields[at + 1]
    return None


def _headers(fields: list[bytes], value: bytes) -> list[dict[str, object]]:
    return [
        {"name": fields[at].decode(errors="replace"), "value": fields[at + 1]}
        for at in range(0, len(fields), 2)
        if fields[at] != value
    ]
