"""The short form: a few kills of every pipeline, and proof that the count would see a mistake."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.child_processes import ENVIRONMENT, ROOT

KILLS = 20


def chaos(**more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos"],
        env={**ENVIRONMENT, "KILLS": str(KILLS), **more},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_kills_at_any_instant_lose_and_double_nothing() -> None:
    done = chaos(SEED=os.environ.get("SEED", "1"))  # make chaos draws a new one each time
    said = f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    last = done.stdout.splitlines()[-1]
    kills, rest = last.split(" ", 1)
    assert rest == "lost=0 doubled=0", said
    assert int(kills.removeprefix("kills=")) >= KILLS
