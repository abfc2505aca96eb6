"""Which epoch of a sink is in Kafka: a compacted topic, written in the transaction of the rows.

Key: the sink's id. Value: ``{"epoch": 7, "token": 2}``. The offsets of a consumer group, committed
in the transaction too, would do without a topic, but brokers forget those of a pipeline that rests
for a week (offsets.retention.minutes).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from penstock.connectors.epochs import Recorded
from penstock.connectors.kafka.cluster import Cluster, Place
from penstock.connectors.kafka.connection import Connection
from penstock.connectors.kafka.failures import connector_error
from penstock.errors import ConnectorError, Fault

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


class _Value(msgspec.Struct):
    epoch: int
    token: int


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

    def read(self, sink_id: str) -> Recorded | None:
        """Return what was committed last; None if nothing ever was."""
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

    def _newest(self, consumer: Consumer, key: bytes) -> Recorded | None:
        from confluent_kafka import KafkaError

        newest: Recorded | None = None
        until = time.monotonic() + _READ_S
        while time.monotonic() < until:
            for message in consumer.consume(_BATCH, 0.1):
                error = message.error()
                if error is None:
                    if message.key() == key:
                        newest = self._decoded(message.value() or b"")
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its name
                    return newest
                elif not error.retriable():
                    raise connector_error(error, self._step, "reading the epochs")
        raise ConnectorError(
            f"the topic {self.topic} could not be read within {_READ_S:.0f} s",
            step=self._step,
            fault=Fault.REMOTE,
            retry=True,
        )

    def _decoded(self, value: bytes) -> Recorded:
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
        return Recorded(found.epoch, found.token)

    def encoded(self, recorded: Recorded) -> bytes:
        """Return the value that says so."""
        return msgspec.json.encode(_Value(recorded.epoch, recorded.token))
