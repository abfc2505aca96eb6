"""The pipeline that ``test_kills`` kills: ``python crash_pipeline.py FOLDER PORT``.

Prints ``running`` when it runs; stops by itself when its standard input ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

import penstock as ps


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    rows = ps.scan_http_server(
        port, "json", {"sender": str, "number": int}, token="${env:SENDERS}", bad_rows="dead letter"
    )
    query = rows.sink_topic(folder / "out", partitions=1)
    running = query.start(checkpoint=folder / "checkpoint", checkpoint_interval="20ms")
    while running.progress().state == "created" and not running.wait(0.01):
        pass
    print("running", flush=True)
    sys.stdin.read()
    running.stop()


if __name__ == "__main__":
    main()
