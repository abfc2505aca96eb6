"""Requests whose rows wait: to be taken, to become durable, to be answered."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from penstock.connectors.http_server.bodies import Cut

MAX_ERRORS = 100
"""Bad rows that an answer names; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def told(status: int, *headers: tuple[bytes, bytes], **facts: object) -> Answer:
    """Return an answer whose body is the facts as JSON."""
    return Answer(status, msgspec.json.encode(facts), headers)


@dataclass(frozen=True, slots=True)
class Bad:
    """A message that could not be decoded, by its number in the body."""

    row: int
    reason: str


def taken(rows: int, bad: Sequence[Bad], count: int, *, durable: bool, again: bool) -> Answer:
    """Return the answer for rows that were taken, ``count`` of them as dead letters."""
    headers = ((b"idempotency-replayed", b"true"),) if again else ()
    facts: dict[str, object] = {"accepted": rows, "rejected": count}
    if bad:
        facts["errors"] = bad[:MAX_ERRORS]
    return told(200 if durable else 202, *headers, **facts)


def refused(bad: Sequence[Bad]) -> Answer:
    """Return the answer for a body that was refused as a whole, for some of its rows."""
    return told(
        400,
        error="some rows cannot be read, and none was taken",
        accepted=0,
        rejected=len(bad),
        errors=bad[:MAX_ERRORS],
    )


@dataclass(eq=False)
class Delivery:
    """One request on its way. ``future`` belongs to the event loop of the listener."""

    cut: Cut
    future: asyncio.Future[Answer]
    client: str
    path: str
    received_us: int
    key: str | None = None
    body_digest: str = ""

    rows: int = 0
    dead: int = 0
    bad: list[Bad] = field(default_factory=list)
    again: bool = False

    def answer(self, *, durable: bool) -> Answer:
        """Say that it was taken."""
        return taken(self.rows, self.bad, self.dead, durable=durable, again=self.again)


class Inbox:
    """Deliveries that nobody has taken yet, in order of arrival."""

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def offer(self, delivery: Delivery) -> bool:
        """Add one; False if it is closed."""
        with self._changed:
            if self._closed:
                return False
            self._waiting.append(delivery)
            self._changed.notify()
            return True

    def withdraw(self, delivery: Delivery) -> bool:
        """Take one back that has waited too long; False if it was taken already."""
        with self._changed:
            try:
                self._waiting.remove(delivery)
            except ValueError:
                return False
            return True

    def wait(self, timeout_s: float) -> None:
        """Wait until something is there, or nothing will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)

    def take(self, max_lines: int) -> list[Delivery]:
        """Take deliveries of ``max_lines`` messages together, or one that has more."""
        found: list[Delivery] = []
        with self._changed:
            while self._waiting and max_lines >= (self._waiting[0].cut.lines if found else 0):
                delivery = self._waiting.popleft()
                found.append(delivery)
                max_lines -= delivery.cut.lines
        return found

    def put_back(self, deliveries: Iterable[Delivery]) -> None:
        """Have deliveries come next again."""
        with self._changed:
            self._waiting.extendleft(reversed(list(deliveries)))

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def close(self) -> None:
        """Take no more, and wake who waits; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether it takes no more."""
        return self._closed
