"""Every ``scan_*`` and ``sink_*`` function, end to end."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock.topics import Topic
from tests.connectors.senders import free_port, tcp_sender, tcp_server, udp_sender

FRAME = pl.DataFrame({"k": ["a", "b", "a"], "n": [1, 2, 3]})
SCHEMA = {"k": str, "n": int}
NDJSON = b'{"k":"a","n":1}\n{"k":"b","n":2}\n{"k":"a","n":3}\n'
COUNTS = {"a": 2, "b": 1}


def rows() -> ps.Stream:
    return ps.scan_batches([FRAME[:2], FRAME[2:]])


def counts() -> ps.Stream:
    return rows().group_by("k").agg(pl.len().cast(pl.Int64).alias("n"))


def test_finished_files(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "in.csv")
    FRAME.write_parquet(tmp_path / "in.parquet")
    FRAME.write_ipc(tmp_path / "in.arrow")
    (tmp_path / "in.ndjson").write_bytes(NDJSON)
    assert ps.scan_csv(tmp_path / "in.csv").collect().equals(FRAME)
    assert ps.scan_csv(tmp_path / "in.csv", SCHEMA, epoch_rows=1).collect().equals(FRAME)
    assert ps.scan_parquet(tmp_path / "in.parquet").collect().equals(FRAME)
    assert ps.scan_parquet(tmp_path / "in.parquet", columns=["n"]).collect().columns == ["n"]
    assert ps.scan_ipc(tmp_path / "in.arrow").collect().equals(FRAME)
    assert ps.scan_ndjson(tmp_path / "in.ndjson", SCHEMA).collect().equals(FRAME)
    text = ps.scan_text(tmp_path / "in.ndjson").collect()
    assert text["text"].to_list() == NDJSON.decode().splitlines()


def test_followed_files(tmp_path: Path) -> None:
    (tmp_path / "in.log").write_bytes(NDJSON)
    tail = ps.scan_tail(tmp_path / "in.log", "json", SCHEMA, start="beginning", interval="5ms")
    assert tail.preview(3, timeout=30).equals(FRAME)
    folder = ps.scan_folder(tmp_path / "*.log", "json", SCHEMA, settle="1ms", epoch_rows=3)
    assert folder.preview(3, timeout=30).equals(FRAME)


def test_sockets() -> None:
    port = free_port()
    with tcp_sender(port, NDJSON):
        listening = ps.scan_tcp(port, "json", SCHEMA, max_connections=2)
        assert listening.preview(3, timeout=30).equals(FRAME)
    with tcp_server(FRAME.write_csv(include_header=False).encode()) as port:
        client = ps.scan_tcp_client(f":{port}", "csv", SCHEMA, on_close="end", backoff="10ms")
        assert client.collect().equals(FRAME)
    port = free_port(socket.SOCK_DGRAM)
    with udp_sender(port, NDJSON):
        found = ps.scan_udp(f"127.0.0.1:{port}", "json", SCHEMA, holds="lines")
        assert found.preview(3, timeout=30).equals(FRAME)


def test_generators() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    made = ps.scan_rate(total=3, start=start, interval="1h", epoch_rows=2).collect()
    assert made["timestamp"].to_list() == [start + timedelta(hours=hours) for hours in range(3)]
    assert ps.scan_ticks(timedelta(milliseconds=5)).preview(1, timeout=30).height == 1


def test_frames_from_python() -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield from (FRAME[:1], FRAME[1:])

    async def later() -> AsyncIterator[pl.DataFrame]:
        for frame in frames():
            await asyncio.sleep(0)
            yield frame

    for batches in (FRAME, [FRAME[:1], FRAME[1:]], frames(), later()):
        assert ps.scan_batches(batches).collect().equals(FRAME)


def test_topics(tmp_path: Path) -> None:
    path = tmp_path / "topic"
    ps.run(rows().sink_topic(path, partition_by="k", partitions=2, retention="1d", durability="os"))
    found = ps.scan_topic(path, stop="at end", metadata="partition").collect()
    assert found.drop("partition").sort("n").equals(FRAME.sort("n"))
    assert found.group_by("k").agg(pl.col("partition").n_unique())["partition"].to_list() == [1, 1]
    first = ps.scan_topic(path, start={0: 0, 1: 0}, stop="at end", partitions=[0, 1]).collect()
    assert first.height == FRAME.height
    assert ps.scan_topic(path, start="latest", stop="at end").collect().height == 0


@pytest.mark.parametrize("options", [{}, {"partition_by": "k", "partitions": 3}])
@pytest.mark.parametrize("epoch_rows", [1, None])
def test_a_changelog_through_a_topic(
    tmp_path: Path, options: dict[str, Any], epoch_rows: int | None
) -> None:
    frames = [pl.DataFrame({"k": [f"k{n % 5}"], "n": [n]}) for n in range(30)]
    totals = ps.scan_batches(frames).group_by("k").agg(pl.col("n").sum(), m=pl.col("n").max())
    ps.run(totals.sink_topic(tmp_path / "topic", **options))
    again = ps.scan_topic(tmp_path / "topic", stop="at end", epoch_rows=epoch_rows)
    assert again.is_changelog
    assert again.columns == ["k", "n", "m"]
    assert again.collect().sort("k").equals(totals.collect().sort("k"))
    assert again.select(pl.col("n").sum(), pl.col("m").max()).collect().row(0) == (
        sum(range(30)),
        29,
    )
    ps.run(again.group_by("k").agg(pl.col("n").sum()).sink_sqlite(tmp_path / "db", "t", key="k"))
    with closing(sqlite3.connect(tmp_path / "db")) as lite:
        held = dict(lite.execute("SELECT k, n FROM t").fetchall())
    assert held == dict(totals.select("k", "n").collect().iter_rows())


def test_changes_as_rows_of_a_topic(tmp_path: Path) -> None:
    ps.run(counts().sink_topic(tmp_path / "topic", weight_column="change"))
    found = ps.scan_topic(tmp_path / "topic", stop="at end")
    assert not found.is_changelog
    assert found.collect()["change"].to_list() == [1, 1, -1, 1]


def test_a_raw_topic_with_a_format(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "raw", partitions=1) as topic:
        topic.append(pl.DataFrame({"value": NDJSON.splitlines()}))
    found = ps.scan_topic(tmp_path / "raw", "json", SCHEMA, stop="at end").collect()
    assert found.equals(FRAME)


def test_tables(tmp_path: Path, postgres_schema: str) -> None:
    lite, duck = tmp_path / "out.db", tmp_path / "out.duckdb"
    ps.run(
        counts().sink_sqlite(lite, "counts", key="k", busy_timeout="1s"),
        counts().sink_duckdb(duck, "counts", key=["k"]),
        counts().sink_postgres(postgres_schema, "counts", key="k"),
    )
    ask = "SELECT k, n FROM counts"
    with closing(sqlite3.connect(lite)) as connection:
        assert dict(connection.execute(ask).fetchall()) == COUNTS
    with duckdb.connect(str(duck)) as other:
        assert dict(other.execute(ask).fetchall()) == COUNTS
    with psycopg.connect(postgres_schema) as server:
        assert dict(server.execute(ask.encode()).fetchall()) == COUNTS


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("parquet", pl.read_parquet),
        ("csv", pl.read_csv),
        ("ndjson", pl.read_ndjson),
        ("ipc", pl.read_ipc),
    ],
)
def test_files(tmp_path: Path, form: str, read: type) -> None:
    ps.run(rows().sink_files(tmp_path / "out", form, roll_after=None, roll_bytes=None))
    written = sorted((tmp_path / "out").glob("part-*"))
    assert pl.concat([read(path) for path in written]).equals(FRAME)


def test_divided_files(tmp_path: Path) -> None:
    ps.run(rows().sink_files(tmp_path / "out", partition_by="k", compression="lz4"))
    found = pl.read_parquet(tmp_path / "out/**/*.parquet", hive_partitioning=True)
    assert found.sort("n").select("k", "n").equals(FRAME.sort("n"))


def test_the_console_and_functions(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[int, int]] = []
    ps.run(
        counts().sink_console("counts", key="k", max_rows=5),
        rows().sink_callback(lambda epoch, frame: seen.append((epoch, frame.height))),
    )
    assert capsys.readouterr().out.startswith("counts: k  n\n+ ")
    assert seen == [(1, 2), (2, 1)]
