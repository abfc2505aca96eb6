"""NATS JetStream as source and sink, against a real server; nats-py is another's word."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nats
import polars as pl
import pytest

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import SinkIdentity, SinkSpec, Source, SourceSpec
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import check_sink, check_source
from tests.servers.local import running
from tests.servers.nats import PASSWORD, Nats, SecuredNats
from tests.servers.proxy import proxied
from tests.systems.copying import SCHEMA, copying
from tests.systems.json_values import decoded, in_json, schema_of
from tests.systems.waiting import caught_up, poll_forever, polled, rows_of, until


@pytest.fixture(scope="session")
def server() -> Iterator[Nats]:
    with running(Nats) as found:
        yield found


def url(server: Nats, name: str) -> str:
    return f"nats://127.0.0.1:{server.port}/{name}"


def new_stream(server: Nats, *values: bytes, subject: str = "x", **headers: str) -> str:
    """Create a stream with messages, by nats-py."""
    name = f"S{uuid.uuid4().hex[:12]}"
    publish(server, name, *values, subject=subject, create=True, **headers)
    return name


def publish(
    server: Nats,
    name: str,
    *values: bytes,
    subject: str = "x",
    create: bool = False,
    **headers: str,
) -> None:
    async def go() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{server.port}")
        stream = client.jetstream()
        if create:
            await stream.add_stream(name=name, subjects=[f"{name}.>"])
        for value in values:
            await stream.publish(f"{name}.{subject}", value, headers=dict(headers) or None)
        await client.close()

    asyncio.run(go())


def delete(server: Nats, name: str) -> None:
    async def go() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{server.port}")
        await client.jetstream().delete_stream(name)
        await client.close()

    asyncio.run(go())


def opened(where: str, position: object = None, **options: Any) -> Source:
    source = registry.source(where, **options).open()
    source.seek(json.loads(json.dumps(position)))
    return source


def values_of(source: Source, count: int) -> list[int]:
    return [int(value) for value in rows_of(polled(source, count))["value"]]


# -- the contract


def test_a_source_keeps_the_contract(server: Nats) -> None:
    lines = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
    lines[7], lines[13] = b"{oops", b'{"n": "x"}'
    stream = new_stream(server, *lines)

    def make(stop: str) -> SourceSpec:
        return registry.source(
            url(server, stream), format="json", schema={"n": pl.Int64, "t": pl.String}, stop=stop
        )

    check_source(lambda: make("at end"))
    check_source(lambda: make("never"), rows=20)


def test_a_sink_keeps_the_contract(server: Nats) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(url(server, f"{target}.all"), stream=target)

    def read(target: str) -> pl.DataFrame:
        kinds = schema_of(target)
        return ps.scan(url(server, target), format="json", schema=kinds, stop="at end").collect()

    check_sink(make, read, stored=in_json)


def test_a_sink_of_keys_keeps_the_contract(server: Nats) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(url(server, f"{target}.{{k}}"), stream=target, key="k")

    def read(target: str) -> pl.DataFrame:
        raw = ps.scan(url(server, target), stop="at end").collect()
        newest = raw.group_by("topic").last().filter(pl.col("value").bin.size() > 0)
        return decoded(newest["value"].to_list(), schema_of(target))

    check_sink(make, read, stored=in_json)


# -- reading


def test_messages_have_all_their_columns(server: Nats) -> None:
    before = datetime.now(UTC)
    stream = new_stream(server, b"one", subject="a.b", h="é")
    publish(server, stream, b"", subject="c")
    columns = ["topic", "sequence", "timestamp", "headers"]
    found = ps.scan_nats(
        f"127.0.0.1:{server.port}", stream, metadata=columns, stop="at end"
    ).collect()
    assert found.drop("timestamp").rows() == [
        (b"one", 1, f"{stream}.a.b", [{"name": "h", "value": "é".encode()}]),
        (b"", 2, f"{stream}.c", None),
    ]
    assert before <= found["timestamp"][0] <= found["timestamp"][1] <= datetime.now(UTC)
    some = ps.scan_nats(f"127.0.0.1:{server.port}", stream, subject=f"{stream}.a.*", stop="at end")
    assert some.collect()["value"].to_list() == [b"one"]


def test_reading_begins_where_it_is_told_to(server: Nats) -> None:
    stream = new_stream(server, *(b"%d" % n for n in range(1, 4)))
    until(lambda: datetime.now(UTC))
    middle = datetime.now(UTC)
    publish(server, stream, *(b"%d" % n for n in range(4, 7)))

    def values(start: Any) -> list[int]:
        found = ps.scan_nats(f"127.0.0.1:{server.port}", stream, start=start, stop="at end")
        return [int(value) for value in found.collect()["value"]]

    assert values("earliest") == [1, 2, 3, 4, 5, 6]
    assert values("latest") == []
    assert values(5) == [5, 6]
    assert values(middle) == [4, 5, 6]


def test_a_stream_that_was_made_anew_is_refused(server: Nats) -> None:
    stream = new_stream(server, b"1")
    source = opened(url(server, stream))
    position = polled(source, 1)[-1].position
    source.close()
    delete(server, stream)
    publish(server, stream, b"2", create=True)
    again = opened(url(server, stream), position)
    with pytest.raises(ConnectorError, match="is not the one"):
        again.poll(1, 10)
    again.close()


def test_a_connection_that_is_cut_again_and_again(server: Nats) -> None:
    total = 1000
    stream = new_stream(server, *(b"%d" % n + b" " * 2000 for n in range(total)))
    with proxied(server.port) as proxy:
        source = opened(f"nats://127.0.0.1:{proxy.port}/{stream}")
        found: list[int] = []

        def all_came() -> bool:
            if len(found) // 150 >= proxy.connections:
                proxy.cut()
            found.extend(map(int, source.poll(50, 0.02).frame["value"]))
            return len(found) >= total

        until(all_came)
        source.close()
        assert proxy.connections >= 2
    assert found == list(range(total))


def test_a_server_that_is_restarted_and_one_that_hangs() -> None:
    with running(Nats) as server:
        stream = new_stream(server, b"1")
        source = opened(url(server, stream), timeout="2s")
        assert values_of(source, 1) == [1]
        server.kill()
        until(lambda: not source.poll(10, 0.05).caught_up)
        server.start()
        publish(server, stream, b"2")
        assert values_of(source, 1) == [2]
        caught_up(source)
        server.pause()
        until(lambda: not source.poll(10, 0.1).caught_up)
        server.go_on()
        publish(server, stream, b"3")
        assert values_of(source, 1) == [3]
        source.close()


# -- writing


def test_what_comes_again_is_dropped(server: Nats) -> None:
    stream = f"S{uuid.uuid4().hex[:12]}"
    rows = pl.DataFrame({"n": [1, 2, 3]})
    for _ in range(2):  # as after a crash before the checkpoint knew of it
        sink = registry.sink(url(server, f"{stream}.{{n}}"), stream=stream).open()
        sink.begin(SinkIdentity("pipeline/sink", 1), rows.schema)
        sink.apply(7, [rows])
        sink.close()
    found = ps.scan(url(server, stream), metadata=["headers", "topic"], stop="at end").collect()
    assert found["topic"].to_list() == [f"{stream}.{n}" for n in (1, 2, 3)]
    assert found["headers"][2][0] == {"name": "Nats-Msg-Id", "value": b"pipeline/sink/7/2"}


def test_many_messages_and_large_ones(server: Nats) -> None:
    stream, total = f"S{uuid.uuid4().hex[:12]}", 20_000
    rows = pl.select(value=pl.int_range(total).cast(pl.String))
    query = ps.scan_batches([rows, pl.DataFrame({"value": ["x" * 1_000_000]})])
    ps.run(query.sink_nats(f"127.0.0.1:{server.port}", f"{stream}.a", stream=stream, format="raw"))
    found = ps.scan(url(server, stream), stop="at end").collect()["value"].cast(pl.String)
    assert found[:-1].cast(pl.Int64).to_list() == list(range(total))
    assert len(found[-1]) == 1_000_000
    large = ps.scan_batches([pl.DataFrame({"value": ["x" * 5_000_000]})])
    with pytest.raises(ps.QueryFailed, match="larger than the"):
        ps.run(large.sink_nats(f"127.0.0.1:{server.port}", f"{stream}.a", format="raw"))


def test_a_subject_that_no_stream_takes(server: Nats) -> None:
    rows = ps.scan_batches([pl.DataFrame({"n": [1]})])
    with pytest.raises(ps.QueryFailed, match="no stream takes this subject"):
        ps.run(rows.sink_nats(f"127.0.0.1:{server.port}", "nobody.listens"))


def test_nothing_is_lost_and_nothing_doubled_when_all_are_killed(tmp_path: Path) -> None:
    """NATS to NATS: our process is killed, and the server; all within the duplicate window."""
    total, written = 2000, 0
    with running(Nats) as server:
        stream = new_stream(server)
        source, sink = (
            {"url": url(server, stream)},
            {"url": url(server, "OUT.all"), "stream": "OUT"},
        )
        for what in ("process", "server", "process"):
            child = copying(tmp_path, source, sink)
            some = range(written, written + total // 4)
            publish(server, stream, *(b'{"id": %d, "key": "k"}' % n for n in some))
            written += len(some)
            until(lambda: _log(tmp_path) is not None)
            until(lambda: (tmp_path / "kept").exists(), _log(tmp_path))
            if what == "server":
                server.kill()
                server.start()
            child.kill()
            child.wait()
        child = copying(tmp_path, {**source, "stop": "at end"}, sink)
        assert child.wait(60) == 0, _log(tmp_path)
        found = ps.scan(url(server, "OUT"), format="json", schema=SCHEMA, stop="at end").collect()
    assert found["id"].to_list() == list(range(written))


def _log(folder: Path) -> str:
    return (folder / "log").read_text()[-3000:]


# -- the same in other words, security, mistakes


def test_urls_functions_and_sql_describe_the_same(server: Nats) -> None:
    stream = new_stream(server, b'{"n": 4}', b'{"n": 5}')
    by_url = registry.source(url(server, stream), format="json", schema={"n": int})
    assert (
        by_url.name
        in ps.scan_nats(f"127.0.0.1:{server.port}", stream, "json", {"n": int}).explain()
    )
    with ps.Session() as session:
        session.sql(
            f"CREATE SOURCE numbers (n BIGINT) WITH (connector = 'nats', host = "
            f"'127.0.0.1:{server.port}', stream = '{stream}', format = 'json', stop = 'at end')"
        )
        until(lambda: session.sql("SELECT sum(n) AS s FROM numbers")["s"].item() == 9)


def test_a_password_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", PASSWORD)
    with running(SecuredNats) as server:
        place, ann = f"127.0.0.1:{server.port}", "ann:${env:ANN}@"
        secure: dict[str, Any] = {"tls": True, "ca": str(server.ca)}
        rows = ps.scan_batches([pl.DataFrame({"n": [1]})])
        ps.run(rows.sink(f"nats://{ann}{place}/S.a", stream="S", **secure))
        source = opened(f"nats://{ann}{place}/S", **secure)
        assert rows_of(polled(source, 1))["value"].to_list() == [b'{"n":1}']
        source.close()
        for options, told in (
            ({**secure, "user": "ann", "password": "wrong word"}, "check user, password"),
            ({"tls": True, "user": "ann", "password": "x"}, "no encrypted connection"),
            ({}, "give tls=True"),
        ):
            wrong = opened(f"nats://{place}/S", **options)
            with pytest.raises(ConnectorError, match=told) as caught:
                wrong.poll(1, 10)
            assert "wrong word" not in str(caught.value)
            wrong.close()


def test_a_server_and_a_stream_that_are_not_there(server: Nats) -> None:
    with running(Nats) as gone:
        port = gone.port
    source = opened(f"nats://127.0.0.1:{port}/S", timeout="300ms")
    with pytest.raises(ConnectorError, match="Connection refused"):
        poll_forever(source)
    source.close()
    source = opened(url(server, "NOWHERE"))
    with pytest.raises(ConnectorError, match="there is no stream 'NOWHERE'"):
        poll_forever(source)
    source.close()


@pytest.mark.parametrize(
    ("where", "options", "told"),
    [
        ("nats://h", {}, "names a server"),
        ("nats://h/a.b", {}, "no name of a stream"),
        ("nats://h/S", {"subject": "a b"}, "is no subject"),
        ("nats://h/S", {"start": "never"}, "start cannot be"),
        ("nats://h/S", {"start": datetime(2026, 1, 1)}, "needs a time zone"),
        ("nats://h/S", {"metadata": "offset"}, "messages have no 'offset'"),
    ],
)
def test_wrong_options_are_told(where: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.source(where, **options)


def test_a_subject_to_write_has_no_wildcards() -> None:
    with pytest.raises(ConfigError, match="is no subject to write to"):
        registry.sink("nats://h/a.*")
