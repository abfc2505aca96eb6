"""From a plan to a running engine: the one door between what users write and what runs it.

``query`` loads this module when a query starts, not before: operators, state and NumPy come with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from penstock.checkpoints.changes import compare
from penstock.checkpoints.difference import PipelineDiff, difference
from penstock.checkpoints.opening import Checkpoint, open_storage
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointError
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.adoption import records
from penstock.restarts import Restart
from penstock.runtime.clock import Clock
from penstock.runtime.engine import Engine
from penstock.runtime.options import RunOptions
from penstock.runtime.supervisor import Supervisor
from penstock.state.memory import MemoryBudget, using


def supervise(
    roots: Sequence[SinkNode], options: RunOptions, restart: Restart | None, clock: Clock | None
) -> Supervisor:
    """Return what runs the sinks of one run, and runs them again after failures that pass."""

    def afresh(after: int | None) -> Engine:
        if after is None:
            return launch(roots, options, clock)
        # Its own lock and token may still be there, so it takes over: from itself alone.
        return launch(roots, replace(options, takeover=True, after=after), clock)

    return Supervisor(afresh, restart, clock)


def launch(roots: Sequence[SinkNode], options: RunOptions, clock: Clock | None) -> Engine:
    """Return the engine for the sinks of one run, ready for ``run()``."""
    budget = None
    if options.memory_bytes is not None:
        kept = options.checkpoint
        folder = None if kept is None else open_storage(kept, options.checkpoint_options).folder
        scratch = None if folder is None else folder / "scratch"
        budget = MemoryBudget(options.memory_bytes, scratch)
    with using(budget):
        graph = lower(roots)
    return Engine(graph, options, clock, budget)


def diff(
    roots: Sequence[SinkNode], checkpoint: Checkpoint, options: Mapping[str, str]
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
