"""Live writing to JetStream: each message is confirmed, and has an id by which repetitions are known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.messaging.outgoing import TARGET, Outgoing, keys_of
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.nats import protocol
from penstock.connectors.nats.protocol import Message
from penstock.connectors.nats.session import NO_ANSWERER, Session
from penstock.errors import ConnectorError, Fault

_IN_FLIGHT = 4_096
ID = b"Nats-Msg-Id"
KEY = b"Penstock-Key"


class _Acknowledged(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """What a live sink is told; see ``NatsSinkSpec``."""

    step: str
    server: Server
    token: str | None
    outgoing: Outgoing
    stream: str | None
    duplicates_s: float


class NatsSink:
    """Publishes with ids of sink, epoch and number, which the server drops if they come again soon."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._step = writing.step
        self._session: Session | None = None
        self._identity: SinkIdentity | None = None
        self._waiting = 0

    def begin(
        self,
        identity: SinkIdentity | None,
        schema: pl.Schema | None = None,  # noqa: ARG002 - streams have none
    ) -> int | None:
        """Connect, and create the stream if one is named that is not there."""
        self._identity = identity
        session, name = self._connected(), self._writing.stream
        if name is not None and session.stream(name) is None:
            target = self._writing.outgoing.target
            session.ask(
                f"STREAM.CREATE.{name}",
                name=name,
                subjects=[target.pattern("*")],
                retention="limits",
                storage="file",
                num_replicas=1,
                max_consumers=-1,
                max_msgs=-1,
                max_bytes=-1,
                max_age=0,
                discard="old",
                duplicate_window=int(self._writing.duplicates_s * 1e9),
            )
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Publish the messages of ``frames``, and wait until the stream has them."""
        try:
            first = 0
            for messages in self._writing.outgoing.encode(frames):
                self._publish(messages, epoch, first)
                first += messages.height
            self._settle(0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _connected(self) -> Session:
        if self._session is None:
            writing = self._writing
            self._session, self._waiting = Session(writing.server, writing.token, self._step), 0
        return self._session

    def _publish(self, messages: pl.DataFrame, epoch: int, first: int) -> None:
        session = self._connected()
        encoded = self._encoded(messages, session, epoch, first)
        while True:
            chunk = list(islice(encoded, _IN_FLIGHT - self._waiting))
            if not chunk:
                return
            self._waiting += len(chunk)
            self._take(session.send(b"".join(chunk)) + session.receive(0))
            self._settle(_IN_FLIGHT // 2)

    def _encoded(
        self, messages: pl.DataFrame, session: Session, epoch: int, first: int
    ) -> Iterator[bytes]:
        reply = b"%b.p" % session.inbox
        identity = self._identity
        stem = None if identity is None else f"{identity.sink_id}/{epoch}/".encode()
        columns = [messages[TARGET].to_list(), messages["value"].to_list(), keys_of(messages)]
        given = messages["headers"].to_list() if "headers" in messages.columns else None
        for number, (target, value, key) in enumerate(zip(*columns, strict=True)):
            pairs = [] if stem is None else [(ID, b"%b%d" % (stem, first + number))]
            if key is not None:
                pairs.append((KEY, key))
            if given is not None:
                pairs += [(h["name"].encode(), h["value"] or b"") for h in given[number] or ()]
            header = protocol.header_block(pairs) if pairs else b""
            packet = protocol.publish(target.encode(), reply, value or b"", header)
            if len(value or b"") + len(header) > session.max_payload:
                raise ConnectorError(
                    f"a message for {target!r} is larger than the {session.max_payload} bytes that "
                    "the server takes",
                    step=self._step,
                    value=len(value or b""),
                    fault=Fault.USER,
                    hint="raise its max_payload, or make the rows smaller",
                )
            yield packet

    def _settle(self, most: int) -> None:
        """Wait until at most so many messages are not confirmed."""
        session, patience_s = self._connected(), self._writing.server.timeout_s
        until = time.monotonic() + patience_s
        while self._waiting > most:
            found = session.receive(min(1.0, patience_s))
            self._take(found)
            if found:
                until = time.monotonic() + patience_s
            elif time.monotonic() > until:
                raise lost_connection(self._step, "the server confirms nothing")

    def _take(self, found: list[Message]) -> None:
        for message in found:
            if not message.subject.endswith(b".p"):
                continue
            if message.status == NO_ANSWERER:
                raise ConnectorError(
                    "no stream takes this subject",
                    step=self._step,
                    value=self._writing.outgoing.target.text,
                    fault=Fault.USER,
                    hint="create one, or give stream= and it is created",
                )
            told = msgspec.json.decode(message.payload, type=_Acknowledged)
            if told.error is not None:
                raise self._connected().refused(told.error, "a message")
            self._waiting -= 1
