"""Events per second of top_k per group, driving the executor alone.

python benchmarks/topk_micro.py [rows] [keys]
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

EPOCH = 1 << 16


def main(rows: int = 4_000_000, keys: int = 10_000, k: int = 10) -> None:
    random = np.random.default_rng(7)
    frame = pl.DataFrame(
        {"key": random.integers(0, keys, rows), "value": random.random(rows), "other": 1}
    )
    stream = scripted("s", frame.schema).top_k(k, by="value", group_by="key")
    executor = Executor(lower([SinkNode(input=stream.node, spec=DrivenSink())]))
    epochs = list(frame.iter_slices(EPOCH))
    started = time.perf_counter()
    for number, epoch in enumerate(epochs):
        executor.run(number + 1, {0: Fed([(0, epoch)], None, [], (0,))}, {0: SourceState()}, 0)
        if number in (0, 1, 2, 4, 8, 16, 32) or number == len(epochs) - 1:
            operator = executor.stats[1]
            print(f"epoch {number}: {1000 * operator.last_seconds:.1f} ms")
    seconds = time.perf_counter() - started
    before = time.perf_counter()
    frame.group_by("key").agg(pl.col("value", "other").top_k_by("value", k))
    batch = time.perf_counter() - before
    print(
        f"streaming {rows / seconds / 1e6:.2f} M/s, one Polars query {rows / batch / 1e6:.2f} M/s"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
