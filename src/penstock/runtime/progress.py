"""Frozen snapshots of a running query: all that dashboards and users ever see of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from penstock.tables_of_text import short, table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """One step. Times in seconds, watermark in nanoseconds since 1970 (None: not known).

    Of a source, ``queued_rows`` were read ahead, and ``lag_rows`` are these and what is there still
    unread (None: the source cannot tell), ``rows_lost`` were dropped before anything could fetch them
    (datagrams), and ``share_read`` is how much of a source that ends was read, from 0 to 1 (None: not
    known). ``watermark_delay_seconds`` is the processing time less the
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
    epochs: int = 0
    rows_lost: int = 0
    share_read: float | None = None

    @property
    def refuses_all(self) -> bool:
        """Whether every row that it was given so far is a dead letter."""
        given = self.rows_out + self.rows_dead if self.kind == "source" else self.rows_in
        return 0 < given <= self.rows_dead


@dataclass(frozen=True, slots=True)
class Progress:
    """A whole query. Counts and rates are of the time since it was started or restarted.

    ``recent_rows_per_second`` is of the last ten seconds. ``print(progress)`` shows a table.

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
    recent_rows_per_second: float = 0.0
    restarts: int = 0
    last_error: str | None = None

    def step(self, name: str) -> StepProgress:
        """Return one step by its name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def share_read(self) -> float | None:
        """How much of the input was read, from 0 to 1; None where a source does not end or tell."""
        shares = [step.share_read for step in self.steps if step.kind == "source"]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known and len(known) == len(shares) else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should look at: steps that refuse all that they are given."""
        return tuple(
            f"{step.name} refused every one of its {step.rows_dead:,} rows ({short(step.text)}): "
            "look at dead_letters(), and see dead_letter_limit"
            for step in self.steps
            if step.refuses_all
        )

    def __str__(self) -> str:
        checkpoint = self.checkpoint_epoch
        parts = [
            f"{self.state}, epoch {self.epoch:,}, {self.running_seconds:.1f} s",
            f"{self.rows_in:,} rows in ({self.rows_per_second:,.0f}/s, lately "
            f"{self.recent_rows_per_second:,.0f}/s)",
            f"{self.rows_out:,} out, {self.late_rows:,} late, {self.dead_letters:,} dead",
        ]
        if checkpoint is not None:
            parts.append(f"checkpoint of epoch {checkpoint:,}")
        rows = [_HEAD, *map(_cells, self.steps), _total(self.steps)]
        lines = ["; ".join(parts), *table(rows, left=_LEFT)]
        return "\n".join([*lines, *(f"! {warning}" for warning in self.warnings)])


_HEAD = (
    *("step", "rows in", "rows out", "late", "dead", "state rows", "state"),
    *("watermark", "ms/epoch", ""),
)
_LEFT = (0, len(_HEAD) - 1)


def _cells(step: StepProgress) -> tuple[str, ...]:
    counts = (step.rows_in, step.rows_out, step.rows_late, step.rows_dead, step.state_rows)
    each = step.seconds / step.epochs * 1e3 if step.epochs else 0.0
    return (
        step.name,
        *(f"{count:,}" if count else "" for count in counts),
        _bytes(step.state_bytes),
        _instant(step.watermark),
        f"{each:.2f}" if step.epochs else "",
        short(step.text),
    )


def _total(steps: tuple[StepProgress, ...]) -> tuple[str, ...]:
    """Return the sums: what sources brought, what sinks took, and the rest over all steps."""
    counts = (
        sum(step.rows_out for step in steps if step.kind == "source"),
        sum(step.rows_in for step in steps if step.kind == "sink"),
        sum(step.rows_late for step in steps),
        sum(step.rows_dead for step in steps),
        sum(step.state_rows for step in steps),
    )
    size, seconds = sum(step.state_bytes for step in steps), sum(step.seconds for step in steps)
    most = max((step.epochs for step in steps), default=0)
    each = f"{seconds / most * 1e3:.2f}" if most else ""
    return ("total", *(f"{count:,}" for count in counts), _bytes(size), "", each, "")


def _instant(watermark: int | None) -> str:
    """Write an instant as ``2024-01-01 00:00:00``; Python's own ends with year 9999."""
    if watermark is None:
        return ""
    try:
        return (_EPOCH + timedelta(microseconds=watermark // 1000)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return str(watermark)


def _bytes(size: int) -> str:
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    if not size:
        return ""
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
