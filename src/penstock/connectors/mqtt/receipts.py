"""Which messages the broker was told of, and which it is still owed an answer for.

    QoS 1   PUBLISH 7 ->  row kept   -> PUBACK 7
    QoS 2   PUBLISH 8 ->  row kept   -> PUBREC 8;   PUBREL 8 ->  that 8 is free is kept   -> PUBCOMP 8

Rows and releases are numbered in the order in which they are handed over; what is kept is known by
the number in the position. The identifiers of QoS 2 that are not free are in the position as well, so
that a message that comes again after a crash is known: each comes once. Of QoS 1 a message is known
only while this process lives.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from penstock.connectors.contract import Position
from penstock.connectors.mqtt import packets
from penstock.connectors.mqtt.packets import Kind
from penstock.errors import ConnectorError, Fault


class Held(msgspec.Struct):
    """A position: the number handed over last, identifiers that are not free, what is subscribed."""

    number: int
    unreleased: list[int]
    topics: list[str]


def held_in(position: Position, step: str) -> Held:
    """Decode a position."""
    try:
        return msgspec.convert(position, Held)
    except msgspec.ValidationError as error:
        raise ConnectorError(
            f"this is no position of an MQTT source: {error}",
            step=step,
            fault=Fault.USER,
            hint="the checkpoint is of another source under the same name",
        ) from error


@dataclass
class Receipts:
    """Used by the polling thread; ``kept`` is set by others too."""

    number: int = 0
    kept: int = 0
    unreleased: dict[int, None] = field(default_factory=dict)  # in order of arrival
    _owed: deque[tuple[int, int, Kind]] = field(default_factory=deque)
    _unanswered: dict[int, int] = field(default_factory=dict)
    known_again: int = 0

    def forget(self) -> None:
        """The broker knows nothing of the client any more: identifiers begin anew."""
        self.unreleased.clear()
        self._unanswered.clear()
        self._owed.clear()

    def reconnected(self) -> None:
        """What is owed will be asked for again, by the same identifiers."""
        self._owed.clear()

    def is_known(self, identifier: int, qos: int) -> bool:
        """Tell whether a message that comes again was handed over; note that it is owed an answer."""
        number = self._unanswered.get(identifier)
        if number is None and (qos == 1 or identifier not in self.unreleased):
            return False
        self.known_again += 1
        kind = Kind.PUBACK if qos == 1 else Kind.PUBREC
        self._owed.append((self.kept if number is None else number, identifier, kind))
        return True

    def handed_over(self, identifier: int, qos: int) -> None:
        """Number a message."""
        self.number += 1
        if not qos:
            return
        if qos == 2:
            self.unreleased[identifier] = None
        self._unanswered[identifier] = self.number
        kind = Kind.PUBACK if qos == 1 else Kind.PUBREC
        self._owed.append((self.number, identifier, kind))

    def released(self, identifier: int, *, at_once: bool) -> None:
        """The broker knows that the message has come; its identifier is free from now on.

        ``at_once``: releases are in no position, so nothing would ever say that this one is kept.
        """
        found = identifier in self.unreleased
        self.unreleased.pop(identifier, None)
        if at_once:
            self._owed.appendleft((0, identifier, Kind.PUBCOMP))
            return
        self.number += found
        self._owed.append((self.number, identifier, Kind.PUBCOMP))

    def answers(self) -> bytes:
        """Return the packets that are due, as of what is kept."""
        due: list[bytes] = []
        kept, owed = self.kept, self._owed
        while owed and owed[0][0] <= kept:
            _, identifier, kind = owed.popleft()
            if kind is not Kind.PUBCOMP:
                self._unanswered.pop(identifier, None)
            due.append(packets.answer(kind, identifier))
        return b"".join(due)
