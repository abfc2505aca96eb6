"""RabbitMQ as source and sink, against a real broker."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pika
import polars as pl
import pytest

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import Keeper, SinkIdentity, SinkSpec, Source, SourceSpec, kept_by
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import check_sink, check_source
from tests.servers.local import running
from tests.servers.proxy import proxied
from tests.servers.rabbitmq import RabbitMq
from tests.systems.copying import copying
from tests.systems.json_values import decoded, in_json, schema_of
from tests.systems.waiting import caught_up, ids_in, poll_forever, polled, rows_of, until


@pytest.fixture(scope="session")
def server() -> Iterator[RabbitMq]:
    with running(RabbitMq) as found:
        yield found


def url(server: RabbitMq, name: str) -> str:
    return f"amqp://127.0.0.1:{server.port}/{name}"


@contextlib.contextmanager
def channel(server: RabbitMq) -> Iterator[Any]:
    with contextlib.closing(pika.BlockingConnection(server.parameters())) as connection:
        yield connection.channel()


def new_queue(server: RabbitMq, *values: bytes, kind: str = "queue") -> str:
    name = f"q-{uuid.uuid4().hex[:12]}"
    with channel(server) as made:
        arguments = {"x-queue-type": "stream"} if kind == "stream" else {}
        made.queue_declare(name, durable=True, arguments=arguments)
    publish(server, name, *values)
    return name


def publish(server: RabbitMq, name: str, *values: bytes, **properties: Any) -> None:
    with channel(server) as made:
        made.confirm_delivery()
        for value in values:
            made.basic_publish("", name, value, pika.BasicProperties(delivery_mode=2, **properties))


def left_in(server: RabbitMq, name: str) -> int:
    with channel(server) as made:
        return int(made.queue_declare(name, passive=True).method.message_count)


def opened(
    where: str, position: object = None, keeper: Keeper = Keeper.TOPIC, **options: Any
) -> Source:
    source = kept_by(registry.source(where, **options), keeper).open()
    source.seek(json.loads(json.dumps(position)))
    return source


def values_of(source: Source, count: int) -> list[int]:
    return [int(value) for value in rows_of(polled(source, count))["value"]]


def everything(where: str, **options: Any) -> pl.DataFrame:
    """Read until nothing more comes."""
    source = opened(where, keeper=Keeper.NOBODY, **options)
    found = [source.poll(1000, 0.5)]
    while found[-1].frame.height or not found[-1].caught_up:
        found.append(source.poll(1000, 0.5))
    source.close()
    return rows_of(found)


# -- the contract


def test_a_stream_keeps_the_contract(server: RabbitMq) -> None:
    lines = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
    lines[7], lines[13] = b"{oops", b'{"n": "x"}'
    stream = new_queue(server, *lines, kind="stream")

    def make() -> SourceSpec:
        schema = {"n": pl.Int64, "t": pl.String}
        return registry.source(url(server, stream), format="json", schema=schema, kind="stream")

    check_source(make, rows=20)


def test_a_queue_keeps_the_contract(server: RabbitMq) -> None:
    queue = new_queue(server)

    def make() -> SourceSpec:
        return registry.source(url(server, queue), format="json", schema={"n": pl.Int64})

    @contextlib.contextmanager
    def feed(_: Source) -> Iterator[None]:
        publish(server, queue, *(b'{"n": %d}' % n if n != 3 else b"{" for n in range(10)))
        yield
        until(lambda: purged(server, queue))

    check_source(make, rows=10, feed=feed)


def purged(server: RabbitMq, queue: str) -> bool:
    with channel(server) as made:
        made.queue_purge(queue)
    return True


@pytest.mark.parametrize("key", [(), ("k",)])
def test_a_sink_keeps_the_contract(server: RabbitMq, key: tuple[str, ...]) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(url(server, target), kind="stream", key=key)

    def read(target: str) -> pl.DataFrame:
        found = everything(url(server, target), kind="stream", metadata="headers")
        if key:
            told = pl.col("headers").list.first().struct.field("value")
            newest = found.group_by(told, maintain_order=True).last()
            found = newest.filter(pl.col("value").bin.size() > 0)
        return decoded(found["value"].to_list(), schema_of(target))

    check_sink(make, read, stored=in_json)


# -- reading


def test_messages_have_all_their_columns(server: RabbitMq) -> None:
    stream, at = new_queue(server, kind="stream"), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    publish(
        server,
        stream,
        b"v",
        message_id="m",
        timestamp=int(at.timestamp()),
        headers={"a": "1", "b": 2},
    )
    publish(server, stream, b"")
    columns = ["topic", "id", "timestamp", "headers", "offset"]
    found = everything(url(server, stream), kind="stream", metadata=columns)
    headers = [{"name": "a", "value": b"1"}, {"name": "b", "value": b"2"}]
    assert found.rows() == [
        (b"v", stream, "m", at, headers, 0), (b"", stream, None, None, None, 1),
    ]  # fmt: skip


def test_a_stream_begins_where_it_is_told_to(server: RabbitMq) -> None:
    stream = new_queue(server, *(b"%d" % n for n in range(6)), kind="stream")

    def values(start: Any) -> list[int]:
        return [
            int(v) for v in everything(url(server, stream), kind="stream", start=start)["value"]
        ]

    assert values("earliest") == [0, 1, 2, 3, 4, 5]
    assert values(4) == [4, 5]
    assert values(datetime.now(UTC) - timedelta(hours=1)) == [0, 1, 2, 3, 4, 5]
    source = opened(url(server, stream), kind="stream", start="latest")
    caught_up(source)
    publish(server, stream, b"6")
    assert values_of(source, 1) == [6]
    source.close()


def test_a_queue_gives_again_what_was_not_acknowledged(server: RabbitMq) -> None:
    queue = new_queue(server, *(b"%d" % n for n in range(7)))
    source = opened(url(server, queue))
    first = source.poll(3, 30)
    source.acknowledge(first.position)
    assert source.poll(2, 30).frame["value"].to_list() == [b"3", b"4"]
    source.close()
    again = opened(url(server, queue), first.position)
    assert sorted(values_of(again, 4)) == [3, 4, 5, 6]
    again.close()
    assert left_in(server, queue) == 0


def test_a_connection_that_is_cut_again_and_again(server: RabbitMq) -> None:
    total = 1000
    stream = new_queue(server, *(b"%d" % n + b" " * 2000 for n in range(total)), kind="stream")
    with proxied(server.port) as proxy:
        source = opened(f"amqp://127.0.0.1:{proxy.port}/{stream}", kind="stream")
        found: list[int] = []

        def all_came() -> bool:
            if len(found) // 250 >= proxy.connections:
                proxy.cut()
            found.extend(map(int, source.poll(50, 0.2).frame["value"]))
            return len(found) >= total

        until(all_came)
        source.close()
        assert proxy.connections >= 2
    assert found == list(range(total))


def test_a_broker_that_is_restarted_and_processes_that_are_killed(tmp_path: Path) -> None:
    """A queue into a table: nothing is lost; what was not acknowledged may come twice."""
    database, total = tmp_path / "rows.db", 900
    with running(RabbitMq) as server:
        queue = new_queue(server)
        sink = {"url": f"sqlite:{database}", "table": "rows"}
        for part in range(3):
            child = copying(tmp_path, {"url": url(server, queue)}, sink)
            some = range(part * total // 3, (part + 1) * total // 3)
            publish(server, queue, *(b'{"id": %d, "key": "k"}' % n for n in some))
            before = part * total // 3
            until(lambda before=before: len(set(ids_in(database))) > before, _log(tmp_path))  # type: ignore[misc]
            if part == 1:
                server.kill()
                server.start()
            if part < 2:
                child.kill()
                child.wait()
        until(lambda: set(ids_in(database)) == set(range(total)), _log(tmp_path))
        child.kill()
        child.wait()


def _log(folder: Path) -> str:
    return (folder / "log").read_text()[-3000:]


# -- writing


def test_messages_have_ids_and_keys(server: RabbitMq) -> None:
    name = f"q-{uuid.uuid4().hex[:12]}"
    sink = registry.sink(url(server, name), key="k").open()
    rows = pl.DataFrame({"k": ["a", "b"], "n": [1, 2]})
    sink.begin(SinkIdentity("pipeline/sink", 1), rows.schema)
    sink.apply(7, [rows])
    sink.close()
    found = everything(url(server, name), metadata=["id", "headers"])
    assert found["id"].to_list() == ["pipeline/sink/7/0", "pipeline/sink/7/1"]
    assert found["headers"][1].to_list() == [{"name": "penstock-key", "value": b"b"}]


def test_an_exchange_routes_by_columns(server: RabbitMq) -> None:
    exchange, queue = f"e-{uuid.uuid4().hex[:8]}", new_queue(server)
    with channel(server) as made:
        made.exchange_declare(exchange, "topic", durable=True)
        made.queue_bind(queue, exchange, "n.*")
    rows = ps.scan_batches([pl.DataFrame({"n": [1, 2]})])
    where = f"127.0.0.1:{server.port}"
    ps.run(rows.sink_rabbitmq(where, "n.{n}", exchange=exchange))
    assert everything(url(server, queue))["topic"].to_list() == ["n.1", "n.2"]
    with pytest.raises(ps.QueryFailed, match=r"no queue takes messages for 'm\.1'"):
        ps.run(rows.sink_rabbitmq(where, "m.{n}", exchange=exchange))


# -- the same in other words, security, mistakes


def test_urls_functions_and_sql_describe_the_same(server: RabbitMq) -> None:
    stream = new_queue(server, b'{"n": 4}', b'{"n": 5}', kind="stream")
    by_url = registry.source(url(server, stream), format="json", schema={"n": int}, kind="stream")
    stream_of = ps.scan_rabbitmq(
        f"127.0.0.1:{server.port}", stream, "json", {"n": int}, kind="stream"
    )
    assert by_url.name in stream_of.explain()
    with ps.Session() as session:
        session.sql(
            f"CREATE SOURCE numbers (n BIGINT) WITH (connector = 'rabbitmq', host = "
            f"'127.0.0.1:{server.port}', queue = '{stream}', kind = 'stream', format = 'json')"
        )
        until(lambda: session.sql("SELECT sum(n) AS s FROM numbers")["s"].item() == 9)


def test_a_password_and_tls(server: RabbitMq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUEST", "guest")
    queue = new_queue(server, b"1")
    place = f"127.0.0.1:{server.tls_port}/{queue}"
    secure = {"tls": True, "ca": str(server.ca)}
    source = opened(f"amqp://guest:${{env:GUEST}}@{place}", **secure)
    assert values_of(source, 1) == [1]
    source.close()
    for options, told in (
        ({**secure, "user": "guest", "password": "wrong word"}, "check user, password"),
        ({"tls": True}, "check tls"),
    ):
        wrong = opened(f"amqp://{place}", **options)
        with pytest.raises(ConnectorError, match=told) as caught:
            wrong.poll(1, 10)
        assert "wrong word" not in str(caught.value)
        wrong.close()


def test_a_broker_and_a_queue_that_are_not_there(server: RabbitMq) -> None:
    with proxied(server.port) as proxy:
        port = proxy.port
    source = opened(f"amqp://127.0.0.1:{port}/q", timeout="300ms")
    with pytest.raises(ConnectorError, match="the connection is lost"):
        poll_forever(source)
    source.close()
    source = opened(url(server, "nowhere"))
    with pytest.raises(ConnectorError, match="no queue 'nowhere'"):
        poll_forever(source)
    source.close()


@pytest.mark.parametrize(
    ("where", "options", "told"),
    [
        ("amqp://h", {}, "names a server"),
        ("amqp://h/q", {"kind": "topic"}, "kind cannot be 'topic'"),
        ("amqp://h/q", {"start": 4}, "a queue has no offsets"),
        ("amqp://h/q", {"metadata": "offset"}, "a queue has no offsets"),
        ("amqp://h/q", {"metadata": "colour"}, "messages have no 'colour'"),
        ("amqp://h/q", {"kind": "stream", "start": datetime(2026, 1, 1)}, "needs a time zone"),
    ],
)
def test_wrong_options_are_told(where: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.source(where, **options)


def test_a_queue_has_one_name() -> None:
    with pytest.raises(ConfigError, match="name one queue, or an exchange"):
        registry.sink("amqp://h/q.{n}")
