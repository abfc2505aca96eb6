"""The pipeline of ``test_takeover``; run as ``python idle_pipeline.py FOLDER PORT [takeover]``.

Prints ``running`` when it listens; stops by itself when its standard input ends. It makes no checkpoint
while no row comes, and none for an hour after one.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.query import Query


def stop_at_the_end(query: Query) -> None:
    """Stop when the standard input ends."""
    sys.stdin.read()
    query.request_stop()


def main() -> None:
    """Run until told to stop."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    rows = ps.scan_tcp(port, "json", schema={"n": pl.Int64()})
    query = rows.sink_topic(folder / "topic", immediate=True).start(
        checkpoint=folder / "checkpoint",
        checkpoint_interval="1h",
        takeover="takeover" in sys.argv[3:],
    )
    while query.progress().state == "created" and not query.wait(0.01):
        pass
    print("running", flush=True)
    threading.Thread(target=stop_at_the_end, args=(query,), daemon=True).start()
    query.wait()


if __name__ == "__main__":
    main()
