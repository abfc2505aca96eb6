"""What a run does each second or so whether rows come or not."""

from __future__ import annotations

from collections.abc import Collection

from penstock.runtime.checkpointer import Checkpointer
from penstock.runtime.clock import Clock
from penstock.runtime.free_memory import FreeMemory
from penstock.runtime.outlets import Outlet

_TIDY_S = 1.0
"""How late a sink may notice that a file has been open for long enough."""

_WATCH_S, _WATCH_FAR_S = 1.0, 5.0
"""How often a run looks whether another one has taken over: on a disk, on an object store, where
each look is a request. A run that makes checkpoints notices with these, too."""


class Upkeep:
    """Knows when it is time; the engine's thread calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tidy_due = 0.0
        self._watch_due = clock.elapsed() + _WATCH_S
        self._free_memory = FreeMemory()

    def untidy_s(self) -> float:
        """Return the seconds until ``tidy`` does something."""
        return max(0.0, self._tidy_due - self._clock.elapsed())

    def tidy(self, outlets: Collection[Outlet], epoch: int) -> None:
        """Let sinks act on the time that has passed, though nothing may arrive; give memory back."""
        if self.untidy_s() > 0:
            return
        for outlet in outlets:
            outlet.tidy(epoch)
        self._free_memory.give_back(self._clock.elapsed())
        self._tidy_due = self._clock.elapsed() + _TIDY_S

    def watch(self, keeper: Checkpointer) -> None:
        """Look whether another run has taken over."""
        if self._clock.elapsed() >= self._watch_due:
            keeper.watch()
            far = keeper.store.storage.folder is None
            self._watch_due = self._clock.elapsed() + (_WATCH_FAR_S if far else _WATCH_S)
