"""Hand messages to the client, no more at once than its queue holds, so that none is out of order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors.kafka.cluster import Limits
from penstock.connectors.kafka.encoding import HEAD, KEY, STAMP, VALUE
from penstock.connectors.kafka.failures import connector_error, is_of_a_message
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from confluent_kafka import Producer

CLIENT: dict[str, Any] = {
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # the one of Java's clients: a key goes where theirs go
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
    "delivery.report.only.error": True,
}
_LARGEST = 1_000_000_000
"""Of message.max.bytes, what librdkafka allows."""
_LARGEST_BY_DEFAULT = 1_048_588
"""Of max.message.bytes, where the brokers do not tell."""
_CHUNK_ROWS = 10_000
_CHUNK_BYTES = 16 << 20
_OUTSTANDING_ROWS = 500_000
_OUTSTANDING_BYTES = 256 << 20
_DELIVER_S = 120.0

Failure = tuple[bytes | None, bytes | None, ConnectorError]
"""Key and value of a message that was refused, and why."""


def sizes(limits: Limits) -> dict[str, Any]:
    """Return the client's limits for a topic: a batch as large as it takes, and messages as well."""
    found = limits.message_bytes or _LARGEST_BY_DEFAULT
    return {
        "batch.size": min(CLIENT["batch.size"], found),
        "message.max.bytes": min(max(found, _LARGEST_BY_DEFAULT), _LARGEST),  # the ledger's too
    }


class Deliveries:
    """What one producer was given; ``partition`` -1 leaves the choice to the key.

    ``refused`` holds the messages that were refused for what they are. In a transaction one of them
    spoils all others; without one these are delivered.
    """

    def __init__(
        self, producer: Producer, topic: str, partition: int, step: str, *, transactional: bool
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._step = step
        self._transactional = transactional
        self._rows = self._bytes = 0
        self._failed: ConnectorError | None = None
        self.refused: list[Failure] = []

    def send(self, messages: pl.DataFrame) -> None:
        """Give messages to the client, in order."""
        for chunk, size in _chunks(messages):
            if self._rows + chunk.height > _OUTSTANDING_ROWS or (
                self._rows and self._bytes + size > _OUTSTANDING_BYTES
            ):
                self.settle()
            self._rows += chunk.height
            self._bytes += size
            if HEAD in chunk.columns or STAMP in chunk.columns:
                self._one_by_one(chunk)
            else:
                self._together(chunk)

    def _together(self, chunk: pl.DataFrame) -> None:
        messages = _mapped(chunk)
        sent = self._producer.produce_batch(
            self._topic, messages, self._partition, on_delivery=self._delivered
        )
        if sent < len(messages):
            for message in messages:
                if "_error" in message:
                    self._note(message["_error"], message.get(KEY), message[VALUE])
            self._stop_if_spoiled()

    def _one_by_one(self, chunk: pl.DataFrame) -> None:
        """Messages with headers or times: the client takes them only so."""
        from confluent_kafka import KafkaException

        for message in chunk.iter_rows(named=True):
            given = {"key": message.get(KEY), "value": message[VALUE], "partition": self._partition}
            if message.get(STAMP) is not None:
                given["timestamp"] = message[STAMP]
            if message.get(HEAD) is not None:
                given["headers"] = [(each["name"], each["value"]) for each in message[HEAD]]
            try:
                self._producer.produce(self._topic, on_delivery=self._delivered, **given)
            except KafkaException as error:
                self._note(error.args[0], given["key"], given["value"])
                self._stop_if_spoiled()

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._note(error, message.key(), message.value())

    def _note(self, error: Any, key: bytes | None, value: bytes | None) -> None:
        said = connector_error(error, self._step, "writing a message")
        if is_of_a_message(error):
            self.refused.append((key, value, said))
        elif self._failed is None:
            self._failed = said

    def _stop_if_spoiled(self) -> None:
        """Raise what makes it useless to go on.

        The first message refused in a transaction makes the client refuse all others, for another
        reason: what was refused is asked for before that is believed.
        """
        self._producer.poll(0)
        if self._transactional and self.refused:
            raise self.refused[0][2]
        if self._failed is not None:
            raise self._failed

    def settle(self) -> None:
        """Wait until the brokers have everything, but what they refuse."""
        until = time.monotonic() + _DELIVER_S
        while self._producer.flush(0.5):
            self._stop_if_spoiled()
            if time.monotonic() > until:
                raise ConnectorError(
                    f"the brokers did not take all messages within {_DELIVER_S:.0f} s",
                    step=self._step,
                    fault=Fault.REMOTE,
                    retry=True,
                )
        self._stop_if_spoiled()
        self._rows = self._bytes = 0


def _mapped(chunk: pl.DataFrame) -> list[dict[str, Any]]:
    """Return messages as the client takes them: ``to_dicts`` takes twice as long."""
    values = chunk[VALUE].to_list()
    if KEY not in chunk.columns:
        return [{"value": value} for value in values]
    keys = chunk[KEY].to_list()
    return [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]


def _chunks(messages: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, int]]:
    """Cut messages so that each chunk is small enough; with its size in bytes."""
    longest = messages.select(pl.col(VALUE).bin.size().max().fill_null(0)).item() or 0
    rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(1, longest)))
    for chunk in messages.iter_slices(rows):
        if chunk.height:
            yield chunk, int(chunk.select(pl.col(VALUE).bin.size().sum()).item())
