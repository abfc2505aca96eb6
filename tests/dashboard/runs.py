"""Runs to look at: a real one that never ends, and made-up snapshots."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.runtime.letters import LETTER_SCHEMA
from penstock.runtime.progress import Progress, Rows, StepProgress

BAD_EVERY = 7
ROWS_PER_S = 40


def counting(folder: Path) -> ps.Query:
    """Rows by key, some of them refused, into a table."""
    text = pl.when(pl.col("offset") % BAD_EVERY == 3).then(pl.lit("bad")).otherwise(pl.lit("12"))
    rows = ps.scan_rate(ROWS_PER_S).with_columns(
        key=pl.format("key {}", pl.col("offset") % 5), text=text
    )
    numbers = rows.with_columns(number=pl.col("text").cast(pl.Int64))
    counts = numbers.group_by("key").agg(pl.len().alias("rows"), pl.col("number").sum())
    return counts.sink_sqlite(folder / "counts.db", "counts", key="key")


class Looked:
    """What nobody measured."""

    def attend(self) -> None:
        """Nothing to begin."""

    def look(self) -> None:
        """Nothing to measure."""

    def tail(self, _: str) -> Rows | None:
        """No rows."""
        return None

    def contents(self, _: str) -> Rows | None:
        """No rows."""
        return None


@dataclass
class MadeUp:
    """A run whose snapshots a test makes."""

    snapshot: Progress
    watch: Looked = field(default_factory=Looked)
    commands: list[str] = field(default_factory=list)

    def progress(self) -> Progress:
        """Return what the test gave."""
        return self.snapshot

    def dead_letters(self) -> pl.DataFrame:
        """Return none."""
        return pl.DataFrame(schema=LETTER_SCHEMA)

    def pause(self) -> None:
        """Note it."""
        self.commands.append("pause")

    def resume(self) -> None:
        """Note it."""
        self.commands.append("resume")

    def request_stop(self) -> None:
        """Note it."""
        self.commands.append("stop")


def step(name: str, *inputs: str, kind: str = "map", **figures: object) -> StepProgress:
    """Return a step of which only the figures given are not zero."""
    zero = dict.fromkeys(
        ("rows_in", "rows_out", "rows_late", "rows_dead", "state_rows", "state_bytes"), 0
    )
    other = {"seconds": 0.0, "last_epoch_seconds": 0.0, "watermark": None, "queued_rows": 0}
    shown = {"text": f"Map {name}", **zero, **other, **figures}
    return StepProgress(name=name, kind=kind, inputs=inputs, **shown)  # type: ignore[arg-type]


def progress(*steps: StepProgress, **figures: object) -> Progress:
    """Return a snapshot of a run with these steps."""
    given = {
        "state": "running",
        "epoch": 1,
        "rows_in": 0,
        "rows_out": 0,
        "rows_per_second": 0.0,
        "dead_letters": 0,
        "late_rows": 0,
        "running_seconds": 1.0,
        "checkpoint_epoch": None,
        **figures,
    }
    return Progress(steps=steps, **given)  # type: ignore[arg-type]


def ladder(steps: int) -> Progress:
    """Return a run of many steps, five beside each other."""
    made = [step("source-1", kind="source", text="Scan made up")]
    for number in range(1, steps - 1):
        above = made[max(0, number - 5)].name
        made.append(step(f"map-{number}", above, rows_in=number))
    last = made[-1].name
    made.append(step("sink-1", last, kind="sink", text="Sink made up", blocked=True))
    return progress(*made)
