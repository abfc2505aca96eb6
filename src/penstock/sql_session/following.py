"""Following a relation of a session: what it holds, then its changes."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from typing import Self

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.deltas import consolidate, weighted

Watcher = Callable[[Mapping[str, pl.DataFrame] | None], None]


class Following:
    """An iterator of frames with ``_weight``; the first holds all rows there are, if there are any.

    What nobody takes waits in memory.
    """

    def __init__(self, name: str, first: pl.DataFrame, watchers: list[Watcher]) -> None:
        self._name = name
        self._frames: queue.SimpleQueue[pl.DataFrame | None] = queue.SimpleQueue()
        self._watchers = watchers
        if first.height:
            self._frames.put(first)
        watchers.append(self._see)

    def _see(self, deltas: Mapping[str, pl.DataFrame] | None) -> None:
        if deltas is None:
            self._frames.put(None)
        elif self._name in deltas:
            delta = deltas[self._name]
            found = consolidate(delta if WEIGHT in delta.columns else weighted(delta, 1))
            if found.height:
                self._frames.put(found)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> pl.DataFrame:
        frame = self._frames.get()
        if frame is None:
            self._frames.put(None)
            raise StopIteration
        return frame

    def close(self) -> None:
        """End the iteration behind what is there already."""
        if self._see in self._watchers:
            self._watchers.remove(self._see)
            self._frames.put(None)
