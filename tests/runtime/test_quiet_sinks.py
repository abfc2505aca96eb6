"""Sinks of streams that bring nothing: the table is there, and files are filed all the same."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock.topics import Topic

FRAME = pl.DataFrame({"k": ["a"], "n": [1]})


def nothing() -> ps.Stream:
    return ps.scan_batches([FRAME]).filter(pl.col("n") > 1)


@pytest.mark.parametrize("kept", [False, True])
def test_tables_and_topics_are_there_without_rows(
    tmp_path: Path, postgres_schema: str, *, kept: bool
) -> None:
    counts = nothing().group_by("k").agg(pl.len().alias("m"))
    lite, duck = tmp_path / "out.db", tmp_path / "out.duckdb"
    ps.run(
        nothing().sink_sqlite(lite, "rows"),
        counts.sink_duckdb(duck, "counts", key="k"),
        counts.sink_postgres(postgres_schema, "counts", key="k"),
        counts.sink_topic(tmp_path / "topic"),
        checkpoint=tmp_path / "checkpoint" if kept else None,
    )
    with closing(sqlite3.connect(lite)) as connection:
        names = connection.execute("SELECT name FROM pragma_table_info('rows')").fetchall()
    assert names == [("k",), ("n",)]
    with duckdb.connect(str(duck)) as other:
        assert other.execute("SELECT k, m FROM counts").fetchall() == []
    with psycopg.connect(postgres_schema) as server:
        assert server.execute(b"SELECT k, m FROM counts").fetchall() == []
    with Topic.open(tmp_path / "topic") as topic:
        assert topic.schema is not None
        assert topic.schema.names()[:2] == ["k", "m"]
        assert len(topic.schema) == 3


def test_a_function_called_every_epoch_knows_the_columns_at_once() -> None:
    seen: list[list[str]] = []
    slow = nothing().group_by("k").agg(pl.len().alias("m"))
    spec = slow.sink_callback(lambda frame: seen.append(frame.columns), every_epoch=True)
    sink = spec.roots[0].spec.open()
    sink.begin(None, pl.Schema({"k": pl.String(), "_weight": pl.Int64()}))
    sink.apply(1, [])
    assert seen == [["k", "_weight"]]


@pytest.mark.parametrize("kept", [False, True])
def test_a_file_is_filed_though_nothing_more_arrives(tmp_path: Path, *, kept: bool) -> None:
    done = threading.Event()

    def frames() -> Iterator[pl.DataFrame]:
        yield FRAME
        done.wait(30)

    query = ps.scan_batches(frames(), FRAME.schema).sink_files(
        tmp_path / "out", "csv", roll_after="10ms"
    )
    query.start(checkpoint=tmp_path / "checkpoint" if kept else None, checkpoint_interval="50ms")
    deadline = time.monotonic() + 25
    while not (found := list((tmp_path / "out").glob("part-*"))):
        assert time.monotonic() < deadline
        assert not query.wait(0.01)
    done.set()
    query.stop()
    assert pl.read_csv(found[0]).equals(FRAME)
    assert list((tmp_path / "out").glob("part-*")) == found
