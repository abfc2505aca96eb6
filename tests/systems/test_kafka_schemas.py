"""Avro and Protobuf through Kafka, with a real schema registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.connectors import registry as connectors
from penstock.connectors.schema_registry import SchemaRegistry
from penstock.errors import ConfigError, ConnectorError
from tests.servers.kafka import KafkaServer
from tests.servers.schema_registry import running_registry
from tests.systems.test_kafka import new_topic, produce, read_all


@pytest.fixture(scope="module")
def schemas() -> Iterator[str]:
    with running_registry() as url:
        yield url


def record(*fields: dict[str, Any]) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": list(fields)})


def read(kafka: KafkaServer, topic: str, form: str, **options: Any) -> pl.DataFrame:
    return ps.scan_kafka(kafka.servers, topic, form, stop="at end", **options).collect()


def test_what_the_sink_writes_the_source_reads(
    kafka: KafkaServer, schemas: str, tmp_path: Path
) -> None:
    topic = new_topic(kafka, 1)
    rows = pl.DataFrame({"user": ["ann", None], "n": [1, 2]})
    query = ps.scan_batches([rows]).sink_kafka(
        kafka.servers, topic, format="avro", registry=schemas
    )
    ps.run(query, checkpoint=tmp_path / "kept")
    assert SchemaRegistry(schemas).subjects().count(f"{topic}-value") == 1
    assert read(kafka, topic, "avro", registry=schemas).equals(rows)
    assert read(kafka, topic, "avro", registry=schemas, schema={"n": pl.Float64}).rows() == [
        (1.0,),
        (2.0,),
    ]


def test_changes_by_key_are_written_as_avro(kafka: KafkaServer, schemas: str) -> None:
    topic = new_topic(kafka, 1)
    frames = [pl.DataFrame({"k": ["a", "b"], "n": [1, 5]}), pl.DataFrame({"k": ["a"], "n": [2]})]
    counts = ps.scan_batches(frames).group_by("k").agg(pl.col("n").sum()).filter(pl.col("n") != 5)
    ps.run(counts.sink_kafka(kafka.servers, topic, key="k", format="avro", registry=schemas))
    found = read(kafka, topic, "avro", registry=schemas, tombstones="skip")
    assert found.rows()[-1] == ("a", 3)


def test_old_and_new_records_in_one_topic(kafka: KafkaServer, schemas: str) -> None:
    topic, client = new_topic(kafka, 1), SchemaRegistry(schemas)
    a = {"name": "a", "type": "int"}
    old = client.register(f"{topic}-value", "AVRO", record(a))
    fresh = record({"name": "a", "type": "long"}, {"name": "b", "type": "string", "default": "x"})
    new = client.register(f"{topic}-value", "AVRO", fresh)
    messages = [(old, b"\x02"), (new, b"\x04\x02y"), (old, b"\x06"), (77_777, b"\x02"), (old, b"")]
    values = [b"\0" + number.to_bytes(4, "big") + value for number, value in messages]
    produce(kafka, topic, *({"value": value} for value in [*values, b"{}"]))
    source = connectors.source(
        f"kafka://{kafka.servers}/{topic}", format="avro", registry=schemas, stop="at end"
    ).open()
    source.seek(None)
    (polled,) = [each for each in read_all(source) if each.frame.height]
    assert polled.frame.rows() == [(1, "x"), (2, "y"), (3, "x")]
    assert polled.dead is not None
    assert polled.dead["reason"][0] == "the schema 77777 is not in the registry"
    assert polled.dead["position"].to_list() == [f"kafka {topic}[0]:{n}" for n in (3, 4, 5)]


def test_a_schema_that_does_not_follow_the_last_is_refused(
    kafka: KafkaServer, schemas: str
) -> None:
    client = SchemaRegistry(schemas)
    client._ask("PUT", "/config/strict-value", {"compatibility": "BACKWARD"})
    client.register("strict-value", "AVRO", record({"name": "a", "type": "int"}))
    with pytest.raises(ConnectorError, match="answers 409"):
        client.register("strict-value", "AVRO", record({"name": "b", "type": "int"}))


def test_protobuf_by_its_subject(kafka: KafkaServer, schemas: str) -> None:
    topic, client = new_topic(kafka, 1), SchemaRegistry(schemas)
    proto = 'syntax = "proto3"; message Order { int64 id = 1; string note = 2; }'
    number = client.register(f"{topic}-value", "PROTOBUF", proto)
    head = b"\0" + number.to_bytes(4, "big") + b"\0"
    produce(kafka, topic, {"value": head + b"\x08\x07\x12\x01x"}, {"value": b"{}"})
    assert read(kafka, topic, "protobuf", registry=schemas).rows() == [(7, "x")]


def test_a_registry_that_is_away_and_a_subject_that_is_not_there(schemas: str) -> None:
    with pytest.raises(ConfigError, match="no subject 'nowhere'"):
        SchemaRegistry(schemas).latest("nowhere")
    with pytest.raises(ConnectorError, match="cannot be reached") as caught:
        SchemaRegistry("http://127.0.0.1:9").latest("any")
    assert caught.value.retry
