"""Kafka: JSON of 141 bytes in and out, by the bare client and by a query.

Each case returns the work to be measured, with everything before it done.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import penstock as ps

Work = Callable[[], int]
SCHEMA = {
    "id": pl.Int64,
    "user": pl.String,
    "amount": pl.Float64,
    "at": pl.Datetime("us", "UTC"),
    "note": pl.String,
}
_EPOCH_ROWS = 100_000
_CLIENT = {"linger.ms": 5, "batch.size": 1_000_000, "compression.type": "lz4"}
_QUEUE = {"queue.buffering.max.messages": 1_000_000, "queue.buffering.max.kbytes": 1_048_576}


def frame(rows: int) -> pl.DataFrame:
    """Return rows whose JSON has 141 bytes on average."""
    number = pl.int_range(rows, eager=True)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame({"id": number}).select(
        id=pl.col("id") + 1_000_000_000,
        user=pl.format("user-{}", pl.col("id") % 9000 + 1000),
        amount=(pl.col("id") * 7 % 10_000) / 100 + 100,
        at=pl.lit(begin) + pl.col("id") * timedelta(microseconds=1001),
        note=pl.lit("a note of some length"),
    )


def fill(servers: str, topic: str, rows: int) -> None:
    """Write the rows that are to be read."""
    producer = Producer({"bootstrap.servers": servers, **_CLIENT, **_QUEUE})
    for part in frame(rows).iter_slices(_EPOCH_ROWS):
        producer.produce_batch(topic, _messages(part), -1)
        producer.flush()


def _messages(part: pl.DataFrame) -> list[dict[str, bytes]]:
    values = part.select(value=pl.struct(pl.all()).struct.json_encode().cast(pl.Binary))
    return values.to_dicts()


def read_bare(servers: str, topic: str, rows: int) -> Work:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench"})
    found = AdminClient({"bootstrap.servers": servers}).list_topics(topic).topics[topic]
    consumer.assign([TopicPartition(topic, number, 0) for number in found.partitions])

    def work() -> int:
        count = 0
        while count < rows:
            count += len(consumer.consume(4096, 0.1))
        return count

    return work


def _read(servers: str, topic: str, rows: int, form: str | None) -> Work:
    schema = None if form is None else SCHEMA
    counted = [0]

    def count(part: pl.DataFrame) -> None:
        counted[0] += part.height

    stream = ps.scan_kafka(servers, topic, form, schema, stop="at end")
    query = stream.sink_callback(count)
    ps.scan_batches([frame(10)]).sink_callback(lambda _: None).start().wait()  # loads the engine

    def work() -> int:
        query.start().wait()
        assert counted[0] == rows
        return counted[0]

    return work


def read_raw(servers: str, topic: str, rows: int) -> Work:
    return _read(servers, topic, rows, None)


def read_json(servers: str, topic: str, rows: int) -> Work:
    return _read(servers, topic, rows, "json")


def write_bare(servers: str, topic: str, rows: int) -> Work:
    parts = [_messages(part) for part in frame(rows).iter_slices(10_000)]
    producer = Producer({"bootstrap.servers": servers, **_CLIENT, **_QUEUE})

    def work() -> int:
        for part in parts:
            producer.produce_batch(topic, part, -1)
        while producer.flush(1):
            pass
        return rows

    return work


def write_json(servers: str, topic: str, rows: int) -> Work:
    parts = list(frame(rows).iter_slices(_EPOCH_ROWS))
    query = ps.scan_batches(parts).sink_kafka(servers, topic)
    ps.scan_batches([frame(10)]).sink_callback(lambda _: None).start().wait()

    def work() -> int:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            query.start(checkpoint=folder).wait()
        return rows

    return work


CASES: dict[str, Callable[[str, str, int], Work]] = {
    "read-bare": read_bare,
    "read-raw": read_raw,
    "read-json": read_json,
    "write-bare": write_bare,
    "write-json": write_json,
}
