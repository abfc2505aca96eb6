"""Merging the parts of state that have piled up, so that loading stays quick."""

from __future__ import annotations

import threading

from penstock.checkpoints.manifest import PartFiles
from penstock.checkpoints.state_files import Merge, StateWriter
from penstock.checkpoints.store import CheckpointStore
from penstock.errors import CheckpointError
from penstock.runtime.background import Background


class Merging:
    """Small parts are merged at once, large ones on a thread, beside the next checkpoints.

    The thread that makes checkpoints calls; what was merged is in the checkpoint after it.
    """

    def __init__(
        self, store: CheckpointStore, state: StateWriter, wake: threading.Condition
    ) -> None:
        self._store = store
        self._state = state
        self._background = Background("checkpoint merge", wake)
        self._taken: list[Merge] = []
        self._finished: list[tuple[Merge, PartFiles]] = []

    def merge(self) -> None:
        """Merge what is small, and begin with what is large."""
        self.take_finished()
        wanted = self._state.wanted()
        if self._background.busy:  # what it takes must stay as it is
            wanted = [m for m in wanted if not any(m.overlaps(o) for o in self._taken)]
        small = [merge for merge in wanted if not merge.large]
        if small:
            self._replace(self._merged(small))
        large = [merge for merge in wanted if merge.large]
        if large and not self._background.busy:
            self._taken = large
            self._background.start(lambda: self._finished.extend(self._merged(large)))

    def take_finished(self) -> None:
        """Put merged parts in place of those they were made of; raise what went wrong."""
        if not self._background.busy:
            self._background.check()
            done, self._finished = self._finished, []
            self._replace(done)

    def join(self) -> None:
        """Wait until nothing is being merged."""
        self._background.join()

    def _merged(self, wanted: list[Merge]) -> list[tuple[Merge, PartFiles]]:
        writer = self._store.writer()
        done = []
        for merge in wanted:
            try:
                done.append((merge, self._state.merge(merge, writer)))
            except CheckpointError:
                if self._state.current(merge):  # else its files may be gone, as they should
                    raise
        writer.close()
        return done

    def _replace(self, done: list[tuple[Merge, PartFiles]]) -> None:
        for merge, merged in done:
            self._state.replace(merge, merged)
