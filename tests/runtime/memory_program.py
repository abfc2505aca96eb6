"""Run one query over keys that never end: ``python -m tests.runtime.memory_program KIND [MEMORY]``.

Prints as JSON a checksum of the result, the bytes of state, the most that the budget counted, and
the most anonymous memory at any time while rows came in (the end of the input is not counted: it
may give out all of the state at once).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import penstock as ps
from penstock.runtime.executor import Executor
from penstock.state.memory import MemoryBudget
from penstock.stream import Stream

FRAMES, ROWS = 32, 20_000
START = datetime(2025, 1, 1)
seen = {"anonymous": 0, "counted": 0, "state": 0}


class Seen(ps.BatchProcessor):
    """How often each key was there."""

    state = {"n": pl.Int64, "last": pl.Int64}
    output = {"k": pl.Int64, "n": pl.Int64}

    def process(self, rows: pl.DataFrame, state: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        fresh = rows.group_by("k").agg(more=pl.len().cast(pl.Int64), last=pl.col("v").last())
        found = state.select("k", "n").join(fresh, on="k")
        found = found.select("k", n=pl.col("n").fill_null(0) + pl.col("more"), last="last")
        return found.select("k", "n"), found


def frames() -> Iterator[pl.DataFrame]:
    """Half of the keys of a frame are new, the others were in the one before."""
    for number in range(FRAMES):
        first = number * ROWS // 2
        numbers = pl.int_range(first, first + ROWS, eager=True)
        yield pl.DataFrame(
            {
                "k": (numbers * 2_654_435_761) % 2**31,
                "v": numbers * 7 % 1_000,
                "w": numbers * 3,
                "u": numbers * 5,
                "ts": pl.Series(
                    [START + timedelta(seconds=number)] * ROWS, dtype=pl.Datetime("us")
                ),
            }
        )


def note(executor: Executor) -> None:
    """Look at the memory."""
    status = Path("/proc/self/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if "RssAnon" in line)
    seen["anonymous"] = max(seen["anonymous"], anonymous * 1_024)
    parts = (
        part for v in executor.graph.vertices if v.operator for part in v.operator.state.values()
    )
    seen["state"] = max(seen["state"], sum(part.nbytes for part in parts))


def source() -> Stream:
    schema = {"k": pl.Int64, "v": pl.Int64, "w": pl.Int64, "u": pl.Int64, "ts": pl.Datetime("us")}
    return ps.scan_batches(frames(), schema=schema, event_time="ts", lateness="1h")


KINDS: dict[str, Callable[[], Stream]] = {
    "join": lambda: source().join(source(), on=["k", "v"]),
    "interval join": lambda: source().join_interval(source(), on="k", lower="0s", upper="1h"),
    "sessions": lambda: (
        source().group_by("k", ps.session("1d")).agg(pl.len(), pl.col("w").sum(), pl.col("u").max())
    ),
    "sessions of rows": lambda: source().group_by("k", ps.session("1d")).agg(pl.col("w").median()),
    "process": lambda: source().process(Seen, by="k"),
    "as-of join": lambda: source().join_asof(source(), on="ts", by="k"),
    "distinct": lambda: source().unique(["k", "w"]),
    "top_k": lambda: source().top_k(2, by="v", group_by="k"),
    "top_k of changes": lambda: (
        source()
        .group_by("k")
        .agg(pl.col("v").sum(), pl.col("w").last())
        .with_columns(part=pl.col("k") % 50_000)
        .top_k(2, by="v", group_by="part")
    ),
}


def main() -> None:
    kind, memory = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    enforce = MemoryBudget.enforce

    def enforced(self: MemoryBudget) -> None:
        enforce(self)
        seen["counted"] = max(seen["counted"], self._counted + self._fresh)

    MemoryBudget.enforce = enforced  # type: ignore[method-assign]
    run = Executor.run

    def measured(self: Executor, *args: Any, **options: Any) -> Any:
        note(self)  # what the epoch before has left
        return run(self, *args, **options)

    Executor.run = measured  # type: ignore[method-assign]
    total, rows = 0, 0

    def add(frame: pl.DataFrame) -> None:
        nonlocal total, rows
        weights = frame["_weight"].to_list() if "_weight" in frame.columns else [1] * frame.height
        hashes = frame.drop("_weight", strict=False).hash_rows(seed=1)
        for value, weight in zip(hashes.to_list(), weights, strict=True):
            total = (total + value * weight) % 2**64
        rows += frame.height

    query = KINDS[kind]().sink_callback(add)
    query.start(memory=memory)
    query.wait()
    print(json.dumps({"total": total, "rows": rows, **seen}))


if __name__ == "__main__":
    main()
