"""``make bench-nexmark``: the 23 queries streamed in epochs of 64k events, beside DuckDB and Polars.

``EVENTS=10_000_000`` sets the size, ``ONLY=q5,q7`` the queries, ``DATA=folder`` where the files are
kept for another run, ``MEMORY=256MB`` how much state a query holds before it moves to disk (no bound
unless given). Prints a line for each query and input, and writes the same as JSON to
``BENCH_OUT``. ``batch_ratio`` is the time of the faster batch engine, which answers once, over the
time of the stream: what it costs to keep the answer up to date. ``state_mb`` is the largest state seen
during the run, looked at ten times a second (10^6 bytes of all steps, as in ``progress()``). q6 and
the views over joins put out every change.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl

from benchmarks.nexmark import batch, data

_TIMEOUT_S = 3600


def _measured(name: str, kind: str, engine: str, folder: Path) -> dict[str, float] | None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.nexmark.run_query",
        name,
        kind,
        engine,
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        print(f"{name} {kind} {engine} failed: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _query(name: str, kind: str, folder: Path, events: int) -> dict[str, object] | None:
    runs = {
        engine: _measured(name, kind, engine, folder) for engine in ("stream", "duckdb", "polars")
    }
    stream = runs.pop("stream")
    if stream is None:
        return None
    once = {engine: run["seconds"] for engine, run in runs.items() if run is not None}
    ratio = min(once.values()) / stream["seconds"] if once else None
    return {
        "name": name,
        "input": kind,
        "events_per_s": round(events / stream["seconds"]),
        "batch_ratio": None if ratio is None else round(ratio, 3),
        "rss_mb": round(stream["rss_mb"], 1),
        "state_mb": round(stream["state_mb"], 1),
        "rows_out": stream["rows"],
        "batch_s": {engine: round(seconds, 3) for engine, seconds in once.items()},
    }


def _run(folder: Path, events: int) -> list[dict[str, object]]:
    if not (folder / "events").exists():
        data.write(folder, events)
    results = []
    for name in os.environ.get("ONLY", ",".join(batch.NAMES)).split(","):
        for kind in os.environ.get("INPUTS", "parquet,ndjson").split(","):
            found = _query(name, kind, folder, events)
            if found is not None:
                results.append(found)
                print(
                    f"{name} {kind} events_per_s={found['events_per_s']} "
                    f"batch_ratio={found['batch_ratio']} rss_mb={found['rss_mb']} "
                    f"state_mb={found['state_mb']}",
                    flush=True,
                )
    return results


def main() -> None:
    """Write the files, and run the chosen queries over them."""
    events = int(os.environ.get("EVENTS", "10_000_000"))
    versions = f"polars {pl.__version__}, duckdb {duckdb.__version__}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, {versions}; {events:,} events", flush=True)
    if os.environ.get("DATA"):
        results = _run(Path(os.environ["DATA"]) / str(events), events)
    else:
        with tempfile.TemporaryDirectory() as folder:
            results = _run(Path(folder), events)
    if os.environ.get("BENCH_OUT"):
        Path(os.environ["BENCH_OUT"]).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
