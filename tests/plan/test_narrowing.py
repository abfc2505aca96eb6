"""Columns of a file that a query does not name are not read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.plan.narrowing import narrowed
from penstock.plan.node import walk
from penstock.plan.sources import Scan

T = pl.DataFrame(
    {"a": [1, 2], "b": ["x", "y"], "c": [1.5, 2.5], "ts": [datetime(2024, 1, d) for d in (1, 2)]}
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    T.write_parquet(path)
    return path


def read(stream: ps.Stream) -> list[str]:
    (scan,) = (node for node in walk(stream.node) if isinstance(node, Scan))
    return list(scan.schema)


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT A FROM t", ["a", "ts"]),
        ("SELECT count(*) FROM t", ["ts"]),
        ("SELECT b FROM t WHERE c > 2", ["b", "c", "ts"]),
        ("SELECT x.b FROM t x JOIN t y USING (a)", ["a", "b", "ts"]),
        ("SELECT * FROM t", ["a", "b", "c", "ts"]),
        ("SELECT t.* FROM t", ["a", "b", "c", "ts"]),
        ("SELECT t.a FROM t NATURAL JOIN t u", ["a", "b", "c", "ts"]),
        ("SELECT a FROM TUMBLE(t, ts, INTERVAL '1' DAY)", ["a", "ts"]),
    ],
)
def test_a_query_reads_what_it_names(file: Path, query: str, columns: list[str]) -> None:
    stream = ps.sql(query, t=ps.scan_parquet(file).with_watermark("ts"))
    assert read(stream) == columns
    whole = ps.sql(query, t=T).collect()
    assert stream.collect().sort(pl.all()).equals(whole.sort(pl.all()))


def test_what_stands_between_keeps_its_columns(file: Path) -> None:
    stream = ps.scan_parquet(file).filter(pl.col("c") > 2).with_watermark("ts")
    assert read(ps.sql("SELECT a FROM t", t=stream)) == ["a", "c", "ts"]
    changed = ps.scan_parquet(file).with_columns(d=pl.col("a") + pl.col("c"))
    assert read(ps.sql("SELECT d FROM t", t=changed)) == ["a", "b", "c", "ts"]


def test_other_sources_stay_as_they_are(tmp_path: Path) -> None:
    T.write_csv(path := tmp_path / "t.csv")
    for stream in (ps.scan_csv(path), ps.scan_batches([T])):
        (node,) = narrowed([(stream.node, ["a"])])
        assert node.schema == stream.schema


def test_two_tables_of_one_scan_still_read_it_once(file: Path) -> None:
    both = ps.scan_parquet(file)
    query = "SELECT t.a, u.b FROM t JOIN u ON t.a = u.a"
    assert read(ps.sql(query, t=both, u=both.filter(pl.col("c") > 2))) == ["a", "b", "c"]
    assert read(ps.sql("SELECT t.a FROM t", t=both, u=both)) == ["a"]


EVENTS = {
    "kind": pl.Int64,
    "bid": pl.Struct({"price": pl.Int64, "url": pl.String, "at": pl.Datetime}),
    "person": pl.Struct({"id": pl.Int64, "name": pl.String}),
    "note": pl.String,
}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("SELECT price FROM bids", {"kind": None, "bid": ["price", "at"]}),
        ("SELECT count(*) FROM persons", {"kind": None, "person": ["id"]}),
        ("SELECT b.url, name FROM bids b JOIN persons p ON p.id = b.price",
         {"kind": None, "bid": ["price", "url", "at"], "person": ["id", "name"]}),
        ("SELECT * FROM persons", {"kind": None, "bid": ["price", "url", "at"],
         "person": ["id", "name"], "note": None}),
    ],
)  # fmt: skip
def test_of_tagged_json_only_the_fields_named_are_read(
    tmp_path: Path, query: str, fields: dict[str, list[str] | None]
) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(
        '{"kind":0,"person":{"id":7,"name":"Ann"}}\n'
        '{"kind":1,"bid":{"price":7,"url":"x","at":"2024-01-01T00:00:00"}}\n'
        '{"kind":1,"bid":{"price":8,"url":5.0,"at":"never"},"note":"bad"}\n'
    )
    events = ps.scan_ndjson(path, EVENTS)
    bids = events.filter(kind=1).select("bid").unnest("bid").with_watermark("at")
    persons = events.filter(kind=0).select("person", "kind").unnest("person")
    stream = ps.sql(query, bids=bids, persons=persons)
    (scan,) = {id(node): node for node in walk(stream.node) if isinstance(node, Scan)}.values()
    found = {n: [f.name for f in t.fields] if isinstance(t, pl.Struct) else None
             for n, t in scan.schema.items()}  # fmt: skip
    assert found == fields
    frames = {"bids": pl.DataFrame({"price": [7], "url": ["x"], "at": [datetime(2024, 1, 1)]}),
              "persons": pl.DataFrame({"id": [7], "name": ["Ann"], "kind": [0]})}  # fmt: skip
    assert stream.collect().equals(ps.sql(query, **frames).collect())
    assert stream.dead_letters.collect()["bytes"].to_list() == [path.read_bytes().splitlines()[2]]
