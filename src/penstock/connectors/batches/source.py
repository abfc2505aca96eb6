"""Live reading of frames from Python."""

from __future__ import annotations

import msgspec
import polars as pl

from penstock.connectors.batches.feeds import END, Feed
from penstock.connectors.batches.frames import to_frame
from penstock.connectors.contract import OnePartition, Polled, Position


class _Position(msgspec.Struct):
    frame: int  # how many were handed over


class BatchesSource(OnePartition):
    """Hands over one whole frame per poll."""

    def __init__(self, feed: Feed, schema: pl.Schema, name: str) -> None:
        self._feed = feed
        self._schema = schema
        self._name = name
        self._count = 0

    def seek(self, position: Position | None) -> None:
        """Go to a frame of a list; an iterator goes on where it is."""
        self._count = 0 if position is None else msgspec.convert(position, _Position).frame
        self._feed.seek(self._count)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:  # noqa: ARG002 - frames stay whole
        """Return the next frame, whatever its size."""
        try:
            table = self._feed.get(timeout_s)
        except TimeoutError:
            return Polled(self._nothing(), self._position(), caught_up=True)
        if table is END:
            return Polled(self._nothing(), self._position(), caught_up=True, ended=True)
        frame = to_frame(table, self._schema, self._count + 1, self._name)
        self._count += 1
        ended = self._feed.ended()
        return Polled(frame, self._position(), caught_up=ended, ended=ended)

    def _nothing(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self._schema)

    def _position(self) -> Position:
        return {"frame": self._count}

    def acknowledge(self, position: Position) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """End a waiting poll and let go of the iterator."""
        self._feed.close()
