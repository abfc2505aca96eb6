"""Run a plan by hand and look at how much its operators keep."""

from __future__ import annotations

import polars as pl

from penstock.stream import Stream
from penstock.testing import Driven, Epoch

CELLS = ("watermark", "closed", "reached", "started")
"""Primitives that hold one value whatever the input."""


class Run(Driven):
    """Call it with an epoch to get its delta; ask it for the rows that primitives hold."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)

    def __call__(self, epoch: Epoch) -> pl.DataFrame | None:
        return self.step(epoch)[0]

    def rows(self, *names: str) -> int:
        """Add up the lengths of the primitives of these names (of all but cells, without names)."""
        return self.state_rows(*names) if names else self.state_rows() - self.state_rows(*CELLS)
