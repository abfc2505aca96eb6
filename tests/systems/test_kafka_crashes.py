"""Kafka to Kafka through kills of our process and of the broker: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer

import penstock as ps
from tests.child_processes import ENVIRONMENT, ROOT
from tests.servers.kafka import KafkaServer, running_kafka
from tests.systems.test_kafka import new_named_topic

KEYS = 50
KILLS = int(os.environ.get("KILLS", "5"))
BROKER_KILLS = int(os.environ.get("BROKER_KILLS", "1"))


@pytest.fixture
def broker() -> Iterator[KafkaServer]:
    with running_kafka() as server:
        yield server


class Load(threading.Thread):
    """Produces numbered rows until it is told to finish; each is there once it has finished."""

    def __init__(self, server: KafkaServer, topic: str) -> None:
        super().__init__(daemon=True)
        self.written = 0
        self._topic = topic
        self._producer = Producer(
            {"bootstrap.servers": server.servers, "enable.idempotence": True, "log_level": 0}
        )
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(0.01):
            for _ in range(20):
                number = self.written
                value = b'{"id": %d, "key": "k%d"}' % (number, number % KEYS)
                self._producer.produce(self._topic, value, partition=number % 3)
                self.written += 1
            self._producer.poll(0)

    def finish(self) -> None:
        self._ending.set()
        self.join()
        assert self._producer.flush(60) == 0


def test_nothing_is_lost_and_nothing_doubled(broker: KafkaServer, tmp_path: Path) -> None:
    stem, rng = f"c{uuid.uuid4().hex[:8]}", random.Random(1)
    for name in ("in", "counts", "rows"):
        new_named_topic(broker, f"{stem}-{name}", 3)
    load = Load(broker, f"{stem}-in")
    load.start()
    plan = ["process"] * KILLS + ["broker"] * BROKER_KILLS
    rng.shuffle(plan)
    for what in plan:
        child = _child(broker, stem, tmp_path, "never")
        child_ended = _wait(child, rng.uniform(0.5, 4.0))
        assert not child_ended, (tmp_path / "log").read_text()[-4000:]
        if what == "broker":
            broker.kill()
            broker.start()
            assert not _wait(child, rng.uniform(1.0, 4.0)), (tmp_path / "log").read_text()[-4000:]
        child.kill()
        child.wait()
    load.finish()
    last = _child(broker, stem, tmp_path, "at end")
    assert _wait(last, 120), "it did not come to the end"
    assert last.returncode == 0, (tmp_path / "log").read_text()[-4000:]
    _compare(broker, stem, load.written)


def _child(server: KafkaServer, stem: str, folder: Path, stop: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.systems.kafka_copy", server.servers, stem]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*words, str(folder / "kept"), stop], cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log
        )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Tell whether it ended by itself within so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            return True
        time.sleep(0.01)
    return False


def _compare(server: KafkaServer, stem: str, written: int) -> None:
    def read(topic: str, schema: dict[str, pl.DataType]) -> pl.DataFrame:
        return ps.scan_kafka(
            server.servers, f"{stem}-{topic}", "json", schema, stop="at end",
            metadata=["offset", "partition"],
        ).collect()  # fmt: skip

    rows = read("rows", {"id": pl.Int64(), "key": pl.String()})
    found = Counter(rows.select("id", "key").rows())
    expected = Counter((n, f"k{n % KEYS}") for n in range(written))
    lost, doubled = (expected - found).total(), (found - expected).total()
    assert (lost, doubled) == (0, 0), f"kills={KILLS} lost={lost} doubled={doubled}"
    counts = read("counts", {"key": pl.String(), "n": pl.Int64(), "total": pl.Int64()})
    newest = counts.sort("offset").group_by("key").last().sort("key")
    wanted: dict[str, list[int]] = {}
    for n in range(written):
        wanted.setdefault(f"k{n % KEYS}", []).append(n)
    assert newest.select("key", "n", "total").rows() == sorted(
        (key, len(ids), sum(ids)) for key, ids in wanted.items()
    )
