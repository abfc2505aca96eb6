"""What a query promises from its sources to each sink: the weakest of what they promise."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.connectors.contract import Guarantee
from penstock.connectors.durable.config import guarantee_of
from penstock.plan.node import walk
from penstock.plan.sinks import SinkNode
from penstock.plan.sources import Scan


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """The promise of one sink in a run with a checkpoint, and the steps that weaken it."""

    guarantee: Guarantee
    weakened_by: tuple[str, ...]

    def __str__(self) -> str:
        """Return it as a sentence without a subject."""
        said = f"{self.guarantee.value}, end to end, when run with a checkpoint"
        return f"{said} (because of {', '.join(self.weakened_by)})" if self.weakened_by else said


def end_to_end(sink: SinkNode) -> EndToEnd:
    """Return what becomes of each row that a source above brings, across crashes.

    A source that cannot be read again loses rows, whatever the sink; a sink that does not record
    what it has may get rows twice.
    """
    found = {
        node.describe(): guarantee_of(node.spec) for node in walk(sink) if isinstance(node, Scan)
    }
    found[sink.describe()] = sink.spec.guarantee
    order = list(Guarantee)
    weakest = max(found.values(), key=order.index)
    weak = tuple(name for name, each in found.items() if each is not Guarantee.EXACTLY_ONCE)
    return EndToEnd(weakest, weak)
