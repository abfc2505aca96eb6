"""The pipelines that ``test_kills`` kills: ``python crash_pipeline.py FOLDER PORT TCP_PORT``.

Prints ``running`` when it runs; stops by itself when its standard input ends.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import polars as pl

import penstock as ps

from .acknowledging import AcknowledgingSpec


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, port, tcp_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    safe = ps.from_source(AcknowledgingSpec(port))
    lines = ps.scan_tcp(tcp_port, "json", {"sender": pl.String, "number": pl.Int64})
    query = ps.start(
        safe.sink_topic(folder / "safe", partitions=1),
        lines.sink_topic(folder / "lines", partitions=1),
        checkpoint=folder / "checkpoint",
        checkpoint_interval="20ms",
    )
    while query.progress().state == "created" and not query.wait(0.01):
        pass
    print("running", flush=True)
    sys.stdin.read()
    query.stop()


if __name__ == "__main__":
    main()
