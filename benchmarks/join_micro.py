"""Inner join of two streams, driven through the executor: throughput and small epochs.

PYTHONPATH=src python benchmarks/join_micro.py
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl

from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.stream import Stream
from penstock.testing import DrivenSink, scripted

KEYS = 1_000_000
EPOCH_ROWS = 65_536
LEFT = {"k": pl.Int64, "a": pl.Float64}
RIGHT = {"k": pl.Int64, "b": pl.Float64}


class Bench:
    """A plan over two scripted sources ``l`` and ``r``."""

    def __init__(self, stream: Stream) -> None:
        self.executor = Executor(lower([SinkNode(input=stream.node, spec=DrivenSink())]))
        graph = self.executor.graph
        self.numbers = {v.source.name: v.number for v in graph.sources if v.source is not None}
        self.epoch = 0
        self.rows_out = 0

    def run(self, **frames: pl.DataFrame) -> float:
        """Run an epoch and return how long it took."""
        self.epoch += 1
        fed = {self.numbers[n]: Fed([(0, frame)], None, []) for n, frame in frames.items()}
        sources = {number: SourceState() for number in self.numbers.values()}
        started = time.perf_counter()
        output = self.executor.run(self.epoch, fed, sources, 0)
        taken = time.perf_counter() - started
        self.rows_out += sum(frame.height for frame in output.sinks.values())
        return taken


def _joined(how: str) -> Stream:
    return scripted("l", LEFT).join(scripted("r", RIGHT), on="k", how=how)


def _sides(rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    left = pl.DataFrame({"k": rng.permutation(KEYS), "a": rng.random(KEYS)})
    return left, pl.DataFrame({"k": rng.permutation(KEYS), "b": rng.random(KEYS)})


def throughput(how: str) -> Bench:
    """One row a key on each side, interleaved, half an epoch each."""
    left, right = _sides(np.random.default_rng(1))
    bench, half, seconds = Bench(_joined(how)), EPOCH_ROWS // 2, 0.0
    processor = time.process_time()
    for at in range(0, KEYS, half):
        seconds += bench.run(l=left[at : at + half], r=right[at : at + half])
    processor = time.process_time() - processor
    started = time.perf_counter()
    batch = left.lazy().join(right.lazy(), on="k", how=how).collect()  # type: ignore[arg-type]
    once = time.perf_counter() - started
    rate = 2 * KEYS / seconds
    print(f"{how:6} {KEYS:,} keys a side, {EPOCH_ROWS:,} rows an epoch:", end=" ")
    print(f"{rate / 1e6:.2f} M events/s, {once / seconds:.2f} of one-shot Polars", end=" ")
    print(f"({batch.height:,} rows), {processor / (2 * KEYS) * 1e9:.0f} ns of processor an event")
    return bench


def small_epochs(bench: Bench, how: str) -> None:
    """Ten rows an epoch against a million on the other side."""
    rng = np.random.default_rng(2)
    taken = []
    for _ in range(300):
        rows = pl.DataFrame({"k": rng.integers(0, KEYS, 10), "a": rng.random(10)})
        taken.append(bench.run(l=rows))
    median, high = np.quantile(taken, [0.5, 0.99]) * 1e3
    print(f"{how:6} 10 rows against {KEYS:,}: p50 {median:.3f} ms, p99 {high:.3f} ms")


if __name__ == "__main__":
    print(f"polars {pl.__version__}, {pl.thread_pool_size()} threads")
    for kind in ("inner", "left", "semi"):
        small_epochs(throughput(kind), kind)
