"""A live HTTP server as a source: requests in, rows out, answers when the rows are durable.

event loop     request -> checked, read, cut into messages -> inbox ............ answer
poll                                        inbox -> decoded -> rows               |
acknowledge                                              durable --- 200 ----------+
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.http_server.deliveries import Answer, Delivery, Inbox, refused, told
from penstock.connectors.http_server.known import Known, KnownKeys, Written
from penstock.connectors.http_server.rows import Batch, Decoding
from penstock.deferred import Deferred

if TYPE_CHECKING:
    from penstock.connectors.http_server import listener as live
    from penstock.connectors.http_server.app import Limits
else:
    live = Deferred("penstock.connectors.http_server.listener")


class _Position(msgspec.Struct):
    """What a position holds: how many requests were handed over whole, and the newest keys."""

    received: int = 0
    keys: list[Written] = []


class Handing:
    """A batch on its way out: dead letters first, then rows, as many as each poll wants.

    Only a batch of one delivery is larger than the poll that it was made for.
    """

    def __init__(self, batch: Batch) -> None:
        self.deliveries = batch.deliveries
        self.handed = 0
        """Rows and letters that were handed over."""
        self._frame, self._dead = batch.frame, batch.dead

    def take(self, most: int) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        """Take up to ``most`` rows and letters."""
        dead = None
        if self._dead is not None:
            dead = self._dead.head(most)
            more = dead.height < self._dead.height
            self._dead = self._dead.slice(dead.height) if more else None
            most -= dead.height
        frame, self._frame = self._frame.head(most), self._frame.slice(most)
        self.handed += frame.height + (0 if dead is None else dead.height)
        return frame, dead

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._dead is None and self._frame.is_empty()


class HttpServerSource(OnePartition):
    """Answers 200 when rows were acknowledged, if that was promised; else 202 when handed over.

    A request has all its rows in one poll, unless it has more than a poll may bring.
    """

    def __init__(self, decoding: Decoding, limits: Limits, *, known_keys: int) -> None:
        self._decoding = decoding
        self._inbox = Inbox()
        self._keys = KnownKeys(known_keys)
        self._handing: Handing | None = None
        self._received = 0
        self._durable = False
        self._unanswered: dict[int, list[Delivery]] = {}
        self._answering = threading.Lock()
        self._polling = threading.Lock()
        self._listener = live.Listener(limits, self._inbox)
        self.address: tuple[str, int] = self._listener.address

    def acknowledged_at_once(self) -> None:
        """Answer when rows are durable, not before."""
        self._durable = True

    def seek(self, position: Position | None) -> None:
        """Know the keys of requests that were taken before; begin to take some."""
        if position is not None:
            held = msgspec.convert(position, _Position)
            self._received = held.received
            self._keys.restore(held.keys)
        self._listener.start()

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the rows of requests that have arrived, as soon as there are any."""
        with self._polling:
            if self._handing is None:
                self._handing = self._next(max_rows, timeout_s)
            frame, dead = self._decoding.schema.to_frame(), None
            if self._handing is not None:
                frame, dead = self._handing.take(max_rows)
                self._pass(self._handing)
            position = {"received": self._received, "keys": self._keys.written()}
            quiet = self._handing is None and self._inbox.empty
            return Polled(frame, position, dead=dead, caught_up=quiet)

    def acknowledge(self, position: Position) -> None:
        """Answer those whose rows are durable now."""
        held = msgspec.convert(position, _Position)
        found: list[Delivery] = []
        with self._answering:
            while self._unanswered and (first := next(iter(self._unanswered))) <= held.received:
                found += self._unanswered.pop(first)
        self._answer([(delivery, delivery.answer(durable=True)) for delivery in found])

    def close(self) -> None:
        """Stop listening. What was read already can still be polled, acknowledged and answered."""
        self._inbox.close()
        self._listener.close()

    def lag(self) -> int | None:
        """Return the requests that wait."""
        return self._inbox.waiting

    def _next(self, max_rows: int, timeout_s: float) -> Handing | None:
        self._inbox.wait(timeout_s)
        found = self._fresh(self._inbox.take(max_rows))
        if not found:
            return None
        batch = self._decoding.batch(found)
        self._answer([(delivery, refused(delivery.bad)) for delivery in batch.rejected])
        handing = Handing(batch)
        known = self._known(found[0])
        if known is not None and batch.deliveries:  # a part of it was stored before a crash
            handing.take(known.handed)
        return handing

    def _fresh(self, found: list[Delivery]) -> list[Delivery]:
        """Leave out requests that were taken before; one that was stored in part comes alone."""
        fresh: list[Delivery] = []
        keys: set[str] = set()
        for at, delivery in enumerate(found):
            known = self._known(delivery)
            partial = known is not None and not known.whole
            if delivery.key in keys or (fresh and partial):
                self._inbox.put_back(found[at:])
                break
            if known is not None and known.body != delivery.body_digest:
                said = told(422, error="the idempotency key came with another body before")
                self._answer([(delivery, said)])
            elif known is not None and known.whole:
                self._repeat(delivery, known)
            else:
                fresh.append(delivery)
                keys.update([delivery.key] if delivery.key is not None else [])
            if partial and fresh:
                self._inbox.put_back(found[at + 1 :])
                break
        return fresh

    def _known(self, delivery: Delivery) -> Known | None:
        return None if delivery.key is None else self._keys.get(delivery.key)

    def _repeat(self, delivery: Delivery, known: Known) -> None:
        """Answer as the first of its key is answered, and when that one is."""
        delivery.rows, delivery.dead, delivery.again = known.rows, known.dead, True
        with self._answering:
            first = self._unanswered.get(known.received)
            if first is not None:
                first.append(delivery)
                return
        self._answer([(delivery, delivery.answer(durable=self._durable))])

    def _pass(self, handing: Handing) -> None:
        """Note what was handed over whole, or how much of one that is too large for that."""
        if not handing.over:
            self._know(handing.deliveries[0], handing.handed)
            return
        self._handing = None
        with self._answering:
            for delivery in handing.deliveries:
                self._received += 1
                self._know(delivery, delivery.rows + delivery.dead)
                if self._durable:
                    self._unanswered[self._received] = [delivery]
        if not self._durable:
            self._answer([(each, each.answer(durable=False)) for each in handing.deliveries])

    def _know(self, delivery: Delivery, handed: int) -> None:
        if delivery.key is not None:
            known = Known(
                delivery.body_digest, delivery.rows, delivery.dead, handed, self._received
            )
            self._keys.put(delivery.key, known)

    def _answer(self, answers: list[tuple[Delivery, Answer]]) -> None:
        if answers:
            self._listener.answer(answers)
