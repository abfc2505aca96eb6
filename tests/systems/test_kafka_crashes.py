"""Kafka to Kafka and to PostgreSQL: our process and the servers are killed, nothing is lost or doubled.

The long form is ``make chaos-connectors``, with ``KILLS`` of the process and ``SERVER_KILLS``.
"""

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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
import psycopg
import pytest
from confluent_kafka import Producer

import penstock as ps
from tests.child_processes import ENVIRONMENT, ROOT
from tests.servers.kafka import KafkaServer, running_kafka
from tests.servers.postgres import running_postgres
from tests.systems.test_kafka import new_named_topic

KEYS = 50
KILLS = int(os.environ.get("KILLS", "5"))
SERVER_KILLS = int(os.environ.get("SERVER_KILLS", "1"))
SEED = os.environ.get("SEED", "1")


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


@pytest.mark.parametrize("target", ["kafka", "postgres"])
def test_nothing_is_lost_and_nothing_doubled(
    broker: KafkaServer, tmp_path: Path, target: str
) -> None:
    stem, rng = f"c{uuid.uuid4().hex[:8]}", random.Random(f"{SEED} {target}")
    for name in ("in", "counts", "rows"):
        new_named_topic(broker, f"{stem}-{name}", 3)
    with ExitStack() as closing:
        servers: list[Server] = [broker]
        database = ""
        if target == "postgres":
            postgres = closing.enter_context(running_postgres())
            servers.append(postgres)
            database = postgres.conninfo
        lane = Lane(broker, stem, tmp_path, database)
        load = Load(broker, f"{stem}-in")
        load.start()
        plan = ["process"] * KILLS + ["server"] * SERVER_KILLS
        rng.shuffle(plan)
        for what in plan:
            lane.kill(rng, rng.choice(servers) if what == "server" else None)
        load.finish()
        lane.finish()
        found = _in_tables(database) if database else _in_topics(broker, stem)
    _compare(*found, load.written)


class Server(Protocol):
    """What can be killed and started again."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


@dataclass
class Lane:
    """A pipeline that is started and killed."""

    server: KafkaServer
    stem: str
    folder: Path
    database: str

    def kill(self, rng: random.Random, server: Server | None) -> None:
        """Let it run, kill a server if that is wanted, let it run on, kill it."""
        child = self._start("never")
        try:
            self._goes_on(child, rng.uniform(0.5, 4.0))
            if server is not None:
                server.kill()
                server.start()
                self._goes_on(child, rng.uniform(1.0, 4.0))
        finally:
            child.kill()
            child.wait()

    def finish(self) -> None:
        """Let it come to the end of what there is."""
        last = self._start("at end")
        assert _wait(last, 120), "it did not come to the end"
        assert last.returncode == 0, self._said()

    def _start(self, stop: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.systems.kafka_copy", self.server.servers, self.stem]
        words += [str(self.folder / "kept"), stop, self.database]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(words, cwd=ROOT, env=ENVIRONMENT, stdout=log, stderr=log)

    def _goes_on(self, child: subprocess.Popen[bytes], seconds: float) -> None:
        assert not _wait(child, seconds), self._said()

    def _said(self) -> str:
        return (self.folder / "log").read_text()[-4000:]


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Tell whether it ended by itself within so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            return True
        time.sleep(0.01)
    return False


Found = tuple[list[tuple[object, ...]], list[tuple[object, ...]]]
"""Rows ``id, key`` and counts ``key, n, total``."""


def _in_topics(server: KafkaServer, stem: str) -> Found:
    def read(topic: str, schema: dict[str, pl.DataType]) -> pl.DataFrame:
        return ps.scan_kafka(
            server.servers, f"{stem}-{topic}", "json", schema, stop="at end",
            metadata=["offset", "partition"],
        ).collect()  # fmt: skip

    rows = read("rows", {"id": pl.Int64(), "key": pl.String()})
    counts = read("counts", {"key": pl.String(), "n": pl.Int64(), "total": pl.Int64()})
    newest = counts.sort("offset").group_by("key").last()
    return rows.select("id", "key").rows(), newest.select("key", "n", "total").rows()


def _in_tables(database: str) -> Found:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id, key FROM rows").fetchall()
        return rows, connection.execute("SELECT key, n, total FROM counts").fetchall()


def _compare(
    rows: list[tuple[object, ...]], counts: list[tuple[object, ...]], written: int
) -> None:
    expected = Counter[tuple[object, ...]]((n, f"k{n % KEYS}") for n in range(written))
    found = Counter(rows)
    lost, doubled = (expected - found).total(), (found - expected).total()
    said = f"kills={KILLS} server={SERVER_KILLS} rows={written} lost={lost} doubled={doubled}"
    print(said)
    assert (lost, doubled) == (0, 0), said
    wanted: dict[str, list[int]] = {}
    for n in range(written):
        wanted.setdefault(f"k{n % KEYS}", []).append(n)
    assert sorted(counts, key=repr) == sorted(
        ((key, len(ids), sum(ids)) for key, ids in wanted.items()), key=repr
    )
