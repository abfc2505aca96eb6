"""Events per second of session windows, driving the executor alone.

python benchmarks/session_micro.py [rows] [keys]
"""

from __future__ import annotations

import sys
import time

import numpy as np
import polars as pl

from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.testing import DrivenSink, scripted
from penstock.windows import session

EPOCH = 1 << 16


def main(rows: int = 4_000_000, keys: int = 100_000) -> None:
    random = np.random.default_rng(7)
    moments = np.arange(rows) * 10 + random.integers(0, 5_000, rows)  # 100 a second, in ms
    frame = pl.DataFrame({"key": random.integers(0, keys, rows), "value": random.random(rows)})
    frame = frame.with_columns(ts=pl.Series(moments).cast(pl.Datetime("ms")))
    source = scripted("s", frame.schema).with_watermark("ts", "5s", max_ahead=None)
    windows = source.group_by("key", session("10m")).agg(pl.len(), pl.col("value").sum())
    executor = Executor(lower([SinkNode(input=windows.node, spec=DrivenSink())]))
    epochs = list(frame.iter_slices(EPOCH))
    emitted = 0
    started = time.perf_counter()
    for number, epoch in enumerate(epochs):
        output = executor.run(
            number + 1, {0: Fed([(0, epoch)], None, [], (0,))}, {0: SourceState()}, 0
        )
        emitted += sum(f.height for f in output.sinks.values())
        if number % 16 == 0:
            print(f"epoch {number}: {1000 * executor.stats[2].last_seconds:.1f} ms")
    seconds = time.perf_counter() - started
    print(f"{rows / seconds / 1e6:.2f} M/s, {emitted} sessions")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
