"""Frozen snapshots of a running query: all that dashboards and users ever see of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step. Times in seconds, watermark in nanoseconds since 1970 (None: not known).

    Of a source, ``queued_rows`` were read ahead, and ``lag_rows`` are these and what is there still
    unread (None: the source cannot tell), ``rows_lost`` were dropped before anything could fetch them
    (datagrams). ``watermark_delay_seconds`` is the processing time less the
    watermark: how old the newest complete results are.
    """

    name: str
    kind: str
    text: str
    inputs: tuple[str, ...]
    rows_in: int
    rows_out: int
    rows_late: int
    rows_dead: int
    state_rows: int
    state_bytes: int
    seconds: float
    last_epoch_seconds: float
    watermark: int | None
    queued_rows: int
    lag_rows: int | None = None
    watermark_delay_seconds: float | None = None
    rows_lost: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A whole query. Counts and rates are of the time since it was started or restarted.

    ``state``: created, running, restarting (waiting to be started again), finished, stopped, failed.
    ``restarts``: how often it was started again after a failure; ``last_error``: what that said.
    """

    state: str
    epoch: int
    rows_in: int
    rows_out: int
    rows_per_second: float
    dead_letters: int
    late_rows: int
    running_seconds: float
    checkpoint_epoch: int | None
    steps: tuple[StepProgress, ...]
    restarts: int = 0
    last_error: str | None = None

    def step(self, name: str) -> StepProgress:
        """Return one step by its name."""
        return next(step for step in self.steps if step.name == name)
