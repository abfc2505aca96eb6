"""What is answered, and known again, against a broker in a few lines that loses connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.packets import Kind
from penstock.connectors.mqtt.receipts import Receipts


@dataclass
class Broker:
    """Delivers numbers, each under an identifier, with at most three on their way (4.3, 4.4)."""

    qos: int
    left: list[int]
    sent: dict[int, int] = field(default_factory=dict)
    received: list[int] = field(default_factory=list)  # identifiers that wait for PUBCOMP
    wire: list[tuple[str, int, int, bool]] = field(default_factory=list)

    def deliver(self) -> None:
        free = [n for n in (1, 2, 3) if n not in self.sent and n not in self.received]
        while self.left and free:
            identifier, number = free.pop(0), self.left.pop(0)
            self.sent[identifier] = number
            self.wire.append(("publish", identifier, number, False))

    def take(self, answers: bytes) -> None:
        for first, body in packets.cut(answers)[0]:
            identifier, _ = packets.read_identifier(body)
            if first >> 4 == Kind.PUBREC:
                self.sent.pop(identifier, None)
                if identifier not in self.received:
                    self.received.append(identifier)
                self.wire.append(("release", identifier, 0, False))
            else:
                (self.sent if first >> 4 == Kind.PUBACK else {}).pop(identifier, None)
                if first >> 4 == Kind.PUBCOMP and identifier in self.received:
                    self.received.remove(identifier)

    def reconnect(self) -> None:
        self.wire = [("publish", i, n, True) for i, n in self.sent.items()]
        self.wire += [("release", i, 0, True) for i in self.received]


@dataclass
class World:
    """A broker, what is known here, and what a topic has kept of it."""

    broker: Broker
    receipts: Receipts = field(default_factory=Receipts)
    rows: list[int] = field(default_factory=list)
    kept: tuple[int, list[int], list[int]] = (0, [], [])  # number, unreleased, rows

    def read(self) -> None:
        if not self.broker.wire:
            return
        kind, identifier, number, again = self.broker.wire.pop(0)
        if kind == "release":
            self.receipts.released(identifier, at_once=False)
        elif not (again and self.receipts.is_known(identifier, self.broker.qos)):
            self.receipts.handed_over(identifier, self.broker.qos)
            self.rows.append(number)

    def keep(self) -> None:
        self.kept = (self.receipts.number, list(self.receipts.unreleased), list(self.rows))
        self.receipts.kept = self.receipts.number

    def answer(self) -> None:
        self.broker.take(self.receipts.answers())

    def lose_the_answer(self) -> None:
        self.receipts.answers()
        self.cut()

    def cut(self) -> None:
        self.broker.reconnect()
        self.receipts.reconnected()

    def crash(self) -> None:
        number, unreleased, rows = self.kept
        self.rows = list(rows)
        self.receipts = Receipts(number, number, dict.fromkeys(unreleased))
        self.broker.reconnect()


STEPS = (
    World.read,
    World.read,
    World.keep,
    World.answer,
    World.lose_the_answer,
    World.cut,
    World.crash,
)


@given(qos=st.sampled_from([1, 2]), steps=st.lists(st.sampled_from(STEPS), max_size=80))
def test_nothing_is_lost_and_of_qos_2_nothing_doubled(
    qos: int, steps: list[Callable[[World], None]]
) -> None:
    total = 12
    world = World(Broker(qos, list(range(total))))
    for step in [*steps, *[World.read, World.keep, World.answer] * 40]:
        world.broker.deliver()
        step(world)
    assert set(world.rows) == set(range(total))
    if qos == 2:
        assert len(world.rows) == total
