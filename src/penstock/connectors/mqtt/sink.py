"""Live writing to MQTT: each message is answered by the broker before an epoch counts as written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import polars as pl

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.messaging.outgoing import TARGET, Outgoing
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.failures import refusal
from penstock.connectors.mqtt.packets import V5, Answer, Kind, Packet
from penstock.connectors.mqtt.session import Client, Session
from penstock.errors import ConnectorError, Fault

_MOST_IN_FLIGHT = 8_192
"""Messages without answer at once, if the broker allows it."""
_NARROW = 256
"""Of a window so small each answer is used at once: what is sent tells TCP that it has come, for which
a broker with Nagle's algorithm waits (40 ms; Mosquitto's window is 20)."""
_FAILURE = 0x80
_IDENTIFIERS = 65_535


@dataclass(frozen=True, slots=True)
class Writing:
    """What a live MQTT sink is told; see ``MqttSinkSpec``."""

    step: str
    server: Server
    client: Client
    outgoing: Outgoing
    qos: int
    retain: bool


class MqttSink:
    """Publishes; what an epoch that broke off has sent already is sent again."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._step = writing.step
        self._session: Session | None = None
        self._next = 0
        self._waiting: set[int] = set()

    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002 - brokers keep no record of epochs
        schema: pl.Schema | None = None,  # noqa: ARG002
    ) -> int | None:
        """Connect."""
        self._connected()
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:  # noqa: ARG002
        """Publish the messages of ``frames``, and wait until the broker has them."""
        try:
            for messages in self._writing.outgoing.encode(frames):
                self._publish(messages)
            self._settle(0)
        except BaseException:
            self._throw_away()
            raise

    def close(self) -> None:
        """Leave."""
        self._throw_away()

    def _connected(self) -> Session:
        if self._session is None:
            writing = self._writing
            session = Session(writing.server, writing.client, self._step)
            self._session, self._next, self._waiting = session, 0, set()
            if writing.qos > session.qos_limit or (writing.retain and not session.retains):
                code = 0x9B if writing.qos > session.qos_limit else 0x9A
                raise refusal(Answer(code, {}), V5, self._step, "writing")
        return self._session

    def _throw_away(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # -- publishing

    def _publish(self, messages: pl.DataFrame) -> None:
        session, qos = self._connected(), self._writing.qos
        limit = min(_MOST_IN_FLIGHT, session.in_flight_limit)
        encoded = self._encoded(messages, session)
        done = False
        while not done:
            room = limit - len(self._waiting)
            chunk = list(islice(encoded, room))
            done = len(chunk) < room
            self._take(session.send(b"".join(chunk)) + (session.receive(0) if qos else []))
            if qos and not done:
                self._settle(limit // 2 if limit > _NARROW else limit - 1)

    def _encoded(self, messages: pl.DataFrame, session: Session) -> Iterator[bytes]:
        """Encode messages one by one, each with an identifier that is free."""
        writing, version, limit = self._writing, session.version, session.packet_limit
        headers = _headers(messages) if version == V5 else [b""] * messages.height
        values = messages["value"].to_list()
        for target, value, pairs in zip(messages[TARGET].to_list(), values, headers, strict=True):
            packet = packets.publish(
                version,
                target.encode(),
                value or b"",
                qos=writing.qos,
                retain=writing.retain,
                identifier=self._identifier() if writing.qos else 0,
                headers=pairs,
            )
            if len(packet) > limit:
                raise ConnectorError(
                    f"a message for {target!r} has {len(packet)} bytes; the broker takes {limit}",
                    step=self._step,
                    value=len(packet),
                    fault=Fault.USER,
                    hint="raise the broker's limit, or make the rows smaller",
                )
            yield packet

    def _identifier(self) -> int:
        while True:
            self._next = self._next % _IDENTIFIERS + 1
            if self._next not in self._waiting:
                self._waiting.add(self._next)
                return self._next

    def _settle(self, most: int) -> None:
        """Wait until at most so many messages are without answer."""
        session, patience_s = self._connected(), self._writing.server.timeout_s
        until = time.monotonic() + patience_s
        while len(self._waiting) > most:
            found = session.receive(min(1.0, patience_s))
            self._take(found)
            if found:
                until = time.monotonic() + patience_s
            elif time.monotonic() > until:
                raise lost_connection(self._step, "the broker does not answer")

    def _take(self, found: list[Packet]) -> None:
        session, releases = self._connected(), list[bytes]()
        for first, body in found:
            kind = first >> 4
            if kind in (Kind.PUBACK, Kind.PUBCOMP, Kind.PUBREC):
                identifier, reason = packets.read_identifier(body)
                if reason >= _FAILURE:
                    raise refusal(Answer(reason, {}), V5, self._step, "a message")
                if kind == Kind.PUBREC:
                    releases.append(packets.answer(Kind.PUBREL, identifier))
                else:
                    self._waiting.discard(identifier)
            elif kind == Kind.DISCONNECT:
                raise session.disconnected(body)
        if releases:
            self._take(session.send(b"".join(releases)))


def _headers(messages: pl.DataFrame) -> list[bytes]:
    if "headers" not in messages.columns:
        return [b""] * messages.height
    return [
        packets.user_properties([(h["name"].encode(), h["value"] or b"") for h in given])
        if given
        else b""
        for given in messages["headers"].to_list()
    ]
