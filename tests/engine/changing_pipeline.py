"""A pipeline in several versions; run as ``python changing_pipeline.py INPUT FOLDER VERSION``.

All of them count by key into one table. Prints ``running`` when it runs; stops by itself when its
standard input ends.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.query import Query
from tests.engine.crash_pipeline import SCHEMA

VERSIONS = 4
REBUILDS = 3
"""The version that counts afresh each time it starts."""


def pipeline(source: str, folder: Path, version: int) -> list[Query]:
    """Return one version: other names, other steps beside and above, another order."""
    rows = ps.scan_tail(source, "json", schema=SCHEMA, start="beginning")
    good = rows.filter(pl.col("amount") > 0)
    if version == 2:
        good = rows.with_columns(double=pl.col("amount") * 2).filter(pl.col("double") > 0)
    counts = good.group_by("key").agg(n=pl.len().cast(pl.Int64), total=pl.col("amount").sum())
    if version in (1, REBUILDS):
        counts = counts.named("counts")
    queries = [counts.sink_sqlite(folder / "counts.db", "counts", key="key")]
    if version == 1:
        queries.insert(0, good.sink_topic(folder / "topic"))
    if version == 2:
        amounts = rows.group_by("amount").agg(n=pl.len().cast(pl.Int64))
        queries.insert(0, amounts.sink_sqlite(folder / "counts.db", "amounts", key="amount"))
    return queries


def main() -> None:
    """Run until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, folder, version = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    roots = [root for query in pipeline(source, folder, version) for root in query.roots]
    known = any((folder / "checkpoint").glob("manifest-*"))
    query = Query(*roots).start(
        checkpoint=folder / "checkpoint",
        checkpoint_interval="20ms",
        allow_lost_state=True,
        rebuild=["counts"] if version == REBUILDS and known else (),
    )
    while query.progress().state in ("created", "rebuilding") and not query.wait(0.01):
        pass
    print("running", flush=True)
    sys.stdin.read()
    query.stop()


if __name__ == "__main__":
    main()
