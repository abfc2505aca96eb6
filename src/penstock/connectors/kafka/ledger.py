"""Which epoch of a sink is in Kafka: a compacted topic, written in the transaction of the rows.

    key                  value
    sink id              {"epoch": 7, "token": 2, "letters": 2}
    sink id, 0, "0"      the first piece of the dead letters of epoch 7
    sink id, 0, "1"      the second

The offsets of a consumer group, committed in the transaction too, would do without a topic, but
brokers forget those of a pipeline that rests for a week (offsets.retention.minutes). Dead letters
are there until the next epoch is applied.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from penstock.connectors.epochs import Recorded
from penstock.connectors.kafka.cluster import Cluster, Place
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.kafka.failures import connector_error
from penstock.errors import ConnectorError, Fault
from penstock.letter_rows import packed, unpacked

if TYPE_CHECKING:
    from confluent_kafka import Consumer

EPOCHS_TOPIC = "penstock_epochs"
_SETTINGS = {
    "cleanup.policy": "compact",
    "segment.ms": "3600000",
    "min.cleanable.dirty.ratio": "0.01",
}
"""A sink writes a record a second: what is read at a start stays within some hours of them."""
_READ_S = 60.0
_BATCH = 10_000
_PIECE_BYTES = 1 << 19
"""Half of what a topic takes by default (max.message.bytes)."""


class _Value(msgspec.Struct):
    epoch: int
    token: int
    letters: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a sink: its epoch, and in how many pieces the dead letters of it are."""

    recorded: Recorded
    pieces: int = 0


@dataclass(slots=True)
class _Found:
    """What was read of one sink."""

    entry: Entry | None = None
    pieces: dict[bytes, bytes] = field(default_factory=dict)


class Ledger:
    """Reads the epochs of one sink, and says what to write."""

    def __init__(self, connection: Connection, cluster: Cluster, topic: str, step: str) -> None:
        self._connection = connection
        self._cluster = cluster
        self._place = Place(topic, 0)
        self._step = step

    @property
    def topic(self) -> str:
        """Where the records are."""
        return self._place.topic

    def prepare(self) -> None:
        """Create the topic if it is not there."""
        if not self._cluster.exists(self.topic):
            self._cluster.create(self.topic, 1, _SETTINGS)

    def read(self, sink_id: str) -> Entry | None:
        """Return what was committed last; None if nothing ever was."""
        return self._found(sink_id).entry

    def letters(self, sink_id: str, epoch: int) -> pl.DataFrame | None:
        """Return the dead letters of an epoch, if it is the last one and has some."""
        found = self._found(sink_id)
        entry = found.entry
        if entry is None or not entry.pieces or entry.recorded.epoch != epoch:
            return None
        return unpacked(b"".join(found.pieces[_piece(sink_id, n)] for n in range(entry.pieces)))

    def messages(
        self, sink_id: str, entry: Entry, letters: pl.DataFrame | None, before: int
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Return keys and values that say so; ``before``: how many pieces were there until now.

        Without ``letters`` those that are there stay.
        """
        pieces = [] if letters is None else pieces_of(letters)
        for number, piece in enumerate(pieces):
            yield _piece(sink_id, number), piece
        for number in range(entry.pieces, before):
            yield _piece(sink_id, number), None
        value = _Value(entry.recorded.epoch, entry.recorded.token, entry.pieces)
        yield sink_id.encode(), msgspec.json.encode(value)

    def _found(self, sink_id: str) -> _Found:
        from confluent_kafka import Consumer

        settings = self._connection.client(self._step) | {
            "group.id": "penstock",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,  # the end of what is there is said after so long
        }
        consumer = Consumer(settings)
        try:
            first = self._cluster.beginnings([self._place])[self._place]
            consumer.assign([self._place.client(first)])
            return self._newest(consumer, sink_id.encode())
        finally:
            consumer.close()

    def _newest(self, consumer: Consumer, key: bytes) -> _Found:
        from confluent_kafka import KafkaError

        found = _Found()
        until = time.monotonic() + _READ_S
        while time.monotonic() < until:
            for message in consumer.consume(_BATCH, 0.1):
                error = message.error()
                if error is None:
                    self._take(found, key, message.key() or b"", message.value())
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                    return found
                elif not error.retriable():
                    raise connector_error(error, self._step, "reading the epochs")
        raise ConnectorError(
            f"the topic {self.topic} could not be read within {_READ_S:.0f} s",
            step=self._step,
            fault=Fault.REMOTE,
            retry=True,
        )

    def _take(self, found: _Found, sink: bytes, key: bytes, value: bytes | None) -> None:
        if key == sink:
            found.entry = self._decoded(value or b"")
        elif key.startswith(sink + b"\0"):
            found.pieces[key] = value or b""

    def _decoded(self, value: bytes) -> Entry:
        try:
            found = msgspec.json.decode(value, type=_Value)
        except msgspec.MsgspecError as error:
            raise ConnectorError(
                f"the topic {self.topic} holds something else than epochs: {error}",
                step=self._step,
                value=self.topic,
                fault=Fault.USER,
                hint="give another epochs_topic=",
            ) from error
        return Entry(Recorded(found.epoch, found.token), found.letters)


def pieces_of(letters: pl.DataFrame) -> list[bytes]:
    """Return letters as values that a topic takes."""
    data = packed(letters)
    return [data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]


def _piece(sink_id: str, number: int) -> bytes:
    return f"{sink_id}\0{number}".encode()
