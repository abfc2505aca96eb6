"""Redis as source and sink, against a real server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.connectors import registry
from penstock.connectors.contract import Keeper, SinkSpec, Source, SourceSpec, kept_by
from penstock.errors import ConfigError, ConnectorError
from penstock.testing import check_sink, check_source
from tests.servers.local import running
from tests.servers.proxy import proxied
from tests.servers.redis import PASSWORD, Redis
from tests.systems.copying import SCHEMA, copying
from tests.systems.json_values import decoded, in_json, schema_of
from tests.systems.waiting import caught_up, ids_in, poll_forever, polled, rows_of, until


@pytest.fixture(scope="session")
def server() -> Iterator[Redis]:
    with running(Redis) as found:
        yield found


def new_stream() -> str:
    return f"s-{uuid.uuid4().hex[:12]}"


def url(server: Redis, name: str) -> str:
    return f"redis://127.0.0.1:{server.port}/{name}"


def append(server: Redis, stream: str, *values: bytes, **fields: bytes) -> list[str]:
    with server.client() as client:
        return [client.xadd(stream, {"value": v, **fields}).decode() for v in values]  # type: ignore[union-attr, dict-item]


def opened(
    where: str, position: object = None, keeper: Keeper = Keeper.TOPIC, **options: Any
) -> Source:
    source = kept_by(registry.source(where, **options), keeper).open()
    source.seek(json.loads(json.dumps(position)))
    return source


def values_of(source: Source, count: int) -> list[int]:
    return [int(value) for value in rows_of(polled(source, count))["value"]]


# -- the contract


def test_a_source_keeps_the_contract(server: Redis) -> None:
    stream = new_stream()
    lines = [b'{"n": %d, "t": "r%d"}' % (n, n) for n in range(20)]
    lines[7], lines[13] = b"{oops", b'{"n": "x"}'
    append(server, stream, *lines)

    def make(stop: str) -> SourceSpec:
        return registry.source(
            url(server, stream), format="json", schema={"n": pl.Int64, "t": pl.String}, stop=stop
        )

    check_source(lambda: make("at end"))
    check_source(lambda: make("never"), rows=20)


def test_a_member_of_a_group_keeps_the_contract(server: Redis) -> None:
    stream = new_stream()
    append(server, stream, *(b'{"n": %d}' % n for n in range(20)))
    groups = iter(range(100))

    class Fresh:
        """A source of a group that is new with each opening, which reads all."""

        def __call__(self) -> SourceSpec:
            return registry.source(
                url(server, stream), format="json", schema={"n": pl.Int64}, group="g"
            )

    def forget(_: Source) -> Any:
        with server.client() as client:
            client.xgroup_destroy(stream, "g")
        next(groups)
        return _Nothing()

    check_source(Fresh(), rows=20, feed=forget)


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_a_sink_of_a_stream_keeps_the_contract(server: Redis) -> None:
    def read(target: str) -> pl.DataFrame:
        stream = ps.scan(
            url(server, target), format="json", schema=schema_of(target), stop="at end"
        )
        return stream.collect()

    check_sink(lambda target: registry.sink(url(server, target)), read, stored=in_json)


def test_a_sink_of_any_changes_keeps_the_contract(server: Redis) -> None:
    def read(target: str) -> pl.DataFrame:
        row = pl.Struct(schema_of(target))
        schema = {"before": row, "after": row, "op": pl.String}
        found = ps.scan(url(server, target), format="json", schema=schema, stop="at end").collect()
        weight = pl.when(pl.col("op") == "c").then(1).otherwise(-1).alias("_weight")
        return found.select(pl.coalesce("after", "before").alias("row"), weight).unnest("row")

    check_sink(
        lambda target: registry.sink(url(server, target), format="debezium"), read, stored=in_json
    )


def test_a_sink_of_hashes_keeps_the_contract(server: Redis) -> None:
    def make(target: str) -> SinkSpec:
        return registry.sink(url(server, target), key="k")

    def read(target: str) -> list[dict[str, Any]]:
        with server.client() as client:
            found: Any = [client.hgetall(name) for name in client.keys(f"{target}:*")]
        kinds = schema_of(target)
        rows = decoded([_as_json(row, kinds).encode() for row in found], kinds).rows(named=True)
        others = (
            {n.decode(): v for n, v in row.items() if n.decode() not in kinds} for row in found
        )
        return [row | other for row, other in zip(rows, others, strict=True)]

    check_sink(make, read, stored=in_json)


def _as_json(row: dict[bytes, bytes], kinds: dict[str, Any]) -> str:
    """Put a hash together as the object whose texts its fields are."""
    parts = []
    for name, kind in pl.Schema(kinds).items():
        value = row.get(name.encode())
        if value is not None:
            numeric = kind.is_numeric() and not kind.is_decimal()
            plain = numeric or kind.is_nested() or kind == pl.Boolean
            text = value.decode() if plain else json.dumps(value.decode())
            parts.append(f"{json.dumps(name)}: {text}")
    return "{" + ", ".join(parts) + "}"


# -- reading


def test_entries_have_all_their_columns(server: Redis) -> None:
    stream = new_stream()
    with server.client() as client:
        client.xadd(stream, {"a": b"1", "value": b"v", "b": b"2"}, id="1700000000123-4")
        client.xadd(stream, {"other": b"x"}, id="1700000000123-5")
    columns = ["id", "timestamp", "topic", "headers"]
    found = ps.scan_redis(
        f"127.0.0.1:{server.port}", stream, metadata=columns, stop="at end"
    ).collect()
    at = datetime.fromtimestamp(1700000000.123, UTC)
    assert found.rows() == [
        (b"v", "1700000000123-4", at, stream, [{"name": "a", "value": b"1"}, {"name": "b", "value": b"2"}]),
        (None, "1700000000123-5", at, stream, [{"name": "other", "value": b"x"}]),
    ]  # fmt: skip
    letters = ps.scan_redis(
        f"127.0.0.1:{server.port}", stream, "json", {"a": str}, value_field="a", stop="at end"
    ).dead_letters.collect()
    assert letters["position"].to_list() == [f"redis {stream} 1700000000123-{n}" for n in (4, 5)]
    assert letters["reason"].to_list()[1] == "the record has no value"


def test_reading_begins_where_it_is_told_to(server: Redis) -> None:
    stream = new_stream()
    with server.client() as client:
        for n in range(1, 7):
            client.xadd(stream, {"value": b"%d" % n}, id=f"{n * 1000}-0")

    def values(start: Any) -> list[int]:
        found = ps.scan_redis(f"127.0.0.1:{server.port}", stream, start=start, stop="at end")
        return [int(value) for value in found.collect()["value"]]

    assert values("earliest") == [1, 2, 3, 4, 5, 6]
    assert values("latest") == []
    assert values("3000-0") == [4, 5, 6]
    assert values(datetime.fromtimestamp(5, UTC)) == [5, 6]
    assert values(datetime.fromtimestamp(99, UTC)) == []


def test_a_stream_that_was_made_anew_is_refused(server: Redis) -> None:
    stream = new_stream()
    with server.client() as client:
        client.xadd(stream, {"value": b"1"}, id="9000-0")
        source = opened(url(server, stream))
        position = polled(source, 1)[-1].position
        source.close()
        client.delete(stream)
        client.xadd(stream, {"value": b"1"}, id="1000-0")
    again = opened(url(server, stream), position)
    with pytest.raises(ConnectorError, match="ends before 9000-0"):
        again.poll(1, 5)
    again.close()


def test_a_group_gives_again_what_was_not_acknowledged(server: Redis) -> None:
    stream = new_stream()
    append(server, stream, *(b"%d" % n for n in range(7)))
    source = opened(url(server, stream), group="g")
    first = source.poll(3, 1)
    source.acknowledge(first.position)
    assert [int(v) for v in source.poll(2, 1).frame["value"]] == [3, 4]
    source.close()
    again = opened(url(server, stream), first.position, group="g")
    assert values_of(again, 4) == [3, 4, 5, 6]
    caught_up(again)
    again.close()
    with server.client() as client:
        told: Any = client.xpending(stream, "g")
        assert told["pending"] == 0


def test_a_group_divides_entries(server: Redis) -> None:
    stream = new_stream()
    one, two = (opened(url(server, stream), group="g", consumer=name) for name in "ab")
    caught_up(one)
    append(server, stream, *(b"%d" % n for n in range(10)))
    assert [int(v) for v in one.poll(4, 5).frame["value"]] == [0, 1, 2, 3]
    assert values_of(two, 6) == [4, 5, 6, 7, 8, 9]
    one.close()
    two.close()


@pytest.mark.parametrize("options", [{}, {"group": "g"}])
def test_a_connection_that_is_cut_again_and_again(server: Redis, options: dict[str, Any]) -> None:
    stream, total = new_stream(), 2000
    append(server, stream, *(b"%d" % n for n in range(total)))
    with proxied(server.port) as proxy:
        source = opened(f"redis://127.0.0.1:{proxy.port}/{stream}", **options)
        found: list[int] = []

        def all_came() -> bool:
            if len(found) // 300 >= proxy.connections:
                proxy.cut()
            poll = source.poll(100, 0.02)
            source.acknowledge(poll.position)
            found.extend(map(int, poll.frame["value"]))
            return len(found) >= total

        until(all_came)
        source.close()
        assert proxy.connections >= 5
    assert found == list(range(total))


# -- writing


def test_hashes_of_keys(server: Redis) -> None:
    stem = new_stream()
    frames = [
        pl.DataFrame({"k": ["a", "b", "c"], "n": [1, 5, 7]}), pl.DataFrame({"k": ["a", "b"], "n": [2, 1]}),
    ]  # fmt: skip
    counts = ps.scan_batches(frames).group_by("k").agg(pl.col("n").sum(), t=pl.lit("x"))
    query = counts.filter(pl.col("n") != 6).sink_redis(
        f"127.0.0.1:{server.port}", f"{stem}-{{k}}", key="k"
    )
    assert "exactly once" in query.explain()
    ps.run(query)
    with server.client() as client:
        found: Any = {name: client.hgetall(name) for name in client.keys(f"{stem}-*")}
    assert found == {
        f"{stem}-a".encode(): {b"k": b"a", b"n": b"3", b"t": b"x"},
        f"{stem}-c".encode(): {b"k": b"c", b"n": b"7", b"t": b"x"},
    }


def test_a_stream_is_kept_short(server: Redis) -> None:
    stream = new_stream()
    rows = pl.select(n=pl.int_range(5000))
    ps.run(ps.scan_batches([rows]).sink_redis(f"127.0.0.1:{server.port}", stream, max_entries=100))
    with server.client() as client:
        assert 100 <= int(client.xlen(stream)) < 400  # type: ignore[arg-type]


def test_nothing_is_lost_and_nothing_doubled_when_all_are_killed(tmp_path: Path) -> None:
    """Redis to Redis: our process is killed, and the server."""
    total = 6000
    with running(Redis) as server:
        source = {"url": url(server, "in")}
        sink = {"url": url(server, "out")}
        written = 0
        for part in ("process", "server", "process", "server"):
            child = copying(tmp_path, source, sink)
            with server.client() as client:
                pipe = client.pipeline(transaction=False)
                for n in range(written, written + total // 4):
                    pipe.xadd("in", {"value": b'{"id": %d, "key": "k"}' % n})
                pipe.execute()
                written += total // 4
                passed = written - total // 8
                until(lambda passed=passed: int(client.xlen("out")) > passed - total // 4)  # type: ignore[arg-type, misc]
            if part == "server":
                server.kill()
                server.start()
                with server.client() as client:
                    ends = written
                    until(lambda ends=ends: int(client.xlen("out")) >= ends, _log(tmp_path))  # type: ignore[arg-type, misc]
            child.kill()
            child.wait()
        child = copying(tmp_path, {**source, "stop": "at end"}, sink)
        assert child.wait(60) == 0, _log(tmp_path)
        found = ps.scan(url(server, "out"), format="json", schema=SCHEMA, stop="at end").collect()
    assert found["id"].to_list() == list(range(total))


def test_a_group_loses_nothing_when_the_process_is_killed(server: Redis, tmp_path: Path) -> None:
    stream, total, database = new_stream(), 1500, tmp_path / "rows.db"
    append(server, stream, *(b'{"id": %d, "key": "k"}' % n for n in range(total)))
    sink = {"url": f"sqlite:{database}", "table": "rows"}
    for least in (1, total):
        child = copying(tmp_path, {"url": url(server, stream), "group": "g"}, sink)
        until(lambda least=least: len(ids_in(database)) >= least, _log(tmp_path))  # type: ignore[misc]
        child.kill()
        child.wait()
    assert set(ids_in(database)) == set(range(total))


def _log(folder: Path) -> str:
    return (folder / "log").read_text()[-3000:]


def test_a_server_that_is_restarted_and_one_that_hangs() -> None:
    with running(Redis) as server:
        source = opened(url(server, "s"), timeout="1s")
        append(server, "s", b"1")
        assert values_of(source, 1) == [1]
        server.kill()
        until(lambda: not source.poll(10, 0.05).caught_up)
        server.start()
        append(server, "s", b"2")
        assert values_of(source, 1) == [2]
        server.pause()
        until(lambda: not source.poll(10, 0.1).caught_up)
        server.go_on()
        append(server, "s", b"3")
        assert values_of(source, 1) == [3]
        source.close()


# -- the same in other words, security, mistakes


def test_urls_functions_and_sql_describe_the_same(server: Redis) -> None:
    stream = new_stream()
    append(server, stream, b'{"n": 4}', b'{"n": 5}')
    by_url = registry.source(url(server, stream), format="json", schema={"n": int})
    assert (
        by_url.name
        in ps.scan_redis(f"127.0.0.1:{server.port}", stream, "json", {"n": int}).explain()
    )
    with ps.Session() as session:
        session.sql(
            f"CREATE SOURCE numbers (n BIGINT) WITH (connector = 'redis', host = "
            f"'127.0.0.1:{server.port}', stream = '{stream}', format = 'json', stop = 'at end')"
        )
        until(lambda: session.sql("SELECT sum(n) AS s FROM numbers")["s"].item() == 9)


def test_a_password_and_tls(server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANN", PASSWORD)
    stream = new_stream()
    place = f"127.0.0.1:{server.tls_port}/{stream}"
    secure = {"tls": True, "ca": str(server.ca)}
    ps.run(
        ps.scan_batches([pl.DataFrame({"n": [1]})]).sink(
            f"redis://ann:${{env:ANN}}@{place}", **secure
        )
    )
    source = opened(f"redis://ann:${{env:ANN}}@{place}", **secure)
    assert rows_of(polled(source, 1))["value"].to_list() == [b'{"n":1}']
    source.close()
    for options, told in (
        ({**secure, "user": "ann", "password": "wrong word"}, "check user, password"),
        ({"tls": True}, "no encrypted connection"),
    ):
        wrong = opened(f"redis://{place}", **options)
        with pytest.raises(ConnectorError, match=told) as caught:
            wrong.poll(1, 10)
        assert "wrong word" not in str(caught.value)
        wrong.close()


def test_a_server_that_is_not_there() -> None:
    with running(Redis) as server:
        port = server.port
    source = opened(f"redis://127.0.0.1:{port}/s", timeout="300ms")
    with pytest.raises(ConnectorError, match="Connection refused"):
        poll_forever(source)
    source.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"start": "yesterday"}, "start cannot be 'yesterday'"),
        ({"start": datetime(2026, 1, 1)}, "needs a time zone"),
        ({"metadata": "offset"}, "messages have no 'offset'"),
        ({"group": "g", "stop": "at end"}, "has no end"),
        ({"colour": 1}, "is for a format"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.source("redis://h/s", **options)


def test_a_name_must_tell_keys_apart() -> None:
    with pytest.raises(ConfigError, match="has to tell the keys a, b apart"):
        registry.sink("redis://h/x:{a}", key=["a", "b"])
