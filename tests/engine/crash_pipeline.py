"""The pipeline of ``test_crash``; run as ``python crash_pipeline.py INPUT FOLDER [takeover]``.

Prints ``running`` when it runs; stops by itself when its standard input ends.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.query import Query

SCHEMA = {"id": pl.Int64(), "key": pl.String(), "amount": pl.Int64()}


def pipeline(source: str, folder: Path) -> list[Query]:
    """Count by key into SQLite; append the same rows to files and to a topic."""
    rows = ps.scan_tail(source, "json", schema=SCHEMA, start="beginning").filter(
        pl.col("amount") > 0
    )
    counts = rows.group_by("key").agg(n=pl.len().cast(pl.Int64), total=pl.col("amount").sum())
    files = rows.sink_files(folder / "files", "ndjson", roll_bytes=None, roll_after=None)
    return [
        counts.sink_sqlite(folder / "counts.db", "counts", key="key"),
        files,
        rows.sink_topic(folder / "topic"),
    ]


def stop_at_the_end(query: Query) -> None:
    """Stop when the standard input ends."""
    sys.stdin.read()
    query.request_stop()


def main() -> None:
    """Run until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, folder = sys.argv[1], Path(sys.argv[2])
    roots = [root for query in pipeline(source, folder) for root in query.roots]
    query = Query(*roots).start(
        checkpoint=folder / "checkpoint",
        checkpoint_interval="20ms",
        takeover="takeover" in sys.argv[3:],
    )
    while query.progress().state == "created" and not query.wait(0.01):
        pass
    print("running", flush=True)
    threading.Thread(target=stop_at_the_end, args=(query,), daemon=True).start()
    query.wait()


if __name__ == "__main__":
    main()
