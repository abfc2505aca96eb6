"""Live reading of MQTT: a session that the broker keeps, and answers once the messages are kept."""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, replace

import polars as pl

from penstock.connectors.contract import Keeper, Position
from penstock.connectors.messaging.facts import HEADERS
from penstock.connectors.messaging.server import Server
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.failures import refusal
from penstock.connectors.mqtt.packets import Kind, Malformed, Property, Publish
from penstock.connectors.mqtt.receipts import Receipts, held_in
from penstock.connectors.mqtt.session import Client, Session
from penstock.errors import ConnectorError

_AHEAD = 200_000
"""Messages that are read ahead of ``poll`` at most; the broker keeps the others."""

_Released = int
"""An identifier that a PUBREL has freed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a live MQTT source is told; see ``MqttSourceSpec``."""

    step: str
    server: Server
    client: Client
    topics: tuple[str, ...]
    qos: int
    keeper: Keeper
    wanted: tuple[str, ...]


class Connector:
    """Makes links one after another, and knows across them which messages were handed over."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._receipts: Receipts | None = None

    def __call__(self, position: Position | None) -> MqttLink:
        """Connect and subscribe."""
        reading = self._reading
        held = None if position is None else held_in(position, reading.step)
        if self._receipts is None:
            number = 0 if held is None else held.number
            unreleased = [] if held is None else held.unreleased
            self._receipts = Receipts(number, number, dict.fromkeys(unreleased))
        session = Session(reading.server, reading.client, reading.step)
        try:
            before = () if held is None else tuple(held.topics)
            asked = self._take_up(session, before)
            return MqttLink(reading, session, self._receipts, subscribed=not asked)
        except BaseException:
            session.close()
            raise

    def _take_up(self, session: Session, before: tuple[str, ...]) -> bool:
        """Go on with the session that the broker kept, or begin one; tell whether it was asked for.

        Who subscribes again may get retained messages again.
        """
        reading, receipts = self._reading, self._receipts
        assert receipts is not None
        if session.session_present:
            receipts.reconnected()
        else:
            receipts.forget()
            before = ()
        gone = tuple(topic for topic in before if topic not in reading.topics)
        if gone:
            session.send(packets.unsubscribe(session.version, 2, gone))
        if before == reading.topics:
            return False
        qos = min(reading.qos, session.qos_limit)
        session.send(packets.subscribe(session.version, 1, reading.topics, qos))
        return True


class MqttLink:
    """A connection that brings messages."""

    def __init__(
        self, reading: Reading, session: Session, receipts: Receipts, *, subscribed: bool
    ) -> None:
        self._reading = reading
        self._session = session
        self._receipts = receipts
        self._ahead: deque[Publish | _Released] = deque()
        self._quiet = False
        self._subscribed = subscribed

    @property
    def position(self) -> Position:
        """The number handed over last, and what must be known again after a crash."""
        kept = self._reading.keeper is Keeper.TOPIC
        return {
            "number": self._receipts.number,
            "unreleased": list(self._receipts.unreleased) if kept else [],
            "topics": list(self._reading.topics),
        }

    @property
    def at_end(self) -> bool:
        """Whether the broker had nothing more to send."""
        return self._quiet and self._subscribed and not self._ahead

    @property
    def ended(self) -> bool:
        """Never."""
        return False

    def fetch(self, most: int, wait_s: float) -> pl.DataFrame:
        """Return up to ``most`` messages."""
        if self._reading.keeper is Keeper.NOBODY:
            self._receipts.kept = self._receipts.number
        self._answer()
        while len(self._ahead) < min(most, _AHEAD):
            found = self._session.receive(0.0 if self._ahead else wait_s)
            self._take(found)
            self._quiet = not found
            if not found or wait_s <= 0:
                break
        return self._frame(self._handed_over(most))

    def _take(self, found: list[packets.Packet]) -> None:
        """Sort packets: messages and releases wait in order, refusals are raised."""
        version = self._session.version
        for first, body in found:
            if first >> 4 == Kind.PUBLISH:
                try:
                    self._ahead.append(packets.read_publish(first, body, version))
                except Malformed as error:
                    raise lost_connection(self._reading.step, f"the broker sent {error}") from error
            elif first >> 4 == Kind.PUBREL:
                self._ahead.append(packets.read_identifier(body)[0])
            elif first >> 4 == Kind.SUBACK:
                said = packets.read_suback(body, version)
                if said.reason > 2:
                    raise self._refused(said)
                self._subscribed = True
            elif first >> 4 == Kind.DISCONNECT:
                raise self._session.disconnected(body)

    def _refused(self, said: packets.Answer) -> ConnectorError:
        topics = [
            topic
            for topic, reason in zip(self._reading.topics, said.reasons, strict=False)
            if reason > 2
        ]
        if self._session.version != packets.V5:  # which says no more than 0x80
            said = replace(said, reason=0x87)
        what = f"the subscription of {', '.join(topics)}"
        return refusal(said, packets.V5, self._reading.step, what)

    def _handed_over(self, most: int) -> list[Publish]:
        """Number what comes next, without what has come before."""
        receipts, ahead = self._receipts, self._ahead
        messages: list[Publish] = []
        while ahead and len(messages) < most:
            found = ahead.popleft()
            if isinstance(found, _Released):
                receipts.released(found, at_once=self._reading.keeper is not Keeper.TOPIC)
            elif found.again and found.qos and receipts.is_known(found.identifier, found.qos):
                continue
            else:
                receipts.handed_over(found.identifier, found.qos)
                messages.append(found)
        return messages

    def _frame(self, messages: list[Publish]) -> pl.DataFrame:
        columns = {"value": pl.Series([m.payload for m in messages], dtype=pl.Binary())}
        wanted = self._reading.wanted
        if "topic" in wanted:
            columns["topic"] = _texts([m.topic for m in messages])
        if "qos" in wanted:
            columns["qos"] = pl.Series([m.qos for m in messages], dtype=pl.UInt8())
        if "retain" in wanted:
            columns["retain"] = pl.Series([m.retain for m in messages], dtype=pl.Boolean())
        if "headers" in wanted:
            columns["headers"] = pl.Series([_headers(m) for m in messages], dtype=HEADERS)
        return pl.DataFrame(columns)

    def _answer(self) -> None:
        due = self._receipts.answers()
        if due:
            self._take(self._session.send(due))

    def acknowledge(self, position: Position) -> None:
        """Answer what is kept now, with the next fetch."""
        self._receipts.kept = max(self._receipts.kept, held_in(position, self._reading.step).number)
        self._session.wake()

    def wake(self) -> None:
        """End a waiting fetch."""
        self._session.wake()

    def close(self) -> None:
        """Leave; the broker keeps the session."""
        self._session.close()


def _texts(topics: list[bytes]) -> pl.Series:
    known: dict[bytes, str] = {}
    for topic in topics:
        if topic not in known:
            known[topic] = topic.decode(errors="replace")
    return pl.Series([known[topic] for topic in topics], dtype=pl.String())


def _headers(message: Publish) -> list[dict[str, object]] | None:
    if not message.properties:
        return None
    pairs = packets.properties_in(message.properties).get(Property.USER)
    if not isinstance(pairs, list):
        return None
    return [{"name": name.decode(errors="replace"), "value": value} for name, value in pairs]


def random_name() -> str:
    """Return the name of a client that nobody needs to know again."""
    return f"penstock-{uuid.uuid4().hex[:16]}"
