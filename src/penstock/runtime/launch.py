"""From a plan to a running engine: the one door between what users write and what runs it.

``query`` loads this module when a query starts, not before: operators, state and NumPy come with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from penstock.checkpoints.changes import compare
from penstock.checkpoints.difference import PipelineDiff, difference
from penstock.checkpoints.opening import Checkpoint, open_storage
from penstock.checkpoints.store import CheckpointStore
from penstock.connectors.durable.config import settled
from penstock.errors import CheckpointError
from penstock.lowering.graph import Graph
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.restarts import Restart
from penstock.runtime.adoption import records
from penstock.runtime.clock import Clock
from penstock.runtime.engine import Engine
from penstock.runtime.options import RunOptions
from penstock.runtime.supervisor import Supervisor
from penstock.state.memory import MemoryBudget, using


def supervise(
    roots: Sequence[SinkNode], options: RunOptions, restart: Restart | None, clock: Clock | None
) -> Supervisor:
    """Return what runs the sinks of one run, and runs them again after failures that pass."""
    last: Engine | None = None

    def afresh(after: int | None) -> Engine:
        nonlocal last
        chosen = options if last is None else last.options
        if last is not None and last.rebuilt:
            chosen = replace(chosen, rebuild=())
        if last is not None and last.replay_noted:
            chosen = replace(chosen, replay_dead_letters=False)
        if after is not None:
            # Its own lock and token may still be there, so it takes over: from itself alone.
            chosen = replace(chosen, takeover=True, after=after)
        last = launch(roots, chosen, clock)
        return last

    return Supervisor(afresh, restart, clock)


def launch(roots: Sequence[SinkNode], options: RunOptions, clock: Clock | None) -> Engine:
    """Return the engine for the sinks of one run, ready for ``run()``."""
    budget, folder = None, _local_folder(options)
    if options.memory_bytes is not None:
        scratch = None if folder is None else folder / "scratch"
        budget = MemoryBudget(options.memory_bytes, scratch)

    def lowered() -> Graph:
        with using(budget):
            return lower(roots)

    graph = lowered()
    _keep_arrivals(graph, options, folder)
    return Engine(graph, options, clock, budget, lowered)


def diff(
    roots: Sequence[SinkNode], checkpoint: Checkpoint, options: Mapping[str, str | bool]
) -> PipelineDiff:
    """Return what the sinks of one run would make of a checkpoint; reads it only."""
    store = CheckpointStore(open_storage(checkpoint, options))
    manifest = store.peek()
    if manifest is None:
        raise CheckpointError(
            "there is no checkpoint", step="diff", value=store.storage.name, hint=store.storage.name
        )
    comparison = compare(manifest, records(lower(roots)))
    return difference(store.storage.name, manifest, comparison, store.reader)


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
