"""One measurement in a process of its own: ``run_query q5 parquet stream folder``.

Prints one JSON object: seconds, peak resident memory, rows out, and of a stream the largest state it
held. ``stream`` is Penstock; ``duckdb`` and ``polars`` answer once over the same files.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl

import penstock as ps
from benchmarks.nexmark import batch, data

_PROCESSING_TIME = "dateTime"
"""What the batch engines take for processing time: their own would be one instant for all rows."""


def planned(name: str, folder: Path, kind: str) -> ps.Stream:
    """Return the query over the files; windows leave when they close."""
    ending = " EMIT ON WINDOW CLOSE" if name in batch.WINDOWED else ""
    return ps.sql(batch.streaming(name) + ending, **data.streams(folder, kind))


_SAMPLED_S = 0.1
"""How often the size of the state is looked at."""

Run = tuple[float, int, int | None]
"""Seconds, rows out, and the bytes of the largest state seen; None where there is no state."""


def _state_bytes(query: ps.Query) -> int:
    return sum(step.state_bytes for step in query.progress().steps)


def _stream(name: str, folder: Path, kind: str) -> Run:
    rows = 0

    def count(frame: pl.DataFrame) -> None:
        nonlocal rows
        rows += frame.height

    with tempfile.TemporaryDirectory() as small:  # the engine loads with the first query
        data.write(Path(small), 1_000)
        planned(name, Path(small), kind).sink_callback(count).start().wait()
    rows = 0
    query = planned(name, folder, kind).sink_callback(count)
    started = time.perf_counter()
    query.start(memory=os.environ.get("MEMORY") or None)
    largest = 0
    while not query.wait(_SAMPLED_S):
        largest = max(largest, _state_bytes(query))
    seconds = time.perf_counter() - started
    return seconds, rows, max(largest, _state_bytes(query))


def _duckdb(name: str, folder: Path, kind: str) -> Run:
    connection = duckdb.connect(config={"preserve_insertion_order": False})
    for statement in data.duckdb_views(folder, kind):
        connection.execute(statement)
    connection.register("side_input", data.SIDE)
    query = batch.duckdb(name).replace("p_time", _PROCESSING_TIME)
    started = time.perf_counter()
    height = connection.sql(query).to_arrow_table().num_rows
    return time.perf_counter() - started, height, None


def _polars(name: str, folder: Path, kind: str) -> Run:
    query = batch.POLARS[name](data.lazy_frames(folder, kind))
    started = time.perf_counter()
    height = query.collect(engine="streaming").height
    return time.perf_counter() - started, height, None


ENGINES: dict[str, Callable[[str, Path, str], Run]] = {
    "stream": _stream,
    "duckdb": _duckdb,
    "polars": _polars,
}


def main() -> None:
    """Measure and print."""
    name, kind, engine, folder = sys.argv[1:]
    seconds, rows, state = ENGINES[engine](name, Path(folder), kind)
    # Not getrusage: a process inherits the peak of the one that started it.
    status = Path("/proc/self/status").read_text()
    rss_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    state_mb = None if state is None else state / 1e6
    found = {"seconds": seconds, "rss_mb": rss_mb, "rows": rows, "state_mb": state_mb}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
