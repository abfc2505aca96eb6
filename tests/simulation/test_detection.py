"""The simulation finds an engine that does things in the wrong order, or forgets some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from penstock.checkpoints import pieces, state_files, store
from penstock.runtime import capture, checkpointer

from .test_operators import simulate

PIPELINE = "aggregate changes"


def commit_after_apply(patch: pytest.MonkeyPatch) -> None:
    """Outputs reach the sink before the manifest that says so."""
    make = checkpointer.Checkpointer._make

    def wrong(self: Any, capture: Any) -> None:
        for number, frames in capture.staged.items():
            self._outlets[number].apply(capture.epoch, frames)
        make(self, capture)

    patch.setattr(checkpointer.Checkpointer, "_make", wrong)


def outputs_not_repeated(patch: pytest.MonkeyPatch) -> None:
    """What was committed but not applied is not applied by the next run."""
    resume = checkpointer.Checkpointer.resume

    def wrong(self: Any, *given: Any) -> Any:
        if self._manifest is not None:
            self._manifest.outbox.clear()
        return resume(self, *given)

    patch.setattr(checkpointer.Checkpointer, "resume", wrong)


def manifest_before_its_files(patch: pytest.MonkeyPatch) -> None:
    """The manifest is there before the files it names."""
    commit, close = store.CheckpointStore.commit, pieces.PieceWriter.close
    held: list[pieces.PieceWriter] = []

    def later(self: Any, manifest: Any) -> Any:
        done = commit(self, manifest)
        while held:
            close(held.pop())
        return done

    patch.setattr(store.CheckpointStore, "commit", later)
    patch.setattr(pieces.PieceWriter, "close", lambda self: held.append(self))


def state_of_one_checkpoint_lost(patch: pytest.MonkeyPatch) -> None:
    """A delta of the state is not in the manifest."""
    write = state_files.StateWriter.write

    def wrong(self: Any, fresh: Any, writer: Any) -> Any:
        return write(self, fresh[1:], writer)

    patch.setattr(state_files.StateWriter, "write", wrong)


def positions_behind(patch: pytest.MonkeyPatch) -> None:
    """Sources are sought where they were at the beginning."""
    resume = checkpointer.Checkpointer.resume
    patch.setattr(
        checkpointer.Checkpointer, "resume", lambda self, *given: resume(self, *given) and {}
    )


def outputs_of_epochs_joined(patch: pytest.MonkeyPatch) -> None:
    """What several epochs changed is applied as one frame after a crash, deletions in its midst."""
    patch.setattr(capture, "_joined", lambda frames: [pl.concat(frames)])


BREAKS = [
    commit_after_apply,
    outputs_not_repeated,
    manifest_before_its_files,
    state_of_one_checkpoint_lost,
    positions_behind,
    outputs_of_epochs_joined,
]


@pytest.mark.parametrize("wrong", BREAKS)
def test_a_broken_engine_is_found(
    wrong: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch)
    with pytest.raises(AssertionError, match="PENSTOCK_SEED"):
        simulate(PIPELINE, 3 if wrong is outputs_of_epochs_joined else 0, None, 1)
