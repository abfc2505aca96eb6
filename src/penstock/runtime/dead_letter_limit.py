"""When too many rows are refused for the run to go on."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from penstock.errors import ConfigError, DeadLetterLimitError

SHARE_OF_ROWS = 10_000
"""Rows that a share is taken of, unless it says so: enough that one bad row is not one percent."""

_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*(?:of\s+([\d_,]+))?\s*")
_REASONS = 3

Limit = int | str
"""Rows of a run, or a share of the last rows: ``100``, ``"1%"``, ``"1% of 100_000"``."""


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """More than ``rows`` dead letters are too many: of the run, or of its last ``among`` rows."""

    rows: float
    among: int | None = None

    @classmethod
    def parse(cls, given: Limit, step: str) -> DeadLetterLimit:
        """Read what users write."""
        if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
            return cls(given)
        found = _SHARE.fullmatch(given) if isinstance(given, str) else None
        if found is None or not 0 < float(found[1]) <= 100:
            raise ConfigError(
                f"not a limit of dead letters: {given!r}",
                step=step,
                value=given,
                hint='give a number of rows, such as 100, or a share of the last rows: "1%", '
                '"0.5% of 100_000"',
            )
        among = int(re.sub("[_,]", "", found[2])) if found[2] else SHARE_OF_ROWS
        return cls(float(found[1]) / 100 * among, among)

    def __str__(self) -> str:
        rows = f"{self.rows:,.0f}" if self.rows == int(self.rows) else f"{self.rows:,}"
        return rows if self.among is None else f"{rows} of the last {self.among:,} rows"


class LimitWatch:
    """Counts the rows of a run and those refused, and says when it is too many."""

    def __init__(self, limit: DeadLetterLimit | None) -> None:
        self._limit = limit
        self._epochs: deque[tuple[int, int]] = deque()
        self._rows = self._dead = 0
        self._reasons: dict[tuple[str, str], None] = {}

    def note(self, rows: int, letters: Iterable[pl.DataFrame]) -> None:
        """Take the rows that sources brought in an epoch, and its dead letters."""
        if self._limit is None:
            return
        dead = 0
        for frame in letters:
            new = frame.filter(pl.col("weight") > 0)
            dead += new.height
            if len(self._reasons) < _REASONS:
                self._reasons.update(dict.fromkeys(new.select("step", "reason").rows()))
        self._epochs.append((rows, dead))
        self._rows, self._dead = self._rows + rows, self._dead + dead
        among = self._limit.among
        while among is not None and self._rows - self._epochs[0][0] >= among:
            gone = self._epochs.popleft()
            self._rows, self._dead = self._rows - gone[0], self._dead - gone[1]

    @property
    def exceeded(self) -> bool:
        """Whether it is too many. An epoch larger than the rows looked at counts by its share."""
        if self._limit is None:
            return False
        among = self._limit.among
        scale = 1.0 if among is None else max(self._rows / among, 1.0)
        return self._dead > self._limit.rows * scale

    def error(self, *, kept: bool) -> DeadLetterLimitError:
        """Return the error that stops the run; ``kept`` if there is a checkpoint to go on from."""
        first = "; ".join(f"{step}: {reason}" for step, reason in list(self._reasons)[:_REASONS])
        again = (
            "everything so far is in the checkpoint: repair the pipeline, run it again, and replay "
            "the dead letters"
            if kept
            else "repair the pipeline; with checkpoint= the next run would go on from here"
        )
        return DeadLetterLimitError(
            f"{self._dead:,} dead letters are more than dead_letter_limit={self._limit} allows; "
            f"the first: {first}",
            step="run",
            value=self._dead,
            hint=again,
            line="",
        )
