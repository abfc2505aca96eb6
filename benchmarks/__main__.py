"""``make bench``: every case streamed, and as one Polars query, on this machine in this run.

Prints a table and writes a JSON list to the path in ``BENCH_OUT``: objects with ``name``,
``title``, ``rows``, ``events_per_s``, ``batch_ratio`` (one-shot time / streaming time), ``rss_mb``
(peak of the streaming process, its input included) and the spread of ``events_per_s``.
``ONLY=a,b`` chooses cases, ``REPEAT=5`` how often each is run (in turn; medians count), ``SCALE=0.1``
shrinks the inputs.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from benchmarks.cases import CASES, EPOCH_ROWS

_JSON_ROWS = 2_000_000
_TIMEOUT_S = 600


def _run(name: str, mode: str, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.run_case", name, mode, str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _case(name: str, title: str, rows: int, repeat: int) -> dict[str, object]:
    streamed, batch = [], []
    for _ in range(repeat):
        streamed.append(_run(name, "stream", rows))
        batch.append(_run(name, "batch", rows))
    rates = sorted(rows / run["seconds"] for run in streamed)
    once = statistics.median(run["seconds"] for run in batch)
    middle = statistics.median(rates)
    return {
        "name": name,
        "title": title,
        "rows": rows,
        "events_per_s": round(middle),
        "lowest": round(rates[0]),
        "highest": round(rates[-1]),
        "batch_ratio": round(once * middle / rows, 3),
        "rss_mb": round(statistics.median(run["rss_mb"] for run in streamed), 1),
    }


def main() -> None:
    """Run the chosen cases."""
    chosen = os.environ.get("ONLY", ",".join([*CASES, "h"])).split(",")
    repeat = int(os.environ.get("REPEAT", "3"))
    scale = float(os.environ.get("SCALE", "1"))
    versions = f"polars {pl.__version__}, numpy {np.__version__}, duckdb {duckdb.__version__}"
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )
    print(f"epochs of {EPOCH_ROWS} rows, medians of {repeat} runs\n")
    print(
        f"{'':2} {'case':40} {'rows':>10} {'events/s':>12} {'lowest..highest':>25} {'ratio':>6} {'MB':>7}"
    )
    results = []
    for name in chosen:
        case = CASES.get(name)
        title = case.title if case else "JSON lines decoded from a file"
        rows = int((case.rows if case else _JSON_ROWS) * scale)
        found = _case(name, title, rows, repeat)
        results.append(found)
        spread = f"{found['lowest']:,}..{found['highest']:,}"
        print(
            f"{name:2} {title:40} {rows:>10,} {found['events_per_s']:>12,} {spread:>25} "
            f"{found['batch_ratio']:>6} {found['rss_mb']:>7}",
            flush=True,
        )
    if os.environ.get("BENCH_OUT"):
        Path(os.environ["BENCH_OUT"]).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
