"""The example program by itself: it follows a log, ends by Ctrl-C and goes on where it was."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.cli.demo.traffic import Site
from tests.child_processes import ENVIRONMENT, ROOT, interruptible

STARTS_WITHIN_S = 60.0


def counted(folder: Path) -> int:
    """Return how many requests are in the table of statuses."""
    if not (folder / "traffic.db").exists():
        return 0
    with closing(sqlite3.connect(folder / "traffic.db")) as database:
        try:
            return int(database.execute("SELECT sum(requests) FROM statuses").fetchone()[0] or 0)
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def run_until(log: Path, folder: Path, requests: int) -> None:
    """Run the program until it has counted so many requests, and end it as by Ctrl-C."""
    command = [sys.executable, str(ROOT / "examples" / "web_traffic.py"), str(log), str(folder)]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, preexec_fn=interruptible
    )
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while counted(folder) < requests:
            assert time.monotonic() < until, f"{counted(folder)} of {requests} requests"
            with pytest.raises(subprocess.TimeoutExpired):  # it must not end by itself
                process.wait(timeout=0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.communicate()


def test_goes_on_where_it_ended(tmp_path: Path) -> None:
    site = Site(datetime(2026, 5, 17, 8, tzinfo=UTC), seed=3)
    log, folder = tmp_path / "access.log", tmp_path / "results"
    whole = [line for line in site.lines_until(1200) if line.endswith('"')]
    half = len(whole) // 2
    log.write_text("".join(f"{line}\n" for line in whole[:half]))
    run_until(log, folder, half)
    assert counted(folder) == half
    with log.open("a") as file:
        file.writelines(f"{line}\n" for line in whole[half:])
    run_until(log, folder, len(whole))
    assert counted(folder) == len(whole)
