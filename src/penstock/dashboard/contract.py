"""What the dashboard knows of a run; ``penstock.Query`` is one."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from penstock.runtime.progress import Progress, Rows


class Looking(Protocol):
    """What is measured only while somebody looks."""

    def attend(self) -> None:
        """From now on somebody may look."""

    def look(self) -> None:
        """Somebody looks, for the next seconds."""

    def tail(self, step: str) -> Rows | None:
        """Return the latest rows of a step."""

    def contents(self, sink: str) -> Rows | None:
        """Return what a sink holds."""


class Watched(Protocol):
    """A run: its snapshots, and the commands that the page has."""

    @property
    def watch(self) -> Looking:
        """What is measured only while somebody looks."""

    def progress(self) -> Progress:
        """Return a snapshot."""

    def dead_letters(self) -> pl.DataFrame:
        """Return the latest dead letters."""

    def pause(self) -> None:
        """Take no rows until ``resume``."""

    def resume(self) -> None:
        """Go on after ``pause``."""

    def request_stop(self) -> None:
        """Ask the run to finish its epoch, make a last checkpoint and end."""
