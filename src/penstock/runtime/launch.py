"""From a plan to a running engine: the one door between what users write and what runs it.

``query`` loads this module when a query starts, not before: operators, state and NumPy come with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock.checkpoints.opening import open_storage
from penstock.connectors.durable.config import settled
from penstock.lowering.graph import Graph
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.clock import Clock
from penstock.runtime.engine import Engine
from penstock.runtime.options import RunOptions
from penstock.state.memory import MemoryBudget, using


def launch(roots: Sequence[SinkNode], options: RunOptions, clock: Clock | None) -> Engine:
    """Return the engine for the sinks of one run, ready for ``run()``."""
    budget, folder = None, _local_folder(options)
    if options.memory_bytes is not None:
        scratch = None if folder is None else folder / "scratch"
        budget = MemoryBudget(options.memory_bytes, scratch)
    with using(budget):
        graph = lower(roots)
    _keep_arrivals(graph, options, folder)
    return Engine(graph, options, clock, budget)


def _local_folder(options: RunOptions) -> Path | None:
    """Return the checkpoint's folder, if it is on a local disk."""
    kept = options.checkpoint
    return None if kept is None else open_storage(kept, options.checkpoint_options).folder


def _keep_arrivals(graph: Graph, options: RunOptions, folder: Path | None) -> None:
    """Have the sources that cannot be replayed go through a topic, in a run that keeps checkpoints."""
    sources = graph.sources
    kept = settled(
        [vertex.source for vertex in sources if vertex.source is not None],
        checkpoints=options.checkpoint is not None,
        folder=folder,
        kept_checkpoints=options.retain,
    )
    for vertex, spec in zip(sources, kept, strict=True):
        vertex.source = spec
