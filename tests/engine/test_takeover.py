"""A run that is idle notices that it was taken over, and lets go of port and folders for the other one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from penstock.topics import Topic
from tests.child_processes import ENVIRONMENT, ROOT

LIMIT = 60


def spawn(folder: Path, port: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.engine.idle_pipeline", str(folder), str(port), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def await_running(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n", process.communicate()[1]


def test_an_idle_run_lets_go(tmp_path: Path) -> None:
    port = free_port()
    first = spawn(tmp_path, port)
    await_running(first)
    second = spawn(tmp_path, port, "takeover")
    assert first.wait(LIMIT) == 1, "it makes no checkpoint, so it looks by itself"
    assert "FencedError" in first.communicate()[1]
    await_running(second)
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(b'{"n": 7}\n')
        deadline = time.monotonic() + LIMIT
        while not sum(arrived(tmp_path).values()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    _, said = second.communicate("", timeout=LIMIT)
    assert second.returncode == 0, said
    assert "has not let go" not in said


def arrived(folder: Path) -> Mapping[int, int]:
    with Topic.open(folder / "topic") as topic:
        return topic.end_offsets()
