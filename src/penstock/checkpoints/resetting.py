"""Letting one view begin anew: a checkpoint in which a step holds nothing, all else as it was."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from penstock.checkpoints.manifest import StepRecord
from penstock.checkpoints.storage import Storage
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointError, ConfigError


def reset(storage: Storage, names: Collection[str], *, now: int) -> list[str]:
    """Commit a checkpoint in which the steps named start empty; return all that do.

    Steps that changes connect refer to what one another has emitted, so they start empty together.
    ``now`` is in microseconds since 1970. Refused while a run holds the checkpoint.
    """
    store = CheckpointStore(storage)
    known = store.peek()
    if known is None:
        raise CheckpointError(
            "there is no checkpoint", step="reset", value=storage.name, hint=storage.name, line=""
        )
    _check(known.steps, names)
    try:
        manifest = store.open(created_at=now)
        assert manifest is not None
        emptied = _connected(manifest.steps, names)
        state = {step: parts for step, parts in manifest.state.items() if step not in emptied}
        store.commit(msgspec.structs.replace(manifest, state=state, created_at=now))
    finally:
        store.close()
    return [step.name for step in manifest.steps if step.name in emptied]


def _check(steps: Sequence[StepRecord], names: Collection[str]) -> None:
    keeping = [step.name for step in steps if step.layout]
    for name in names:
        if name not in keeping:
            raise ConfigError(
                f"no step {name!r} holds state",
                step="reset",
                value=name,
                alternatives=keeping,
                line="",
            )


def _connected(steps: Sequence[StepRecord], names: Collection[str]) -> set[str]:
    """Return the steps with state that changes connect with those named."""
    by_name = {step.name: step for step in steps}
    edges: dict[str, set[str]] = {step.name: set() for step in steps}
    for step in steps:
        for above in step.inputs:
            if by_name[above].changelog and step.kind != "sink":
                edges[step.name].add(above)
                edges[above].add(step.name)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(edges[name])
    return {name for name in found if by_name[name].layout}
