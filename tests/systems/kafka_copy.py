"""Pipelines that are killed: counts by key and the rows themselves, into topics or tables."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import penstock as ps

SCHEMA = {"id": pl.Int64, "key": pl.String}


def queries(servers: str, stem: str, stop: str, database: str) -> list[ps.Query]:
    """Return the two ends of the pipeline: tables if a database is named."""
    rows = ps.scan_kafka(servers, f"{stem}-in", "json", SCHEMA, stop=stop)
    counts = rows.group_by("key").agg(n=pl.len(), total=pl.col("id").sum())
    if database:
        counts = counts.with_columns(pl.col("n").cast(pl.Int64))
        return [
            counts.sink_postgres(database, "counts", key="key"),
            rows.sink_postgres(database, "rows"),
        ]
    return [
        counts.sink_kafka(servers, f"{stem}-counts", key="key"),
        rows.sink_kafka(servers, f"{stem}-rows", key="key"),
    ]


def main() -> None:
    """Run until killed, or to the end of what is there."""
    servers, stem, folder, stop, database = sys.argv[1:]
    ps.run(
        *queries(servers, stem, stop, database),
        checkpoint=Path(folder),
        checkpoint_interval="100ms",
        restart=ps.Restart(initial_backoff="50ms", max_backoff="500ms"),
    )


if __name__ == "__main__":
    main()
