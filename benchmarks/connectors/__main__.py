"""Start the servers, run every case in a process of its own, and print a table.

``ROWS`` (2,000,000) and ``REPEAT`` (3; medians count) are taken from the environment.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import uuid

from confluent_kafka.admin import AdminClient, NewTopic
from tests.servers.kafka import running_kafka

from benchmarks.connectors import kafka

_TIMEOUT_S = 600
TITLES = {
    "read-bare": "read, bare client (consume)",
    "read-raw": "read, query without a format",
    "read-json": "read, query, JSON",
    "write-bare": "write, bare client (produce_batch), rows made before",
    "write-json": "write, query, JSON, exactly once",
}


def _run(system: str, case: str, *words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.connectors.run_case", system, case, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _of_kafka(rows: int, repeat: int) -> None:
    with running_kafka() as server:
        admin = AdminClient({"bootstrap.servers": server.servers})

        def topic() -> str:
            name = f"bench-{uuid.uuid4().hex[:8]}"
            admin.create_topics([NewTopic(name, 4)])[name].result(30)
            return name

        filled = topic()
        kafka.fill(server.servers, filled, rows)
        print(f"{'Kafka':55} {'messages/s':>12} {'per s of processor':>20}")
        for case, title in TITLES.items():
            runs = []
            for _ in range(repeat):
                name = filled if case.startswith("read") else topic()
                runs.append(_run("kafka", case, server.servers, name, str(rows)))
            wall = statistics.median(run["rows"] / run["seconds"] for run in runs)
            processor = statistics.median(run["rows"] / run["processor"] for run in runs)
            print(f"{title:55} {wall:12,.0f} {processor:20,.0f}", flush=True)


def main() -> None:
    _of_kafka(int(os.environ.get("ROWS", "2000000")), int(os.environ.get("REPEAT", "3")))


if __name__ == "__main__":
    main()
