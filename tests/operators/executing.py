"""Run a plan epoch by epoch with the executor in sight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.stream import Stream
from penstock.testing import DrivenSink, Epoch


def run(stream: Stream, epochs: Iterable[Epoch]) -> Iterator[tuple[Executor, pl.DataFrame | None]]:
    """Yield the executor and the output after every epoch."""
    executor = Executor(lower([SinkNode(input=stream.node, spec=DrivenSink())]))
    names = {v.source.name: v.number for v in executor.graph.sources if v.source is not None}
    sink = executor.graph.sinks[0].number
    ended: set[str] = set()
    for number, epoch in enumerate(epochs):
        ended |= epoch.ended
        fed = {names[str(n)]: Fed([(0, f)], None, []) for n, f in epoch.rows.items()}
        sources = {at: SourceState((0,), epoch.caught_up, n in ended) for n, at in names.items()}
        yield executor, executor.run(number + 1, fed, sources, epoch.now).sinks.get(sink)
