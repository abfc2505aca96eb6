"""Following a relation of a session: what it holds, then its changes."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from typing import Self

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate, weighted


class Following:
    """An iterator of frames with ``_weight``; the first holds all rows there are, if there are any.

    What nobody takes waits in memory.
    """

    def __init__(self, name: str, first: pl.DataFrame, watchers: list[Following]) -> None:
        self.name = name
        self.ended = False
        self._frames: queue.SimpleQueue[pl.DataFrame | None] = queue.SimpleQueue()
        self._watchers = watchers
        if first.height:
            self._frames.put(first)
        watchers.append(self)

    def see(self, deltas: Mapping[str, pl.DataFrame]) -> None:
        """Take what an epoch changed, if it is of this relation."""
        if self.name in deltas:
            delta = deltas[self.name]
            found = consolidate(delta if WEIGHT in delta.columns else weighted(delta, 1))
            if found.height:
                self._frames.put(found)

    def take(self, timeout_s: float | None) -> pl.DataFrame | None:
        """Return the next frame; None if none came in time, or if it has ``ended``."""
        try:
            frame = self._frames.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if frame is None:
            self.ended = True
            self._frames.put(None)
        return frame

    @property
    def caught_up(self) -> bool:
        """Whether nothing waits."""
        return self._frames.empty()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pl.DataFrame:
        frame = self.take(None)
        if frame is None:
            raise StopIteration
        return frame

    def close(self) -> None:
        """End the iteration behind what is there already."""
        if self in self._watchers:
            self._watchers.remove(self)
            self._frames.put(None)
