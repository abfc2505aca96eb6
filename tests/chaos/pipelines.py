"""The pipelines that are killed: between them every kind of sink, and state of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

import penstock as ps
from tests.chaos.load import SCHEMA

Pipeline = Callable[[Path, str], list[ps.Query]]
"""Makes the queries of a lane from its folder and a PostgreSQL connection string."""

WINDOW = "10s"


def from_log(folder: Path, conninfo: str) -> list[ps.Query]:
    """Follow a file; count by key into SQLite, keep the rows in files and in a topic."""
    rows = _log(folder).filter(pl.col("amount") > 9)
    counts = rows.group_by("key").agg(
        n=pl.len().cast(pl.Int64), total=pl.col("amount").sum(), top=pl.col("amount").max()
    )
    kept = rows.select("id", "key", "amount")
    return [
        counts.sink_sqlite(folder / "out.db", "counts", key="key"),
        kept.sink_files(folder / "files", "ndjson", roll_rows=3000, roll_after=None),
        kept.sink_topic(folder / "out", partition_by="key"),
    ]


def windows(folder: Path, conninfo: str) -> list[ps.Query]:
    """Read a topic; windows that close, and totals that change, into PostgreSQL."""
    rows = ps.scan_topic(folder / "in").with_watermark("ts", idle_timeout="1h")
    closed = rows.group_by(ps.tumbling(WINDOW)).agg(
        n=pl.len().cast(pl.Int64), total=pl.col("amount").sum()
    )
    totals = rows.group_by("key").agg(n=pl.len().cast(pl.Int64), ids=pl.col("id").n_unique())
    return [
        closed.select("window_start", "n", "total").sink_postgres(conninfo, "windows"),
        totals.select("key", "n", pl.col("ids").cast(pl.Int64)).sink_postgres(
            conninfo, "totals", key="key"
        ),
        rows.select("id", "key").sink_postgres(conninfo, "ids"),
    ]


def joined(folder: Path, conninfo: str) -> list[ps.Query]:
    """Join a followed file with a topic; rows and their top by city into DuckDB."""
    cities = ps.scan_topic(folder / "cities")
    rows = _log(folder).select("id", "key", "amount").join(cities, on="key")
    by_city = rows.group_by("city").agg(n=pl.len().cast(pl.Int64), total=pl.col("amount").sum())
    return [
        rows.select("id", "city").sink_duckdb(folder / "out.duckdb", "ids"),
        by_city.sink_duckdb(folder / "out.duckdb", "cities", key="city"),
    ]


def running(folder: Path, conninfo: str) -> list[ps.Query]:
    """Read a topic; running sums by key into Parquet folders and SQLite, first rows into a topic."""
    rows = ps.scan_topic(folder / "in")
    sums = rows.select("id", "key", so_far=pl.col("amount").cum_sum().over("key"))
    firsts = rows.select("key", "amount").unique(keep="any")
    return [
        sums.with_columns(part=pl.col("id") % 3).sink_files(
            folder / "files", "parquet", partition_by="part", roll_rows=5000, roll_after="200ms"
        ),
        sums.sink_sqlite(folder / "out.db", "sums"),
        firsts.sink_topic(folder / "out", partition_by="key"),
    ]


def _log(folder: Path) -> ps.Stream:
    return ps.scan_tail(folder / "in.ndjson", "json", schema=SCHEMA, interval="2ms")


PIPELINES: dict[str, Pipeline] = {
    "log": from_log,
    "windows": windows,
    "joined": joined,
    "running": running,
}
