"""Real sockets, real senders, and a process that is killed at random instants."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl

import penstock as ps
from penstock.errors import ConfigError
from penstock.topics import Topic
from tests.child_processes import ENVIRONMENT, ROOT
from tests.connectors.senders import free_port

from .careful_senders import CarefulSender, CarelessSender

KILLS = int(os.environ.get("PENSTOCK_TEST_KILLS", "6"))
LIMIT = 60.0


@contextmanager
def pipelines(folder: Path, port: int, tcp_port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.connectors.durable.crash_pipeline"]
        + [str(folder), str(port), str(tcp_port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_running(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"


def appended(folder: Path, name: str) -> int:
    """Return how many rows the topic of a source has ever taken."""
    path = folder / "checkpoint" / "arrivals" / name
    try:
        with Topic.open(path) as topic:
            return topic.end_offsets()[0]
    except ConfigError:  # it is not there, or not created wholly
        return 0


def output(folder: Path, name: str) -> dict[str, list[int]]:
    try:
        rows = ps.scan_topic(folder / name, stop="at end").collect()
    except ConfigError:
        return {}
    groups = rows.group_by("sender", maintain_order=True).agg("number")
    return dict(groups.select("sender", "number").rows())


def dead(folder: Path) -> list[str]:
    with Topic.open(folder / "checkpoint" / "dead-letters") as topic:
        letters = topic.read(0, 0, max_rows=1 << 20).frame
    return letters.filter(pl.col("step") == "words")["position"].to_list()


def test_nothing_acknowledged_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    port, tcp_port, rng = free_port(), free_port(), random.Random(3)
    careful = [CarefulSender(f"s{n}", port, n) for n in range(2)]
    careless = CarelessSender(tcp_port)
    for sender in (*careful, careless):
        sender.start()
    plain = f"tcp-listen-127.0.0.1-{tcp_port}"
    before = 0
    for _ in range(KILLS):
        with pipelines(tmp_path, port, tcp_port) as process:
            if rng.random() < 0.8:
                wait_until_running(process)
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.6))
        after = appended(tmp_path, plain)
        assert after >= before  # an append that a process has come to rely on is never taken back
        before = after
    with pipelines(tmp_path, port, tcp_port) as process:
        wait_until_running(process)
        for sender in careful:
            sender.finish()
        careless.finish()
        deadline = time.monotonic() + LIMIT
        while sum(map(len, output(tmp_path, "lines").values())) < appended(tmp_path, plain):
            assert time.monotonic() < deadline
        process.communicate("", timeout=LIMIT)
        assert process.returncode == 0
    safe, lines = output(tmp_path, "safe"), output(tmp_path, "lines")
    for sender in careful:
        wanted = [n for n in range(sender.produced) if n not in sender.bad]
        assert wanted
        assert safe[sender.sender] == wanted
    refused = [f"{s.sender} {n}" for s in careful for n in sorted(s.bad)]
    assert sorted(dead(tmp_path)) == sorted(refused)
    assert sum(map(len, lines.values())) == appended(tmp_path, plain) > 0
    for name, numbers in lines.items():  # of each connection what had arrived, in order, once
        assert numbers == list(range(len(numbers)))
        assert len(numbers) <= careless.sent[name]
