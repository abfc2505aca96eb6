"""Integrate a stream in memory: append-only rows are kept, changes are summed."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import consolidate
from penstock.connectors.contract import SinkIdentity
from penstock.errors import ConnectorError, Fault

_SMALLEST_BUFFER = 65_536
"""Rows below which summing would cost more than it frees."""


class Collected:
    """What a stream has given so far.

    Changes are summed whenever the rows held have doubled since the last time, so memory stays
    within about twice the living rows (plus one batch), and each row is summed a few times only.
    """

    def __init__(self) -> None:
        self._frames: list[pl.DataFrame] = []
        self._held = 0
        self._limit = _SMALLEST_BUFFER

    def add(self, frame: pl.DataFrame) -> None:
        """Take one more batch, with weights or without."""
        if frame.is_empty() and self._frames:
            return
        self._frames.append(frame)
        self._held += frame.height
        if WEIGHT in frame.columns and self._held >= self._limit:
            self._consolidate()

    def table(self, schema: pl.Schema | None = None) -> pl.DataFrame:
        """Return the table as it is now, each row as often as its weight says.

        ``schema`` (without the weight) is for a stream that gave no batch at all. Rows are in the
        order of their first appearance. A row with a negative weight was deleted without having
        been inserted, which is a fault of Penstock: ``ConnectorError``.
        """
        if not self._frames:
            return pl.DataFrame(schema=schema)
        if WEIGHT not in self._frames[0].columns:
            self._frames = [pl.concat(self._frames)]
            return self._frames[0]
        self._consolidate()
        net = self._frames[0]
        negative = net.filter(pl.col(WEIGHT) < 0)
        if negative.height:
            raise ConnectorError(
                f"a row was deleted that is not there: {negative.row(0, named=True)}",
                step="collect",
                value=negative.row(0),
                fault=Fault.OURS,
            )
        if (net[WEIGHT] > 1).any():
            net = net.select(pl.all().repeat_by(WEIGHT)).explode(net.columns)
        return net.drop(WEIGHT)

    @property
    def held_rows(self) -> int:
        """Return how many rows are in memory."""
        return self._held

    def _consolidate(self) -> None:
        net = consolidate(pl.concat(self._frames)).select(self._frames[0].columns)
        self._frames = [net]
        self._held = net.height
        self._limit = max(_SMALLEST_BUFFER, 2 * net.height)


class CollectSink:
    """A live collecting sink; its state is the ``Collected`` it was given."""

    def __init__(self, into: Collected) -> None:
        self._into = into
        self._last: int | None = None

    def begin(
        self,
        identity: SinkIdentity | None,  # noqa: ARG002 - the contract
        schema: pl.Schema | None = None,  # noqa: ARG002 - the contract
    ) -> int | None:
        """Nothing to prepare."""
        return None

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Take the frames; all of them or, if they cannot be read, none."""
        if self._last is not None and epoch <= self._last:
            return
        for frame in list(frames):
            self._into.add(frame)
        self._last = epoch

    def close(self) -> None:
        """What was collected stays with its owner."""
