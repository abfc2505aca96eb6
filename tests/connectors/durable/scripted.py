"""A source that cannot be replayed and brings what the test hands it."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.contract import Polled, Position

SCHEMA = pl.Schema({"n": pl.Int64()})


def rows(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"n": numbers}, schema=SCHEMA)


@dataclass
class Scripted:
    """Polls come off a queue; positions are counted; everything it is told is remembered."""

    arrivals: queue.Queue[Polled | Exception] = field(default_factory=queue.Queue)
    sought: list[Position | None] = field(default_factory=list)
    acknowledged: list[Position] = field(default_factory=list)
    live: tuple[int, ...] = (0,)
    lost: int = 0
    polls: int = 0
    closed: bool = False
    at: Position = None
    schema: pl.Schema = field(default_factory=lambda: SCHEMA)

    def bring(self, polled: Polled | Exception) -> None:
        self.arrivals.put(polled)

    def seek(self, position: Position | None) -> None:
        self.sought.append(position)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        self.polls += 1
        try:
            polled = self.arrivals.get(timeout=min(timeout_s, 0.01)) if timeout_s else None
        except queue.Empty:
            polled = None
        if polled is None:
            return Polled(pl.DataFrame(schema=self.schema), self.at, caught_up=True)
        if isinstance(polled, Exception):
            raise polled
        self.at = polled.position
        return polled

    def partitions(self) -> Sequence[int]:
        return self.live

    def acknowledge(self, position: Position) -> None:
        self.acknowledged.append(position)

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True, eq=False)
class ScriptedSpec:
    """Opens one source after another; a spec that has none left is opened once too often."""

    sources: list[Scripted]
    name: str = "scripted"
    schema: pl.Schema = field(default_factory=lambda: SCHEMA)
    bounded: bool = False
    replayable: bool = False
    partitioned: bool = False
    frame_is_epoch: bool = False

    def open(self) -> Scripted:
        return self.sources.pop(0)
