"""Which steps of a checkpoint are which steps of the pipeline that is to go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.checkpoints.manifest import StepRecord
from penstock.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Matching:
    """``names``: name of a step in the checkpoint -> its name in the pipeline.

    Position, state, output to apply and sink id of a step go over under its new name; what has no
    name here is not needed any more.
    """

    names: Mapping[str, str]


def match(old: list[StepRecord], new: list[StepRecord]) -> Matching:
    """Match the steps of a checkpoint with those of a pipeline; ``CheckpointError`` if they differ."""
    if old != new:
        raise CheckpointError(
            "the checkpoint is of another pipeline",
            step="checkpoint",
            hint="use a new folder, or delete this one to start over",
        )
    return Matching({step.name: step.name for step in new})
