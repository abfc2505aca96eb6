"""Live reading of a JetStream stream, by its sequence numbers, which we keep."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import polars as pl

from penstock.connectors.contract import Position
from penstock.connectors.messaging.facts import HEADERS, INSTANT
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.nats import protocol
from penstock.connectors.nats.protocol import Message
from penstock.connectors.nats.session import NO_ANSWERER, Session
from penstock.connectors.options import Start
from penstock.errors import ConnectorError, Fault

_BATCH = 5_000
"""Messages asked for at once."""
_NO_MESSAGES = 404
_TIMED_OUT = 408
_LINGERS_S = 300
"""How long the server keeps the place of a reader that is gone; ours is in the checkpoint."""
_SEQUENCE, _TIME = -4, -2
"""Where in a reply subject they are, from its end: ``...sequence.consumed.time.pending``."""


class Held(msgspec.Struct):
    """A position: when the stream was created, the last sequence handed over, and the one to end at."""

    created: str
    sequence: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a live source is told; see ``NatsSourceSpec``."""

    step: str
    server: Server
    token: str | None
    stream: str
    subject: str | None
    start: Start | datetime | int
    stops: bool
    wanted: tuple[str, ...]


def connect(reading: Reading, position: Position | None) -> NatsLink:
    """Connect, and find where to go on."""
    session = Session(reading.server, reading.token, reading.step)
    try:
        return NatsLink(reading, session, _resumed(session, reading, position))
    except BaseException:
        session.close()
        raise


def _resumed(session: Session, reading: Reading, position: Position | None) -> Held:
    told = session.stream(reading.stream)
    if told is None:
        raise ConnectorError(
            f"there is no stream {reading.stream!r}",
            step=reading.step,
            value=reading.stream,
            fault=Fault.USER,
            hint="create it, or check the name",
        )
    created, last = str(told["created"]), int(told["state"]["last_seq"])
    if position is None:
        first = last if reading.start is Start.LATEST else 0
        if isinstance(reading.start, int):
            first = reading.start - 1
        return Held(created, first, last if reading.stops else None)
    try:
        held = msgspec.convert(position, Held)
    except msgspec.ValidationError as error:
        raise ConnectorError(
            f"this is no position of a NATS source: {error}",
            step=reading.step,
            fault=Fault.USER,
            hint="the checkpoint is of another source under the same name",
        ) from error
    if held.created != created:
        raise ConnectorError(
            f"the stream {reading.stream!r} is not the one that the checkpoint was taken with",
            step=reading.step,
            value=reading.stream,
            fault=Fault.USER,
            hint="it was removed and created anew; start with a new checkpoint folder",
        )
    if reading.stops and held.stop is None:
        held.stop = last
    return held


class NatsLink:
    """A connection with a consumer of its own, that asks for messages in batches."""

    def __init__(self, reading: Reading, session: Session, held: Held) -> None:
        self._reading = reading
        self._session = session
        self._held = held
        self._ahead: deque[Message] = deque()
        self._open = 0  # messages that were asked for and did not come yet
        self._asked = 0
        self._asked_at = 0.0
        self._waits = False
        self.at_end = False
        self._consumer = "" if self.ended else self._made()

    def _made(self) -> str:
        """Have the server keep a place for this connection."""
        reading, held = self._reading, self._held
        config: dict[str, Any] = {
            "ack_policy": "none",
            "replay_policy": "instant",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": held.sequence + 1,
            "inactive_threshold": _LINGERS_S * 1_000_000_000,
            "mem_storage": True,
        }
        if held.sequence == 0 and isinstance(reading.start, datetime):
            del config["opt_start_seq"]
            config["deliver_policy"] = "by_start_time"
            config["opt_start_time"] = reading.start.isoformat()
        if reading.subject is not None:
            config["filter_subject"] = reading.subject
        told = self._session.ask(
            f"CONSUMER.CREATE.{reading.stream}", stream_name=reading.stream, config=config
        )
        return str(told["name"])

    @property
    def position(self) -> Position:
        """The sequence handed over last."""
        held = self._held
        stop = {} if held.stop is None else {"stop": held.stop}
        return {"created": held.created, "sequence": held.sequence, **stop}

    @property
    def ended(self) -> bool:
        """Whether the sequence to end at has come."""
        return self._held.stop is not None and self._held.sequence >= self._held.stop

    def fetch(self, most: int, wait_s: float) -> pl.DataFrame:
        """Return the next messages."""
        if self.ended:
            self.at_end = True
            return self._frame([])
        if len(self._ahead) < most:
            self._request(wait_s)
            self._take(self._session.receive(0.0 if self._ahead else wait_s))
        found = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
        if found:
            found = self._before_stop(found)
        return self._frame(found)

    def _before_stop(self, found: list[Message]) -> list[Message]:
        held = self._held
        last = _number(found[-1], _SEQUENCE)
        if held.stop is not None and last > held.stop:
            found = [m for m in found if _number(m, _SEQUENCE) <= (held.stop or 0)]
            last = held.stop
        held.sequence = last
        return found

    def _request(self, wait_s: float) -> None:
        """Ask for the next batch before this one has come wholly; wait only if nothing is there."""
        if self._open > _BATCH // 2:
            return
        if self._waits and self._open:  # asked to wait, and nothing has come yet
            if time.monotonic() < self._asked_at + wait_s + self._reading.server.timeout_s:
                return
            raise lost_connection(self._reading.step, "the server does not answer")
        self._asked += 1
        self._asked_at = time.monotonic()
        self._waits = self.at_end and wait_s > 0
        how: dict[str, Any] = {"batch": _BATCH, "no_wait": True}
        if self._waits:
            how = {"batch": _BATCH, "expires": int(max(wait_s, 0.1) * 1e9)}
        self._open = _BATCH
        self._take(
            self._session.send(
                protocol.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{self._reading.stream}.{self._consumer}".encode(),
                    self._inbox,
                    msgspec.json.encode(how),
                )
            )
        )

    @property
    def _inbox(self) -> bytes:
        return b"%b.m%d" % (self._session.inbox, self._asked)

    def _take(self, found: list[Message]) -> None:
        for message in found:
            status = message.status if message.header else 0
            if not status:
                self._ahead.append(message)
                self._open -= 1
                self.at_end = message.reply.endswith(b".0")
            elif message.subject == self._inbox:
                self._told(status)
        if self._open <= 0:
            self._waits = False

    def _told(self, status: int) -> None:
        """Take in why no more messages come for what was asked."""
        if status == NO_ANSWERER or status >= 409:
            raise lost_connection(self._reading.step, "the server has forgotten the consumer")
        self._open, self._waits = 0, False
        if status in (_NO_MESSAGES, _TIMED_OUT):
            self.at_end = True
            if self._held.stop is not None and not self._ahead:
                self._held.sequence = self._held.stop  # what lies between is deleted, or of others

    def _frame(self, messages: list[Message]) -> pl.DataFrame:
        wanted = self._reading.wanted
        columns = {"value": pl.Series([m.payload for m in messages], dtype=pl.Binary())}
        if "sequence" in wanted or "timestamp" in wanted:
            words = pl.Series([m.reply for m in messages], dtype=pl.Binary()).cast(pl.String)
            parts = words.str.split(".")
            columns["sequence"] = parts.list.get(_SEQUENCE).cast(pl.Int64)
            if "timestamp" in wanted:
                columns["timestamp"] = (parts.list.get(_TIME).cast(pl.Int64) // 1000).cast(INSTANT)
        if "topic" in wanted:
            subjects = pl.Series([m.subject for m in messages], dtype=pl.Binary())
            columns["topic"] = subjects.cast(pl.String)
        if "headers" in wanted:
            columns["headers"] = pl.Series([_headers(m) for m in messages], dtype=HEADERS)
        return pl.DataFrame(columns)

    def acknowledge(self, position: Position) -> None:
        """Nothing: the stream keeps its messages."""

    def wake(self) -> None:
        """End a waiting fetch."""
        self._session.wake()

    def close(self) -> None:
        """Leave."""
        self._session.close()


def _number(message: Message, place: int) -> int:
    return int(message.reply.split(b".")[place])


def _headers(message: Message) -> list[dict[str, object]] | None:
    if not message.header:
        return None
    return [{"name": n.decode(errors="replace"), "value": v} for n, v in message.headers]
