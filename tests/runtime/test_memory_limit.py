"""Queries whose state is several times the memory they are allowed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .memory_program import KINDS

LIMIT = 6_000_000
ANONYMOUS = 180_000_000
"""What a process of little state takes (70 to 110 MB), the limit, and what an epoch needs."""

SWINGING = ("as-of join",)
"""Needs from 60 to 250 MB for an epoch, by how far one of its sources was read ahead."""

IN_CI = ("join", "process", "top_k of changes")
"""About three seconds of one core each; the others run at night."""

CASES = [pytest.param(kind, marks=[] if kind in IN_CI else [pytest.mark.nightly]) for kind in KINDS]


def result(kind: str, *memory: str) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.runtime.memory_program", kind, *memory]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("kind", CASES)
def test_state_beyond_the_limit_is_moved_to_files(kind: str) -> None:
    """Same result as without a limit; the budget's count and the process's memory stay bounded."""
    free, limited = result(kind), result(kind, str(LIMIT))
    assert limited["total"] == free["total"]
    assert limited["rows"] == free["rows"] > 300_000
    assert free["counted"] == 0
    assert limited["state"] > 4 * LIMIT
    assert limited["counted"] <= LIMIT
    assert limited["anonymous"] < (2 if kind in SWINGING else 1) * ANONYMOUS
