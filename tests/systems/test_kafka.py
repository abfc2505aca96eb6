"""Kafka as source and sink, against a real broker."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from polars.testing import assert_frame_equal

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import Polled, SinkSpec, Source, SourceSpec
from penstock.connectors.kafka.config import KafkaSourceSpec
from penstock.connectors.probing import probed
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import check_sink, check_source
from tests.servers.kafka import KafkaServer
from tests.systems.json_values import in_json, schema_of


def new_topic(kafka: KafkaServer, partitions: int = 2, **settings: str) -> str:
    name = f"t-{uuid.uuid4().hex[:12]}"
    new_named_topic(kafka, name, partitions, **settings)
    return name


def new_named_topic(kafka: KafkaServer, name: str, partitions: int, **settings: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    config = {key.replace("_", "."): value for key, value in settings.items()}
    admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(30)


def produce(kafka: KafkaServer, topic: str, *messages: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": kafka.servers, "acks": "all"})
    for message in messages:
        producer.produce(topic, **message)
    assert producer.flush(30) == 0


def read_all(source: Source) -> list[Polled]:
    found = []
    while True:
        found.append(source.poll(1000, 1.0))
        if found[-1].ended:
            source.close()
            return found


def read_table(kafka: KafkaServer, topic: str, schema: dict[str, Any], **options: Any) -> Any:
    spec = registry.source(
        f"kafka://{kafka.servers}/{topic}",
        format="json",
        schema=schema,
        stop="at end",
        metadata=["key", "offset", "partition"],
        tombstones="row",
        **options,
    )
    source = spec.open()
    source.seek(None)
    polls = read_all(source)
    assert all(polled.dead is None for polled in polls)
    return pl.concat(polled.frame for polled in polls)


# -- the contract


def test_a_source_keeps_the_contract(kafka: KafkaServer) -> None:
    topic = new_topic(kafka)
    lines = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
    lines[7], lines[13] = b"{oops", b'{"n": "x"}'
    produce(kafka, topic, *({"value": v, "partition": n % 2} for n, v in enumerate(lines)))

    def make(stop: str) -> SourceSpec:
        return registry.source(
            f"kafka://{kafka.servers}/{topic}",
            format="json",
            schema={"n": pl.Int64, "t": pl.String},
            stop=stop,
        )

    check_source(lambda: make("at end"))
    check_source(lambda: make("never"), rows=20)


@pytest.mark.parametrize("key", [(), ("k",)])
def test_a_sink_keeps_the_contract(kafka: KafkaServer, key: tuple[str, ...]) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(
            f"kafka://{kafka.servers}/{target}", key=key, key_format="json", partitions=2
        )

    def read(target: str) -> pl.DataFrame:
        found = read_table(kafka, target, schema_of(target))
        if key:
            last = pl.col("offset") == pl.col("offset").max().over("key")
            kept = pl.any_horizontal(pl.exclude("key", "offset", "partition").is_not_null())
            found = found.filter(last & kept)
        return found.drop("key", "offset", "partition")

    check_sink(make, read, stored=in_json)


def test_a_sink_of_any_changes_keeps_the_contract(kafka: KafkaServer) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(f"kafka://{kafka.servers}/{target}", format="debezium")

    def read(target: str) -> pl.DataFrame:
        row = pl.Struct(schema_of(target))
        found = read_table(kafka, target, {"before": row, "after": row, "op": pl.String})
        weight = pl.when(pl.col("op") == "c").then(1).otherwise(-1).alias("_weight")
        return found.select(pl.coalesce("after", "before").alias("row"), weight).unnest("row")

    check_sink(make, read, stored=in_json)


# -- reading


def frames_of(kafka: KafkaServer, topic: str, **options: Any) -> pl.DataFrame:
    stream = ps.scan_kafka(kafka.servers, topic, stop="at end", **options)
    return stream.collect()


def test_messages_have_all_their_columns(kafka: KafkaServer) -> None:
    topic, at = new_topic(kafka, 1), datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
    headers = [("a", b"1"), ("a", None)]
    produce(
        kafka,
        topic,
        {"value": b"v", "key": "k", "timestamp": int(at.timestamp() * 1000), "headers": headers},
        {"value": None, "key": None},
    )
    columns = ["key", "timestamp", "headers", "topic", "offset", "partition"]
    found = frames_of(kafka, topic, metadata=columns)
    assert found.row(0) == (
        b"k", b"v", at, [{"name": "a", "value": b"1"}, {"name": "a", "value": None}], topic, 0, 0,
    )  # fmt: skip
    assert found.drop("timestamp").row(1) == (None, None, None, topic, 1, 0)
    assert frames_of(kafka, topic).columns == ["key", "value", "timestamp", "offset", "partition"]


def test_reading_begins_where_it_is_told_to(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 2)
    messages = [
        {"value": b"%d" % n, "partition": n % 2, "timestamp": 1000 * n} for n in range(1, 9)
    ]
    produce(kafka, topic, *messages)

    def values(start: Any, **options: Any) -> list[int]:
        found = frames_of(kafka, topic, start=start, **options)
        return sorted(int(value) for value in found["value"])

    assert values("earliest") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert values("latest") == []
    assert values(datetime.fromtimestamp(6, UTC)) == [6, 7, 8]
    assert values(datetime.fromtimestamp(99, UTC)) == []
    assert values({0: 3}) == [1, 3, 5, 7, 8]
    assert values({topic: {0: 3, 1: 4}}) == [8]


def test_topics_by_pattern_and_those_made_later(kafka: KafkaServer) -> None:
    stem = f"p{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    admin.create_topics([NewTopic(f"{stem}-a", 1)])[f"{stem}-a"].result(30)
    produce(kafka, f"{stem}-a", {"value": b"1"})
    spec = registry.source(
        f"kafka://{kafka.servers}/^{stem}-.*", metadata=["topic"], discover="50ms"
    )
    source = spec.open()
    source.seek(None)
    seen = _until(source, 1)
    admin.create_topics([NewTopic(f"{stem}-b", 2)])[f"{stem}-b"].result(30)
    produce(kafka, f"{stem}-b", {"value": b"2", "partition": 0}, {"value": b"3", "partition": 1})
    seen += _until(source, 2)
    admin.create_partitions([NewPartitions(f"{stem}-a", 2)])[f"{stem}-a"].result(30)
    produce(kafka, f"{stem}-a", {"value": b"4", "partition": 1})
    seen += _until(source, 1)
    found = pl.concat(polled.frame for polled in seen)
    assert sorted(found.rows()) == [
        (b"1", f"{stem}-a"), (b"2", f"{stem}-b"), (b"3", f"{stem}-b"), (b"4", f"{stem}-a"),
    ]  # fmt: skip
    assert len(source.partitions()) == 4
    position = json.loads(json.dumps(seen[-1].position))
    source.close()
    again = spec.open()
    again.seek(position)
    produce(kafka, f"{stem}-b", {"value": b"5"})
    assert _until(again, 1)[-1].frame["value"].to_list() == [b"5"]
    again.close()


def _until(source: Source, count: int) -> list[Polled]:
    found: list[Polled] = []
    until = time.monotonic() + 60
    while sum(polled.frame.height for polled in found) < count:
        assert time.monotonic() < until, "the messages did not come"
        found.append(source.poll(1000, 0.2))
    return found


def test_tombstones(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    values = [b'{"n": 1}', None, b"{", None, b'{"n": 2}']
    produce(kafka, topic, *({"value": value, "key": f"k{n}"} for n, value in enumerate(values)))

    def read(tombstones: str) -> tuple[list[Any], list[str]]:
        stream = ps.scan_kafka(
            kafka.servers, topic, "json", {"n": int}, stop="at end", metadata="key",
            tombstones=tombstones,
        )  # fmt: skip
        letters = stream.dead_letters.collect()
        assert letters["position"][0].startswith(f"kafka {topic}[0]:")
        return stream.collect().rows(), letters["position"].str.extract(r":(\d+)$").sort().to_list()

    good = [(1, b"k0"), (2, b"k4")]
    assert read("dead letter") == (good, ["1", "2", "3"])
    assert read("skip") == (good, ["2"])
    assert read("row") == ([(1, b"k0"), (None, b"k1"), (None, b"k3"), (2, b"k4")], ["2"])


def test_aborted_messages_are_not_read(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    producer = Producer({"bootstrap.servers": kafka.servers, "transactional.id": topic})
    producer.init_transactions()
    for value, ends in (("a", producer.commit_transaction), ("b", producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush()
        ends()
    assert frames_of(kafka, topic)["value"].to_list() == [b"a"]
    both = frames_of(kafka, topic, isolation="read_uncommitted")
    assert both["value"].to_list() == [b"a", b"b"]


def test_what_was_deleted_before_it_was_read(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    produce(kafka, topic, *({"value": b"%d" % n} for n in range(5)))
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    admin.delete_records([TopicPartition(topic, 0, 3)])[TopicPartition(topic, 0)].result(30)
    source = registry.source(f"kafka://{kafka.servers}/{topic}", start={0: 1}).open()
    source.seek(None)
    with pytest.raises(ConnectorError, match=r"messages 1 to 2 of .* were deleted"):
        _until(source, 1)
    source.close()
    skipping = registry.source(
        f"kafka://{kafka.servers}/{topic}", start={0: 1}, on_lost="skip"
    ).open()
    skipping.seek(None)
    assert [len(p.frame) for p in _until(skipping, 2)][-1] == 2
    assert skipping.lost == 2  # type: ignore[attr-defined]
    skipping.close()


def test_a_topic_that_was_made_anew_is_refused(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    produce(kafka, topic, {"value": b"old"})
    spec = registry.source(f"kafka://{kafka.servers}/{topic}")
    source = spec.open()
    source.seek(None)
    position = _until(source, 1)[-1].position
    source.close()
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    admin.delete_topics([topic])[topic].result(30)
    _again(lambda: admin.create_topics([NewTopic(topic, 1)])[topic].result(30))
    source = spec.open()
    with pytest.raises(ConnectorError, match="is not the one"):
        source.seek(position)
    source.close()


def _again(call: Callable[[], object]) -> None:
    """Call until it works: a deleted topic is gone only after a while."""
    until = time.monotonic() + 60
    while True:
        try:
            call()
        except KafkaException:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_offsets_are_committed_for_those_who_watch(kafka: KafkaServer, tmp_path: Path) -> None:
    topic, group = new_topic(kafka, 1), f"g-{uuid.uuid4().hex[:8]}"
    produce(kafka, topic, *({"value": b"%d" % n} for n in range(7)))
    stream = ps.scan_kafka(kafka.servers, topic, stop="at end", group=group)
    ps.run(stream.sink_callback(lambda _: None), checkpoint=tmp_path / "kept")
    watching = Consumer({"bootstrap.servers": kafka.servers, "group.id": group})
    _again_until(lambda: watching.committed([TopicPartition(topic, 0)])[0].offset == 7)
    watching.close()


def _again_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


# -- writing


def test_a_key_goes_where_javas_clients_put_it(kafka: KafkaServer) -> None:
    """Partitions of some keys among 7, computed by Kafka's own murmur2 (from its documentation)."""
    topic = new_topic(kafka, 7)
    rows = pl.DataFrame({"user": ["ann", "bob", "", "é"], "n": [1, 2, 3, 4]})
    ps.run(ps.scan_batches([rows]).sink_kafka(kafka.servers, topic, key="user"))
    found = frames_of(kafka, topic)
    for key, partition in found.select("key", "partition").rows():
        assert partition == (_murmur2(key) & 0x7FFFFFFF) % 7
    assert set(found["key"]) == {b"ann", b"bob", b"", "é".encode()}


def _murmur2(data: bytes) -> int:
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def test_raw_messages_with_headers_and_times(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    given = pl.DataFrame(
        {
            "key": [b"a", None],
            "value": ["one", None],
            "timestamp": [datetime(2026, 1, 1, tzinfo=UTC)] * 2,
            "headers": [[{"name": "h", "value": b"x"}], None],
        },
        schema_overrides={"headers": pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))},
    )
    ps.run(ps.scan_batches([given]).sink_kafka(kafka.servers, topic, format="raw"))
    found = frames_of(kafka, topic, metadata=["key", "timestamp", "headers"])
    expected = given.with_columns(pl.col("value").cast(pl.Binary)).select(found.columns)
    assert_frame_equal(found, expected)


def test_changes_by_key_are_upserts(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 2)
    frames = [pl.DataFrame({"k": ["a", "b"], "n": [1, 5]}), pl.DataFrame({"k": ["a"], "n": [2]})]
    counts = ps.scan_batches(frames).group_by("k").agg(pl.col("n").sum()).filter(pl.col("n") != 5)
    ps.run(counts.sink_kafka(kafka.servers, topic, key="k"))
    found = read_table(kafka, topic, {"k": pl.String, "n": pl.Int64})
    last = found.group_by("key", maintain_order=True).last().sort("key")
    assert last.select("key", "k", "n").rows() == [(b"a", "a", 3)]


def test_large_messages(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1, max_message_bytes="8000000")
    text = "é" * 500_000
    rows = pl.DataFrame({"text": [text, "small", text]})
    ps.run(ps.scan_batches([rows]).sink_kafka(kafka.servers, topic))
    found = frames_of(kafka, topic, format="json", schema={"text": str})
    assert found["text"].to_list() == [text, "small", text]


# -- the same in other words


def test_urls_functions_and_sql_describe_the_same(kafka: KafkaServer) -> None:
    topic = new_topic(kafka)
    by_url = registry.source(f"kafka://{kafka.servers}/{topic}", format="json", schema={"n": int})
    produce(kafka, topic, {"value": b'{"n": 4}'}, {"value": b'{"n": 5}'})
    with ps.Session() as session:
        session.sql(
            f"CREATE SOURCE numbers (n BIGINT) WITH (connector = 'kafka', servers = "
            f"'{kafka.servers}', topic = '{topic}', format = 'json', stop = 'at end')"
        )
        _again_until(lambda: session.sql("SELECT sum(n) AS s FROM numbers")["s"].item() == 9)
    assert isinstance(by_url, KafkaSourceSpec)
    stream = ps.scan_kafka(kafka.servers, topic, "json", {"n": int})
    assert repr(by_url) in repr(stream.explain()) or by_url.name in stream.explain()


def test_secrets_are_not_shown(kafka: KafkaServer) -> None:
    where = f"kafka://ann:a%20secret%20of%20ann@{kafka.sasl}/t"
    for spec in (registry.source(where), registry.sink(where)):
        for text in (repr(spec), str(spec), spec.name):
            assert "secret" not in text
        assert spec.connection.client("t")["sasl.password"] == "a secret of ann"  # type: ignore[attr-defined]


def test_a_password_opens_the_door_and_a_wrong_one_is_told(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 1)
    produce(kafka, topic, {"value": b"1"})
    options = {"user": "ann", "password": "a secret of ann", "stop": "at end"}
    assert ps.scan_kafka(kafka.sasl, topic, **options).collect().height == 1  # type: ignore[arg-type]
    options["password"] = "wrong"
    with pytest.raises(ps.QueryFailed, match="check user, password") as caught:
        ps.scan_kafka(kafka.sasl, topic, **options).collect()  # type: ignore[arg-type]
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "options", "told"),
    [
        ("kafka://h:9092", {}, "names brokers and a topic"),
        ("kafka://h:port/t", {}, "not an address"),
        ("kafka://h/t", {"mechanism": "magic"}, "mechanism cannot be 'magic'"),
        ("kafka://h/t", {"user": "ann"}, "belong together"),
        ("kafka://h/t", {"ca": "ca.pem"}, "give tls=True"),
        ("kafka://h/t", {"settings": {"isolation.level": "x"}}, "is the connector's own"),
        ("kafka://h/t", {"metadata": "colour"}, "messages have no 'colour'"),
        ("kafka://h/t", {"start": datetime(2026, 1, 1)}, "needs a time zone"),
        ("kafka://h/t", {"schema": {"n": int}}, "is for a format"),
        ("kafka://h/t", {"fromat": "json"}, "is for a format"),
    ],
)
def test_wrong_options_are_told(where: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.source(where, **options)


def test_a_topic_that_is_not_there(kafka: KafkaServer) -> None:
    with pytest.raises(ps.QueryFailed, match="there is no topic 'nowhere'"):
        ps.scan_kafka(kafka.servers, "nowhere", stop="at end").collect()


def test_connections_are_probed(kafka: KafkaServer) -> None:
    topic = new_topic(kafka, 3)
    where = f"kafka://{kafka.servers}/{topic}"
    assert probed(registry.source(where)) == "1 topics, 3 partitions"
    assert probed(registry.sink(where)) == "the topic is there"
    assert probed(registry.sink(f"{where}-new")) == "the topic will be made"
    with pytest.raises(ConnectorError, match="there is no topic"):
        probed(registry.source(f"{where}-new"))
