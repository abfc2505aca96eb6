"""From a plan to a running engine: the one door between what users write and what runs it.

``query`` loads this module when a query starts, not before: operators, state and NumPy come with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.checkpoints.opening import open_storage
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.clock import Clock
from penstock.runtime.engine import Engine
from penstock.runtime.options import RunOptions
from penstock.state.memory import MemoryBudget, using


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
