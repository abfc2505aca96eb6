"""What ``penstock run`` shows while it runs: a bar, one updating line, plain lines, or JSON."""

from __future__ import annotations

import enum
import time
from typing import Protocol

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Drawn

from penstock.runtime.progress import Progress

LINE_EVERY_S = 10.0
"""Seconds between lines where there is no terminal."""

JSON_EVERY_S = 1.0
"""Seconds between snapshots with ``--json``."""


class Shown(enum.Enum):
    """How the progress of a run is shown."""

    AUTO = "auto"
    JSON = "json"
    NOTHING = "nothing"


class View(Protocol):
    """Shows snapshots of a run, one after another, and the last one."""

    def show(self, progress: Progress) -> None:
        """Show where the run stands."""

    def end(self, progress: Progress | None) -> None:
        """Show how it ended, if that is known, and leave the screen."""


def view(shown: Shown, *, has_screen: bool) -> View:
    """Return the view that fits; ``has_screen``: a sink of the run draws on the terminal itself."""
    console = Console(stderr=True)
    if shown is Shown.JSON:
        return JsonLines()
    if console.is_terminal and not has_screen and shown is Shown.AUTO:
        return Line(console)
    return PlainLines(LINE_EVERY_S if shown is Shown.AUTO and not has_screen else float("inf"))


def summary(progress: Progress) -> str:
    """Return one line about a run that has ended."""
    return (
        f"{progress.rows_in:,} rows in, {progress.rows_out:,} out, "
        f"{progress.dead_letters:,} dead letters, {progress.running_seconds:.1f} s"
    )


def _line(progress: Progress) -> str:
    """Return where a run stands: ``running, epoch 12, 5,000 rows in (1,200/s), 3 out, 1 late``."""
    parts = [
        f"{progress.state}, epoch {progress.epoch:,}",
        f"{progress.rows_in:,} rows in ({progress.recent_rows_per_second:,.0f}/s)",
        f"{progress.rows_out:,} out",
    ]
    lags = [step.lag_rows for step in progress.steps if step.lag_rows is not None]
    if sum(lags):
        parts.append(f"{sum(lags):,} waiting")
    for count, what in ((progress.late_rows, "late"), (progress.dead_letters, "dead")):
        if count:
            parts.append(f"{count:,} {what}")
    if progress.last_error is not None:
        parts.append(progress.last_error.splitlines()[0])
    return ", ".join(parts)


class Line:
    """One line of a terminal, written over again; a bar with the time left where input ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: Drawn | None = None
        self._bounded = False

    def show(self, progress: Progress) -> None:
        """Move the bar or the line on."""
        share = progress.share_read
        if self._drawn is None or self._bounded != (share is not None):
            self._begin(bounded=share is not None)
        assert self._drawn is not None
        self._drawn.update(self._drawn.task_ids[0], completed=share or 0.0, text=_line(progress))

    def _begin(self, *, bounded: bool) -> None:
        self._leave()
        self._bounded = bounded
        bar = (BarColumn(20), TimeRemainingColumn(compact=True)) if bounded else (SpinnerColumn(),)
        text = TextColumn("{task.fields[text]}", markup=False)
        self._drawn = Drawn(*bar, text, console=self._console, transient=True)
        self._drawn.add_task("", total=1.0 if bounded else None, text="")
        self._drawn.start()

    def _leave(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None

    def end(self, progress: Progress | None) -> None:
        """Give the terminal back, with a summary."""
        self._leave()
        if progress is not None:
            typer.echo(summary(progress), err=True)


class PlainLines:
    """A line on standard error each ``every_s`` seconds, for logs and pipes."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last = time.monotonic()

    def show(self, progress: Progress) -> None:
        """Print a line if it is time."""
        if time.monotonic() - self._last >= self._every_s:
            self._last = time.monotonic()
            typer.echo(_line(progress), err=True)

    def end(self, progress: Progress | None) -> None:
        """Print a summary."""
        if progress is not None:
            typer.echo(summary(progress), err=True)


class JsonLines:
    """Snapshots on standard output, one JSON object a line: the fields of ``Progress``."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def show(self, progress: Progress) -> None:
        """Print a snapshot if it is time."""
        if time.monotonic() - self._last >= JSON_EVERY_S:
            self._last = time.monotonic()
            self.end(progress)

    def end(self, progress: Progress | None) -> None:
        """Print the last snapshot."""
        if progress is not None:
            typer.echo(msgspec.json.encode(progress).decode())
