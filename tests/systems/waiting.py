"""Waiting for what must come, with a deadline for slow machines."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from penstock.connectors.contract import Polled, Source

PATIENCE_S = 60.0


def until(holds: Callable[[], object], what: str = "it did not come to pass") -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def polled(source: Source, rows: int, *, acknowledge: bool = True) -> list[Polled]:
    """Poll until so many rows and dead letters have come."""
    found: list[Polled] = []
    deadline = time.monotonic() + PATIENCE_S
    count = 0
    while count < rows:
        assert time.monotonic() < deadline, f"{count} of {rows} have come"
        found.append(source.poll(1000, 0.1))
        count += found[-1].frame.height + (0 if found[-1].dead is None else found[-1].dead.height)
        if acknowledge:
            source.acknowledge(found[-1].position)
    return found


def rows_of(polls: list[Polled]) -> pl.DataFrame:
    """Return the rows of polls as one frame."""
    return pl.concat(poll.frame for poll in polls)


def caught_up(source: Source) -> None:
    """Poll until there is nothing more."""
    until(lambda: source.poll(1000, 0.1).caught_up, "it did not catch up")


def ids_in(database: Path) -> list[int]:
    """Return the ids in the table ``rows`` of a SQLite file, in order; none while it is not there."""
    if not database.exists():
        return []
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute("SELECT id FROM rows ORDER BY id")]
    except sqlite3.OperationalError:  # no table yet, or it is being written
        return []
    finally:
        connection.close()


def poll_forever(source: Source) -> None:
    """Poll until it raises, or for a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        source.poll(1, 0.1)
