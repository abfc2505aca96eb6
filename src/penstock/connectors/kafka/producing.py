"""Hand messages to the client, no more at once than its queue holds, so that none is out of order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors.kafka.encoding import HEAD, KEY, STAMP, VALUE
from penstock.connectors.kafka.failures import connector_error
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    from confluent_kafka import Producer

CLIENT = {
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # the one of Java's clients: a key goes where theirs go
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
    "delivery.report.only.error": True,
}
_CHUNK_ROWS = 10_000
_CHUNK_BYTES = 16 << 20
_OUTSTANDING_ROWS = 500_000
_OUTSTANDING_BYTES = 256 << 20
_DELIVER_S = 120.0


class Deliveries:
    """What one producer was given; ``partition`` -1 leaves the choice to the key."""

    def __init__(self, producer: Producer, topic: str, partition: int, step: str) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._step = step
        self._rows = self._bytes = 0
        self._failed: Any = None

    def send(self, messages: pl.DataFrame) -> None:
        """Give messages to the client, in order."""
        for chunk, size in _chunks(messages):
            if self._rows + chunk.height > _OUTSTANDING_ROWS or (
                self._rows and self._bytes + size > _OUTSTANDING_BYTES
            ):
                self.finish()
            self._rows += chunk.height
            self._bytes += size
            if HEAD in chunk.columns:
                self._one_by_one(chunk)
            else:
                self._together(chunk)

    def _together(self, chunk: pl.DataFrame) -> None:
        messages = chunk.to_dicts()
        for message in messages if STAMP in chunk.columns else ():
            if message[STAMP] is None:
                del message[STAMP]
        sent = self._producer.produce_batch(
            self._topic, messages, self._partition, on_delivery=self._delivered
        )
        if sent < len(messages):
            error = next(m["_error"] for m in messages if "_error" in m)
            raise connector_error(error, self._step, "writing a message")

    def _one_by_one(self, chunk: pl.DataFrame) -> None:
        """Messages with headers: the client takes them only so."""
        from confluent_kafka import KafkaException

        for message in chunk.iter_rows(named=True):
            given = {"key": message.get(KEY), "value": message[VALUE], "partition": self._partition}
            if message.get(STAMP) is not None:
                given["timestamp"] = message[STAMP]
            if message[HEAD] is not None:
                given["headers"] = [(each["name"], each["value"]) for each in message[HEAD]]
            try:
                self._producer.produce(self._topic, on_delivery=self._delivered, **given)
            except KafkaException as error:
                raise connector_error(error.args[0], self._step, "writing a message") from error

    def _delivered(self, error: Any, _: object) -> None:
        if error is not None:
            self._failed = self._failed or error

    def finish(self) -> None:
        """Wait until the brokers have everything."""
        until = time.monotonic() + _DELIVER_S
        while self._producer.flush(0.5) and not self._failed:
            if time.monotonic() > until:
                raise ConnectorError(
                    f"the brokers did not take all messages within {_DELIVER_S:.0f} s",
                    step=self._step,
                    fault=Fault.REMOTE,
                    retry=True,
                )
        if self._failed is not None:
            raise connector_error(self._failed, self._step, "writing a message")
        self._rows = self._bytes = 0


def _chunks(messages: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, int]]:
    """Cut messages so that each chunk is small enough; with its size in bytes."""
    longest = messages.select(pl.col(VALUE).bin.size().max().fill_null(0)).item() or 0
    rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(1, longest)))
    for chunk in messages.iter_slices(rows):
        if chunk.height:
            yield chunk, int(chunk.select(pl.col(VALUE).bin.size().sum()).item())
