"""Live reading of RabbitMQ: streams by offsets that we keep, queues by acknowledgements."""

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
from penstock.connectors.messaging.source import lost_connection
from penstock.connectors.options import Start
from penstock.connectors.rabbitmq.connection import Broker
from penstock.errors import ConnectorError, Fault

_AHEAD = 5_000
"""Messages that the broker sends before they are acknowledged."""
_OFFSET = "x-stream-offset"


class Held(msgspec.Struct):
    """A position: the offset of a stream handed over last; of a queue the number, of this process."""

    offset: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a live source is told; see ``RabbitSourceSpec``."""

    step: str
    server: Server
    vhost: str
    queue: str
    is_stream: bool
    start: Start | datetime | int
    keeper: Keeper
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it came."""

    tag: int
    offset: int
    value: bytes
    properties: Any
    key: str


def connect(reading: Reading, position: Position | None) -> RabbitLink:
    """Connect, and begin to consume where to go on."""
    held = None if position is None else _held(position, reading.step)
    broker = Broker(reading.server, reading.vhost, reading.step)
    try:
        broker.find(reading.queue)
        kind = StreamLink if reading.is_stream else RabbitLink
        link = kind(reading, broker, held)
        link.consume()
    except BaseException:
        broker.close()
        raise
    return link


def _held(position: Position, step: str) -> Held:
    try:
        return msgspec.convert(position, Held)
    except msgspec.ValidationError as error:
        raise ConnectorError(
            f"this is no position of a RabbitMQ source: {error}",
            step=step,
            fault=Fault.USER,
            hint="the checkpoint is of another source under the same name",
        ) from error


class RabbitLink:
    """Consumes a queue; messages are acknowledged once they are kept, up to the newest at once."""

    def __init__(self, reading: Reading, broker: Broker, held: Held | None) -> None:
        self._reading = reading
        self._broker = broker
        self._last = -1 if held is None else held.offset
        self._resumed = held is not None
        self._ahead: deque[Delivered] = deque()
        self._unkept: deque[tuple[int, int]] = deque()  # number handed over, tag
        self._kept = self._last
        self._cancelled = False
        self.at_end = False

    def consume(self) -> None:
        """Ask for messages."""
        channel = self._broker.channel
        with self._broker.translated():
            channel.basic_qos(prefetch_count=_AHEAD)
            channel.add_on_cancel_callback(self._cancel)
            channel.basic_consume(self._reading.queue, self._arrived, arguments=self._where())

    def _where(self) -> dict[str, Any]:
        return {}

    def _cancel(self, _: object) -> None:
        self._cancelled = True

    def _arrived(self, channel: object, method: Any, properties: Any, value: bytes) -> None:  # noqa: ARG002
        offset = int((properties.headers or {}).get(_OFFSET, -1)) if self._reading.is_stream else -1
        self._ahead.append(
            Delivered(method.delivery_tag, offset, value, properties, method.routing_key)
        )

    @property
    def position(self) -> Position:
        """What was handed over last."""
        return {"offset": self._last}

    @property
    def ended(self) -> bool:
        """Never."""
        return False

    def fetch(self, most: int, wait_s: float) -> pl.DataFrame:
        """Return the next messages."""
        if self._reading.keeper is Keeper.NOBODY:
            self._kept = self._last
        self._acknowledge_due()
        if len(self._ahead) < most:
            self._broker.wait(0 if self._ahead else wait_s)
        if self._cancelled and not self._ahead:
            raise lost_connection(self._reading.step, "the broker ended it: the queue was removed?")
        found = [self._ahead.popleft() for _ in range(min(most, len(self._ahead)))]
        self.at_end = not self._ahead and (not found or wait_s > 0)
        return self._frame(self._handed_over(found))

    def _handed_over(self, found: list[Delivered]) -> list[Delivered]:
        if found:
            self._last += len(found)
            self._unkept.append((self._last, found[-1].tag))
        return found

    def acknowledge(self, position: Position) -> None:
        """Tell the broker with the next fetch."""
        self._kept = max(self._kept, _held(position, self._reading.step).offset)

    def _acknowledge_due(self) -> None:
        tag = 0
        while self._unkept and self._unkept[0][0] <= self._kept:
            tag = self._unkept.popleft()[1]
        if tag:
            with self._broker.translated():
                self._broker.channel.basic_ack(tag, multiple=True)

    def _frame(self, found: list[Delivered]) -> pl.DataFrame:
        wanted = self._reading.wanted
        columns = {"value": pl.Series([m.value for m in found], dtype=pl.Binary())}
        if "topic" in wanted:
            columns["topic"] = pl.Series([m.key for m in found], dtype=pl.String())
        if "offset" in wanted:
            columns["offset"] = pl.Series([m.offset for m in found], dtype=pl.Int64())
        if "id" in wanted:
            columns["id"] = pl.Series([m.properties.message_id for m in found], dtype=pl.String())
        if "timestamp" in wanted:
            seconds = pl.Series([m.properties.timestamp for m in found], dtype=pl.Int64())
            columns["timestamp"] = (seconds * 1_000_000).cast(INSTANT)
        if "headers" in wanted:
            columns["headers"] = pl.Series([_headers(m.properties) for m in found], dtype=HEADERS)
        return pl.DataFrame(columns)

    def wake(self) -> None:
        """Nothing: a wait is short."""

    def close(self) -> None:
        """Say what is kept, and leave; what is not comes again."""
        try:
            self._acknowledge_due()
        except ConnectorError:
            pass
        finally:
            self._broker.close()


class StreamLink(RabbitLink):
    """Consumes a stream, which keeps its messages: what is acknowledged only makes room for more."""

    def _where(self) -> dict[str, Any]:
        start = self._reading.start
        if self._resumed:
            return {_OFFSET: self._last + 1}
        if isinstance(start, int):
            return {_OFFSET: start}
        if isinstance(start, datetime):
            return {_OFFSET: start}
        return {_OFFSET: "first" if start is Start.EARLIEST else "next"}

    def _handed_over(self, found: list[Delivered]) -> list[Delivered]:
        """A stream is read by chunks: the first may begin before what was asked for."""
        if not found:
            return found
        with self._broker.translated():
            self._broker.channel.basic_ack(found[-1].tag, multiple=True)
        start = self._reading.start
        begin = start - 1 if isinstance(start, int) and not self._resumed else -1
        after = max(self._last, begin)
        fresh = [message for message in found if message.offset > after]
        if fresh:
            self._last = fresh[-1].offset
        return fresh

    def acknowledge(self, position: Position) -> None:
        """Nothing: the stream keeps its messages."""


def _headers(properties: Any) -> list[dict[str, object]] | None:
    given = {n: v for n, v in (properties.headers or {}).items() if n != _OFFSET}
    if not given:
        return None
    return [{"name": name, "value": _bytes(value)} for name, value in given.items()]


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
