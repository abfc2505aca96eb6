"""State of many keys: ``python -m benchmarks.state KEYS SECONDS [MEMORY]``.

A running count and sum over ``KEYS`` keys (10 M by default) is fed random keys at full speed for
``SECONDS``; every tenth of the time prints the epoch times, resident memory (anonymous and all) and
state. With ``MEMORY`` ("200MB") the state is held within that limit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

import penstock as ps

EPOCH_ROWS = 65_536


def _memory() -> dict[str, int]:
    rows = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return {
        line[0]: int(line[1]) // 1024
        for line in rows
        if line and line[0].startswith(("VmRSS", "RssA"))
    }


def _frames(keys: int, seconds: float) -> Iterator[pl.DataFrame]:
    """All keys once, then random ones until the time is over."""
    rng = np.random.default_rng(1)
    for start in range(0, keys, EPOCH_ROWS):
        numbers = np.arange(start, min(start + EPOCH_ROWS, keys))
        yield pl.DataFrame({"k": numbers, "v": rng.random(len(numbers))})
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        yield pl.DataFrame({"k": rng.integers(0, keys, EPOCH_ROWS), "v": rng.random(EPOCH_ROWS)})


def main() -> None:
    """Run and print."""
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 600.0
    memory = sys.argv[3] if len(sys.argv) > 3 else None
    stream = ps.scan_batches(_frames(keys, seconds), {"k": pl.Int64, "v": pl.Float64})
    counted = stream.group_by("k").agg(pl.len().alias("n"), pl.col("v").sum())
    instants: list[float] = []

    def note(_: pl.DataFrame) -> None:
        instants.append(time.perf_counter())

    query = counted.sink_callback(note).start(memory=memory)
    seen = 0
    heads = ("seconds", "epochs", "p50 ms", "p99 ms", "max ms", "RssAnon", "Rss", "keys")
    widths = (8, 7, 7, 7, 7, 8, 6, 11)
    print(" ".join(head.rjust(width) for head, width in zip(heads, widths, strict=True)))
    while not query.wait(seconds / 10):
        held = _memory()
        taken = np.diff(instants[seen:]) * 1e3
        seen = len(instants)
        if len(taken):
            step = query.progress().steps[1]
            p50, p99, top = np.quantile(taken, [0.5, 0.99, 1.0])
            print(
                f"{query.progress().running_seconds:8.0f} {len(taken):7} {p50:7.1f} {p99:7.1f} {top:7.1f} "
                f"{held['RssAnon:']:6}MB {held['VmRSS:']:4}MB {step.state_rows:11,}",
                flush=True,
            )


if __name__ == "__main__":
    main()
