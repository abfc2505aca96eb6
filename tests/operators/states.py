"""Run a plan by hand and look at how much its operators keep."""

from __future__ import annotations

import polars as pl

from penstock.stream import Stream
from penstock.testing import driving
from penstock.testing import Epoch


class Run:
    """Call it with an epoch to get its delta; ask it for the rows that primitives hold."""

    def __init__(self, stream: Stream) -> None:
        self._executor = driving._executor([stream])
        self._number = 0
        self._ended: set[str] = set()
        self._partitions: dict[str, set[int]] = {}

    def __call__(self, epoch: Epoch) -> pl.DataFrame | None:
        self._number += 1
        self._ended |= epoch.ended
        fed, sources = driving._feed(self._executor, epoch, self._ended, self._partitions)
        output = self._executor.run(self._number, fed, sources, epoch.now)
        return next(iter(output.sinks.values()), None)

    def rows(self, *names: str) -> int:
        """Add up the lengths of the primitives of these names (of all but cells, without names)."""
        total = 0
        for (_, name), primitive in driving._states(self._executor):
            if (names and name in names) or (not names and name not in CELLS):
                total += len(primitive)
        return total


CELLS = ("watermark", "closed", "reached", "started")
