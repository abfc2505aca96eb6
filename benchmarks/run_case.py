"""Run one case in a process of its own: ``python -m benchmarks.run_case b stream 10000000``.

Prints one JSON object: rows, seconds, peak resident memory, rows out.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

import penstock as ps
from benchmarks.cases import CASES, EPOCH_ROWS, JSON_SCHEMA, Case, json_file


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _sliced(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return [frame[start : start + EPOCH_ROWS] for start in range(0, frame.height, EPOCH_ROWS)]


def _warm_up(case: Case) -> None:
    """Load the engine: it comes with the first query, once a process."""
    streams = [ps.scan_batches([frame]) for frame in case.make(1000)]
    case.stream(streams).sink_callback(lambda _: None).start().wait()


def _stream(case: Case, rows: int) -> tuple[float, int]:
    inputs = case.make(rows)
    each = EPOCH_ROWS // len(inputs)
    streams = [ps.scan_batches([f[i : i + each] for i in range(0, f.height, each)]) for f in inputs]
    counted = [0]

    def count(frame: pl.DataFrame) -> None:
        counted[0] += frame.height

    _warm_up(case)
    query = case.stream(streams).sink_callback(count)
    started = time.perf_counter()
    query.start().wait()
    return time.perf_counter() - started, counted[0]


def _batch(case: Case, rows: int) -> tuple[float, int]:
    inputs = case.make(rows)
    case.batch(case.make(1000))
    started = time.perf_counter()
    height = case.batch(inputs).height
    return time.perf_counter() - started, height


def _json(mode: str, rows: int) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = json_file(rows, Path(folder))
        counted = [0]
        started = time.perf_counter()
        if mode == "batch":
            counted[0] = pl.read_ndjson(path, schema=JSON_SCHEMA).height
        else:
            stream = ps.scan_ndjson(path, JSON_SCHEMA)

            def count(frame: pl.DataFrame) -> None:
                counted[0] += frame.height

            stream.sink_callback(count).start().wait()
        return time.perf_counter() - started, counted[0]


def main() -> None:
    """Run the case and print the figures."""
    name, mode, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if name == "h":
        seconds, out = _json(mode, rows)
    else:
        seconds, out = (_stream if mode == "stream" else _batch)(CASES[name], rows)
    print(json.dumps({"rows": rows, "seconds": seconds, "rss_mb": _rss_mb(), "out": out}))


if __name__ == "__main__":
    main()
