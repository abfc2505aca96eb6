"""Dead letters of a run: kept in a topic beside the checkpoint, or the latest in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from penstock.columns import DEAD_LETTER_SCHEMA
from penstock.topics import Topic

_KEPT_ROWS = 1_000
"""Dead letters kept in memory for ``Query.dead_letters()``."""

_PRODUCER = "dead-letters"
_log = logging.getLogger("penstock")


class DeadLetters:
    """Collects what was refused, writes it with each checkpoint, remembers the latest."""

    def __init__(self) -> None:
        self.total = 0
        self.pending: list[pl.DataFrame] = []
        self._recent = pl.DataFrame(schema=DEAD_LETTER_SCHEMA)
        self._topic: Topic | None = None
        self._token = 0
        self._told: set[str] = set()
        self._kept = False

    def keep(self) -> None:
        """Hold what comes until it is taken, to be written with a checkpoint."""
        self._kept = True

    def open(self, folder: Path, token: int) -> None:
        """Keep dead letters in a topic in this folder from now on."""
        self._topic = Topic.ensure(
            str(folder), partitions=1, schema=DEAD_LETTER_SCHEMA, retention=None
        )
        self._token = token
        self.keep()
        self._topic.fence(_PRODUCER, token)

    def add(self, frames: Iterable[pl.DataFrame]) -> None:
        """Take the dead letters of an epoch; the first of each step is logged as a warning."""
        for frame in frames:
            self.total += frame.height
            self._recent = pl.concat([self._recent, frame]).tail(_KEPT_ROWS)
            if self._kept:
                self.pending.append(frame)
            for step, reason in frame.select("step", "reason").unique("step").rows():
                if step not in self._told:
                    self._told.add(step)
                    _log.warning("dead letters from %s, the first: %s", step, reason)

    def take(self) -> list[pl.DataFrame]:
        """Hand over what came since the last call, to be written with a checkpoint."""
        taken, self.pending = self.pending, []
        return taken

    def apply(self, epoch: int, frames: Sequence[pl.DataFrame]) -> None:
        """Append what belongs to a checkpoint, once."""
        if self._topic is not None:
            self._topic.append_once(_PRODUCER, epoch, self._token, frames)

    def recent(self) -> pl.DataFrame:
        """Return the latest dead letters, oldest first."""
        return self._recent

    def close(self) -> None:
        """Release the topic."""
        if self._topic is not None:
            self._topic.close()
