"""Dead letters of a run: kept in a topic beside the checkpoint, or the latest in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from penstock.runtime.letters import LETTER_SCHEMA
from penstock.runtime.progress import StepProgress
from penstock.tables_of_text import short
from penstock.topics import Topic

_KEPT_ROWS = 1_000
"""Dead letters kept in memory for ``Query.dead_letters()``."""

WARN_AT_ROWS = 1_000
"""A step that refuses so many rows and passes none is told of while the query runs."""

_PRODUCER = "dead-letters"
_log = logging.getLogger("penstock")


class DeadLetters:
    """Collects what was refused, writes it with each checkpoint, remembers the latest."""

    def __init__(self) -> None:
        self.total = 0
        self.pending: list[pl.DataFrame] = []
        self._recent = pl.DataFrame(schema=LETTER_SCHEMA)
        self._topic: Topic | None = None
        self._token = 0
        self._told: set[str] = set()
        self._kept = False
        self.applied: int | None = None
        """The epoch of the newest letters that the topic had when it was opened."""

    def keep(self) -> None:
        """Hold what comes until it is taken, to be written with a checkpoint."""
        self._kept = True

    def open(self, folder: Path, token: int) -> None:
        """Keep dead letters in a topic in this folder from now on."""
        self._topic = Topic.ensure(str(folder), partitions=1, schema=LETTER_SCHEMA, retention=None)
        self._token = token
        self.keep()
        self.applied = self._topic.fence(_PRODUCER, token)

    def add(self, frames: Iterable[pl.DataFrame]) -> None:
        """Take the dead letters of an epoch, to be written with a checkpoint."""
        frames = list(frames)
        self.note(frames)
        if self._kept:
            self.pending += frames

    @property
    def pending_rows(self) -> int:
        """How many wait to be written."""
        return sum(frame.height for frame in self.pending)

    def note(self, frames: Iterable[pl.DataFrame]) -> None:
        """Count and remember dead letters; the first of each step is logged as a warning."""
        for frame in frames:
            self.total += frame.filter(pl.col("weight") > 0).height
            last = pl.DataFrame(frame.tail(_KEPT_ROWS).rows(), frame.schema, orient="row")
            self._recent = pl.concat([self._recent, last]).tail(_KEPT_ROWS)  # not all of a flood
            for step, reason in frame.select("step", "reason").unique("step").rows():
                if step not in self._told:
                    self._told.add(step)
                    _log.warning("dead letters from %s, the first: %s", step, reason)

    def take(self) -> list[pl.DataFrame]:
        """Hand over what came since the last call, to be written with a checkpoint."""
        taken, self.pending = self.pending, []
        return taken

    def warn_of(self, steps: Iterable[StepProgress], *, at_least: int) -> None:
        """Log a warning of steps that refuse every row, once each: the query looks well else."""
        for step in steps:
            told = f"all {step.name}"
            if step.rows_dead >= at_least and step.refuses_all and told not in self._told:
                self._told.add(told)
                _log.warning(
                    "%s has refused every one of its %d rows; dead_letter_limit= stops such a run",
                    f"{step.name} ({short(step.text)})",
                    step.rows_dead,
                )

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
