"""Two versions of a pipeline, compared as if the first had written a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import penstock as ps
from penstock.checkpoints.changes import Comparison, Fate, compare
from penstock.checkpoints.manifest import FileRecord, Manifest, PartFiles, StepRecord
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.adoption import records
from penstock.testing import DrivenSink

Sinks = dict[str, ps.Stream] | ps.Stream


def steps(sinks: Sinks) -> list[StepRecord]:
    """Return the steps of streams, each written to a sink of its own name."""
    named = sinks if isinstance(sinks, dict) else {"out": sinks}
    roots = [SinkNode(input=s.node, spec=DrivenSink(name)) for name, s in named.items()]
    return records(lower(roots))


def checkpoint(written: Sequence[StepRecord], staged: Sequence[str] = ()) -> Manifest:
    """Return a checkpoint in which every primitive has a part and every source a position."""
    piece = FileRecord("runs/x", 100, 0)
    return Manifest(
        sequence=1,
        origin=1,
        epoch=7,
        token=1,
        identity="c",
        created_at=0,
        penstock="",
        hash_scheme="",
        steps=list(written),
        positions={step.name: 0 for step in written if step.kind == "source"},
        state={
            step.name: {primitive: [PartFiles({"rows": piece}, 1)] for primitive in step.layout}
            for step in written
            if step.layout
        },
        outbox={name: [piece] for name in staged},
        sinks={step.name: f"c/{step.name}" for step in written if step.kind == "sink"},
        numbered=sum(step.kind == "source" for step in written),
    )


def compared(old: Sinks, new: Sinks, staged: Sequence[str] = ()) -> Comparison:
    """Compare two versions of a pipeline."""
    return compare(checkpoint(steps(old), staged), steps(new))


def kinds(comparison: Comparison, *fates: Fate) -> list[str]:
    """Return the kinds of the steps with one of these fates, in order."""
    return [change.kind for change in comparison.changes if change.fate in fates]


def lost(comparison: Comparison) -> list[str]:
    """Return the kinds of the steps that are lost."""
    return kinds(comparison, Fate.LOST)
