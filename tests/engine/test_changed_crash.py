"""A pipeline that changes from one start to the next, killed again and again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.child_processes import ENVIRONMENT, ROOT
from tests.engine.changing_pipeline import REBUILDS, VERSIONS
from tests.engine.test_crash import (
    LIMIT,
    counted,
    in_sqlite,
    line,
    stop,
    wait_until_running,
    wanted,
)

KILLS = int(os.environ.get("KILLS", "6"))


class Writer(threading.Thread):
    """Appends lines to a file, in pieces that end anywhere, until told to finish."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._finish = path, threading.Event()

    def run(self) -> None:
        rng, number = random.Random(5), 0
        with self._path.open("a") as file:
            while not self._finish.wait(0.02):
                text = "".join(line(n) for n in range(number, number + rng.randint(1, 60)))
                number += text.count("\n")
                cut = rng.randint(0, len(text))
                for piece in (text[:cut], text[cut:]):
                    file.write(piece)
                    file.flush()

    def finish(self) -> None:
        self._finish.set()
        self.join()


def kill_after(process: subprocess.Popen[str], seconds: float) -> None:
    """Kill a process some time from now, unless it ends before."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.communicate()


def spawn(source: Path, folder: Path, version: int) -> subprocess.Popen[str]:
    module = "tests.engine.changing_pipeline"
    return subprocess.Popen(
        [sys.executable, "-m", module, str(source), str(folder), str(version)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


def finish(source: Path, folder: Path, version: int) -> None:
    """Run one version until everything has arrived, then stop it gracefully."""
    process = spawn(source, folder, version)
    wait_until_running(process)
    deadline, expected = time.monotonic() + LIMIT, counted(wanted(source))
    while in_sqlite(folder) != expected:
        assert time.monotonic() < deadline, (in_sqlite(folder), expected)
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended by itself with {process.wait(0.02)}")
    stop(process)


def test_kept_state_survives_kills_whatever_version_comes_next(tmp_path: Path) -> None:
    source, rng = tmp_path / "in.ndjson", random.Random(7)
    source.touch()
    writer = Writer(source)
    writer.start()
    for number in range(KILLS):
        process = spawn(source, tmp_path, number % VERSIONS)
        if rng.random() < 0.8:
            wait_until_running(process)
        kill_after(process, rng.uniform(0, 0.5))
    writer.finish()
    for version in (0, REBUILDS, 1):
        finish(source, tmp_path, version)
