"""MQTT as source and sink, against a real Mosquitto; what paho writes and reads is another's word."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import polars as pl
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import Keeper, Polled, SinkSpec, Source, SourceSpec, kept_by
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import check_sink, check_source
from tests.servers.local import running
from tests.servers.mosquitto import PASSWORD, Mosquitto
from tests.servers.proxy import proxied
from tests.systems.copying import copying
from tests.systems.json_values import in_json, schema_of
from tests.systems.waiting import caught_up, ids_in, poll_forever, polled, rows_of, until


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[Mosquitto]:
    with running(Mosquitto) as server:
        yield server


def new_topic() -> str:
    return f"t/{uuid.uuid4().hex[:12]}"


@contextlib.contextmanager
def other_client(server: Mosquitto, version: int = paho.MQTTv5) -> Iterator[paho.Client]:
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTProtocolVersion(version)
    )
    client.connect("127.0.0.1", server.port)
    client.loop_start()
    until(client.is_connected)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(server: Mosquitto, topic: str, *payloads: bytes, qos: int = 1, **how: Any) -> None:
    with other_client(server) as client:
        for payload in payloads:
            client.publish(topic, payload, qos, **how).wait_for_publish(60)


def opened(where: str, keeper: Keeper = Keeper.NOBODY, **options: Any) -> Source:
    """Open a source, subscribed."""
    source = kept_by(registry.source(where, **options), keeper).open()
    source.seek(None)
    caught_up(source)
    return source


def url(server: Mosquitto, topic: str) -> str:
    return f"mqtt://127.0.0.1:{server.port}/{topic}"


@contextlib.contextmanager
def collected(server: Mosquitto, topic: str, count: int) -> Iterator[list[paho.MQTTMessage]]:
    """Collect what comes for a topic; at the end ``count`` messages have come."""
    found: list[paho.MQTTMessage] = []
    ready: list[object] = []
    with other_client(server) as client:
        client.on_message = lambda *args: found.append(args[2])
        client.on_subscribe = lambda *args: ready.append(args)
        client.subscribe(topic, 2)
        until(lambda: ready)
        yield found
        until(lambda: len(found) >= count)


# -- the contract


@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_source_keeps_the_contract(mosquitto: Mosquitto, qos: int, version: str) -> None:
    topic = new_topic()
    lines = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
    lines[7], lines[13] = b"{oops", b'{"n": "x"}'

    def make() -> SourceSpec:
        return registry.source(
            url(mosquitto, topic), format="json", schema={"n": pl.Int64, "t": pl.String}, qos=qos,
            version=version,
        )  # fmt: skip

    @contextlib.contextmanager
    def feed(source: Source) -> Iterator[None]:
        caught_up(source)
        publish(mosquitto, topic, *lines, qos=qos)
        yield

    check_source(make, rows=20, feed=feed)


@pytest.mark.parametrize("key", [(), ("k",)])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_sink_keeps_the_contract(mosquitto: Mosquitto, key: tuple[str, ...], qos: int) -> None:
    """The rows are read by a session that was there before; of keys the retained messages are."""
    sources: dict[str, Source] = {}

    def make(target: str) -> SinkSpec:
        if not key and target not in sources:
            where = url(mosquitto, f"{target}/#")
            sources[target] = opened(where, Keeper.TOPIC, format="json", schema=schema_of(target))
        place = f"{target}/{{k}}" if key else f"{target}/all"
        return registry.sink(url(mosquitto, place), key=key, retain=bool(key), qos=qos)

    def read(target: str) -> pl.DataFrame:
        if not key:
            found: list[Polled] = []
            while not found or found[-1].frame.height or not found[-1].caught_up:
                found.append(sources[target].poll(1000, 0.3))
            return rows_of(found)
        return retained(url(mosquitto, f"{target}/#"), schema_of(target))

    check_sink(make, read, stored=in_json)
    for source in sources.values():
        source.close()


def retained(where: str, kinds: dict[str, Any]) -> pl.DataFrame:
    source = registry.source(where, format="json", schema=kinds).open()
    source.seek(None)
    found = [source.poll(1000, 0.3)]
    while found[-1].frame.height or not found[-1].caught_up:
        found.append(source.poll(1000, 0.3))
    source.close()
    return rows_of(found)


# -- reading


def test_messages_have_all_their_columns(mosquitto: Mosquitto) -> None:
    stem = new_topic()
    publish(mosquitto, f"{stem}/kept", b"old", retain=True)
    source = registry.source(
        url(mosquitto, f"{stem}/+"), metadata=["topic", "qos", "retain", "headers"]
    ).open()
    source.seek(None)
    found = polled(source, 1)
    caught_up(source)
    told = Properties(PacketTypes.PUBLISH)
    told.UserProperty = [("a", "1"), ("a", "é")]
    publish(mosquitto, f"{stem}/new", b"", properties=told)
    publish(mosquitto, f"{stem}/new/deeper", b"not for us")
    publish(mosquitto, f"{stem}/é", b"x" * 1_000_000, qos=0)
    found += polled(source, 2)
    source.close()
    assert rows_of(found).rows() == [
        (b"old", f"{stem}/kept", 1, True, None),
        (b"", f"{stem}/new", 1, False, [{"name": "a", "value": b"1"}, {"name": "a", "value": "é".encode()}]),
        (b"x" * 1_000_000, f"{stem}/é", 0, False, None),
    ]  # fmt: skip


def test_a_shared_subscription_divides_messages(mosquitto: Mosquitto) -> None:
    topic = new_topic()
    one, two = (opened(url(mosquitto, f"$share/g/{topic}")) for _ in range(2))
    publish(mosquitto, topic, *(b"%d" % n for n in range(20)))
    found: list[list[bytes]] = [[], []]

    def all_came() -> bool:
        for source, values in zip((one, two), found, strict=True):
            values.extend(source.poll(100, 0.05).frame["value"])
        return len(found[0]) + len(found[1]) == 20

    until(all_came)
    assert found[0]
    assert found[1]
    assert sorted(map(int, found[0] + found[1])) == list(range(20))
    one.close()
    two.close()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_the_broker_keeps_what_is_not_answered(mosquitto: Mosquitto, version: str) -> None:
    topic, name = new_topic(), uuid.uuid4().hex
    options = {"client": name, "version": version, "keeper": Keeper.TOPIC}
    source = opened(url(mosquitto, topic), **options)  # type: ignore[arg-type]
    publish(mosquitto, topic, *(b"%d" % n for n in range(5)))
    first = polled(source, 5, acknowledge=False)
    source.close()
    publish(mosquitto, topic, b"5")
    again = opened_later(url(mosquitto, topic), first[-1].position, **options)
    assert sorted(int(v) for v in rows_of(polled(again, 6))["value"]) == [0, 1, 2, 3, 4, 5]
    again.poll(10, 0)
    position = again.poll(10, 0.1).position
    again.close()
    last = opened_later(url(mosquitto, topic), position, **options)
    publish(mosquitto, topic, b"6")
    assert rows_of(polled(last, 1))["value"].to_list() == [b"6"]
    last.close()


def opened_later(where: str, position: object, keeper: Keeper, **options: Any) -> Source:
    source = kept_by(registry.source(where, **options), keeper).open()
    source.seek(json.loads(json.dumps(position)))
    return source


@pytest.mark.parametrize("qos", [1, 2])
def test_a_connection_that_is_cut_again_and_again(mosquitto: Mosquitto, qos: int) -> None:
    topic, total = new_topic(), 3000
    with proxied(mosquitto.port) as proxy:
        source = opened(
            f"mqtt://127.0.0.1:{proxy.port}/{topic}", Keeper.TOPIC, qos=qos, client=uuid.uuid4().hex
        )
        with other_client(mosquitto) as client:
            sent = [client.publish(topic, b"%d" % n, qos) for n in range(total)]
            found: Counter[int] = Counter()

            def all_came() -> bool:
                if len(found) // 300 >= proxy.connections:
                    proxy.cut()
                poll = source.poll(100, 0.02)
                source.acknowledge(poll.position)
                found.update(map(int, poll.frame["value"]))
                return len(found) == total

            until(all_came)
            sent[-1].wait_for_publish(60)
        source.close()
        assert proxy.connections >= 5
    doubled = found.total() - total
    assert doubled == 0 or qos == 1, doubled


def test_a_broker_that_is_restarted(tmp_path: Path) -> None:
    topic = new_topic()
    with running(Mosquitto) as server:
        source = opened(url(server, topic), Keeper.TOPIC, client="c")
        publish(server, topic, b"1")
        assert rows_of(polled(source, 1))["value"].to_list() == [b"1"]
        server.kill()
        until(lambda: not source.poll(10, 0.05).caught_up)
        server.start()
        caught_up(source)
        publish(server, topic, b"2")
        assert rows_of(polled(source, 1))["value"].to_list() == [b"2"]
        server.pause()
        server.go_on()
        publish(server, topic, b"3")
        assert rows_of(polled(source, 1))["value"].to_list() == [b"3"]
        source.close()


def test_a_broker_that_says_nothing_any_more(tmp_path: Path) -> None:
    topic = new_topic()
    with running(Mosquitto) as server:
        source = opened(url(server, topic), keep_alive="2s", timeout="2s")
        server.pause()
        until(lambda: not source.poll(10, 0.1).caught_up)
        server.go_on()
        caught_up(source)
        publish(server, topic, b"1")
        assert rows_of(polled(source, 1))["value"].to_list() == [b"1"]
        source.close()


def test_nothing_is_lost_when_the_process_and_the_broker_are_killed(tmp_path: Path) -> None:
    """QoS 2: each row once, through kill -9 of ours, and a broker that goes and comes back."""
    topic, total, database = new_topic(), 400, tmp_path / "rows.db"
    with running(Mosquitto) as server:
        source = {"url": url(server, topic), "qos": 2, "client": "chaos"}
        sink = {"url": f"sqlite:{database}", "table": "rows"}
        publish_client = opened(url(server, topic), Keeper.TOPIC, client="chaos")
        publish_client.close()  # the session is there from now on
        child = copying(tmp_path, source, sink)
        with other_client(server) as client:
            for part in range(4):
                sent = [
                    client.publish(topic, b'{"id": %d, "key": "k"}' % n, 2)
                    for n in range(part * total // 4, (part + 1) * total // 4)
                ]
                seen = part * total // 4
                until(lambda seen=seen: len(ids_in(database)) > seen)  # type: ignore[misc]
                if part == 2:
                    for each in sent:
                        each.wait_for_publish(60)
                    server.stop()
                    server.start()
                    until(client.is_connected)
                else:
                    child.kill()
                    child.wait()
                    child = copying(tmp_path, source, sink)
            for each in sent:
                each.wait_for_publish(60)
            until(lambda: len(ids_in(database)) >= total, (tmp_path / "log").read_text()[-3000:])
        child.kill()
        child.wait()
    assert ids_in(database) == list(range(total))


# -- writing


def test_what_another_client_reads(mosquitto: Mosquitto) -> None:
    stem = new_topic()
    rows = pl.DataFrame(
        {"user": ["a/b", "c+#%"], "n": [1, 2], "h": [[{"name": "x", "value": b"y"}], None]},
        schema_overrides={"h": pl.List(pl.Struct({"name": pl.String, "value": pl.Binary}))},
    )
    with collected(mosquitto, f"{stem}/#", 2) as found:
        ps.run(
            ps.scan_batches([rows]).sink_mqtt(
                f"127.0.0.1:{mosquitto.port}", f"{stem}/{{user}}/n", headers="h", qos=2
            )
        )
    assert [message.topic for message in found] == [f"{stem}/a/b/n", f"{stem}/c%2B%23%25/n"]
    assert [json.loads(message.payload) for message in found] == [
        {"user": "a/b", "n": 1}, {"user": "c+#%", "n": 2},
    ]  # fmt: skip
    assert found[0].properties.UserProperty == [("x", "y")]  # type: ignore[union-attr]


def test_retained_messages_are_a_table_by_topic(mosquitto: Mosquitto) -> None:
    stem = new_topic()
    frames = [
        pl.DataFrame({"k": ["a", "b"], "n": [1, 5]}),
        pl.DataFrame({"k": ["a", "b"], "n": [2, 1]}),
    ]
    counts = ps.scan_batches(frames).group_by("k").agg(pl.col("n").sum()).filter(pl.col("n") != 6)
    ps.run(counts.sink_mqtt(f"127.0.0.1:{mosquitto.port}", f"{stem}/{{k}}", key="k", retain=True))
    found = retained(url(mosquitto, f"{stem}/#"), {"k": pl.String, "n": pl.Int64})
    assert found.rows() == [("a", 3)]


def test_raw_messages_and_many_of_them(mosquitto: Mosquitto) -> None:
    topic, total = new_topic(), 20_000
    source = opened(url(mosquitto, topic), Keeper.TOPIC, client=uuid.uuid4().hex)
    rows = pl.select(value=pl.int_range(total).cast(pl.String))
    ps.run(ps.scan_batches([rows]).sink_mqtt(f"127.0.0.1:{mosquitto.port}", topic, format="raw"))
    found = rows_of(polled(source, total))
    source.close()
    assert found["value"].cast(pl.String).cast(pl.Int64).to_list() == list(range(total))


# -- the same in other words, security, mistakes


def test_urls_functions_and_sql_describe_the_same(mosquitto: Mosquitto) -> None:
    topic = new_topic()
    by_url = registry.source(url(mosquitto, topic), format="json", schema={"n": int})
    stream = ps.scan_mqtt(f"127.0.0.1:{mosquitto.port}", topic, "json", {"n": int})
    assert by_url.name in stream.explain()
    assert "exactly once from its arrival" in stream.explain()
    publish(mosquitto, topic, b'{"n": 4}', retain=True)
    with ps.Session() as session:
        session.sql(
            f"CREATE SOURCE numbers (n BIGINT) WITH (connector = 'mqtt', broker = "
            f"'127.0.0.1:{mosquitto.port}', topic = '{topic}', format = 'json')"
        )
        until(lambda: session.sql("SELECT sum(n) AS s FROM numbers")["s"].item() == 4)


def test_a_password_and_tls(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", PASSWORD)
    where = f"mqtt://ann:${{env:ANN}}@127.0.0.1:{mosquitto.secured}/{new_topic()}"
    secure = {"tls": True, "ca": str(mosquitto.ca)}
    source = opened(where, **secure)
    ps.run(ps.scan_batches([pl.DataFrame({"n": [1]})]).sink(where, **secure))
    assert rows_of(polled(source, 1))["value"].to_list() == [b'{"n":1}']
    source.close()
    for change, told in (
        ({"user": "ann", "password": "wrong word"}, "check user and password"),
        ({"ca": None}, "no encrypted connection"),
    ):
        options = {**secure, **change}
        place = where.rpartition("@")[2] if "user" in change else where.removeprefix("mqtt://")
        wrong = registry.source(f"mqtt://{place}", **options).open()
        wrong.seek(None)
        with pytest.raises(ConnectorError, match=told) as caught:
            wrong.poll(1, 10)
        assert PASSWORD not in str(caught.value)
        assert "wrong word" not in str(caught.value)
        wrong.close()


def test_another_client_of_the_same_name(mosquitto: Mosquitto) -> None:
    topic = new_topic()
    one = opened(url(mosquitto, topic), client="twin", version="5")
    two = opened(url(mosquitto, topic), client="twin", version="5")
    with pytest.raises(ConnectorError, match="has taken over the session"):
        poll_forever(one)
    one.close()
    two.close()


def test_a_broker_that_is_not_there() -> None:
    with running(Mosquitto) as server:
        port = server.port
    source = registry.source(f"mqtt://127.0.0.1:{port}/t", timeout="300ms").open()
    source.seek(None)
    with pytest.raises(ConnectorError, match="Connection refused"):
        poll_forever(source)
    source.close()


@pytest.mark.parametrize(
    ("where", "options", "told"),
    [
        ("mqtt://h", {}, "names a server"),
        ("mqtt://h:port/t", {}, "not an address"),
        ("mqtt://h/a+", {}, "no topic filter"),
        ("mqtt://h/#/a", {}, "no topic filter"),
        ("mqtt://h/t", {"qos": 3}, "qos is 0, 1 or 2"),
        ("mqtt://h/t", {"version": "4"}, "version cannot be '4'"),
        ("mqtt://h/t", {"password": "x"}, "needs a user"),
        ("mqtt://h/t", {"ca": "ca.pem"}, "give tls=True"),
        ("mqtt://h/t", {"metadata": "colour"}, "messages have no 'colour'"),
        ("mqtt://h/t", {"schema": {"n": int}}, "is for a format"),
        ("mqtt://h/t", {"timeout": 0}, "must be positive"),
    ],
)
def test_wrong_options_are_told(where: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.source(where, **options)


def test_what_cannot_be_written_is_told() -> None:
    rows = ps.scan_batches([pl.DataFrame({"k": ["a"], "n": [1]})])
    counts = rows.group_by("k").agg(pl.col("n").sum())
    for stream, topic, options, told in (
        (rows, "a/#", {}, "is no topic to write to"),
        (rows, "a/{x}", {}, "there is no column 'x'"),
        (counts, "a/{n}", {"key": "k"}, "is not part of the key"),
        (counts, "a", {}, "append"),
        (rows, "a", {"format": "raw"}, "a raw message has no 'k'"),
        (rows, "a/{k}", {"format": "debezium"}, "all go to one place"),
    ):
        with pytest.raises((ConfigError, ps.PlanError), match=told):
            stream.sink_mqtt("h", topic, **options)  # type: ignore[arg-type]
