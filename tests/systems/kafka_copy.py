"""A pipeline that is killed: counts by key into one topic, the rows into another."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import penstock as ps

SCHEMA = {"id": pl.Int64, "key": pl.String}


def queries(servers: str, stem: str, stop: str) -> list[ps.Query]:
    """Return the two ends of the pipeline."""
    rows = ps.scan_kafka(servers, f"{stem}-in", "json", SCHEMA, stop=stop)
    counts = rows.group_by("key").agg(n=pl.len(), total=pl.col("id").sum())
    return [
        counts.sink_kafka(servers, f"{stem}-counts", key="key"),
        rows.sink_kafka(servers, f"{stem}-rows", key="key"),
    ]


def main() -> None:
    """Run until killed, or to the end of what is there."""
    servers, stem, folder, stop = sys.argv[1:]
    ps.run(
        *queries(servers, stem, stop),
        checkpoint=Path(folder),
        checkpoint_interval="100ms",
        restart=ps.Restart(initial_backoff="50ms", max_backoff="500ms"),
    )


if __name__ == "__main__":
    main()
