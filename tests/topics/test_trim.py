"""Trimming by offset, against lists, and with kills in the middle."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigError, ConnectorError
from penstock.topics import Retention, Topic
from penstock.topics.journal import Journal, Kind
from penstock.topics.store import Durability
from tests.child_processes import ENVIRONMENT, ROOT

SCHEMA = pl.Schema({"n": pl.Int64()})
KILLS = 4
LIMIT = 60.0

action = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 2), st.integers(0, 30)),
    st.tuples(st.just("trim"), st.integers(0, 2), st.integers(0, 100)),
    st.tuples(st.just("reopen"), st.just(0), st.just(0)),
)


class Model:
    """A partition as a list of batches; trimmed ones are only counted."""

    def __init__(self) -> None:
        self.start = 0
        self.batches: list[list[int]] = []

    @property
    def end(self) -> int:
        return self.start + sum(map(len, self.batches))

    def trim(self, offset: int) -> None:
        while self.batches and self.start + len(self.batches[0]) <= offset:
            self.start += len(self.batches.pop(0))


@given(st.lists(action, max_size=30))
def test_trim_does_what_lists_do(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("topic")
    topic = Topic.create(folder, partitions=3, schema=SCHEMA)
    models = [Model() for _ in range(3)]
    count = 0
    for kind, number, size in actions:
        model = models[number]
        if kind == "append":
            values = list(range(count, count + size))
            count += size
            topic.append(pl.DataFrame({"n": values}, schema=SCHEMA), partition=number)
            if values:
                model.batches.append(values)
        elif kind == "trim":
            offset = model.end * size // 100
            topic.trim({number: offset})
            model.trim(offset)
        else:
            topic.close()
            topic = Topic.open(folder)
        assert topic.start_offsets() == {n: m.start for n, m in enumerate(models)}
        assert topic.end_offsets() == {n: m.end for n, m in enumerate(models)}
        for partition, m in enumerate(models):
            held = topic.read(partition, m.start).frame["n"].to_list()
            assert held == [value for batch in m.batches for value in batch]
            if m.start:
                with pytest.raises(ConnectorError, match="dropped"):
                    topic.read(partition, m.start - 1)
    topic.close()


def test_trim_refuses_what_is_not_there(tmp_path: Path) -> None:
    with Topic.create(tmp_path, partitions=1, schema=SCHEMA) as topic:
        with pytest.raises(ConfigError, match="no partition 3"):
            topic.trim({3: 0})
        with pytest.raises(ConnectorError, match="no offset 1"):
            topic.trim({0: 1})


def test_trim_gives_the_disk_back_and_goes_with_retention(tmp_path: Path) -> None:
    keep = Retention(age=timedelta(days=1), size_bytes=1 << 40)
    with Topic.create(tmp_path, partitions=1, schema=SCHEMA, retention=keep) as topic:
        noise = pl.int_range(500_000, eager=True).hash(1).reinterpret(signed=True)
        for _ in range(12):
            topic.append(pl.DataFrame({"n": noise}))
        with topic._store.reading() as connection:
            before = connection.execute("PRAGMA page_count").fetchone()[0]
        topic.trim({0: 12 * 500_000})
        with topic._store.reading() as connection:
            assert connection.execute("PRAGMA page_count").fetchone()[0] < before / 2
            assert connection.execute("SELECT bytes FROM partitions").fetchone() == (0,)
        topic.append(pl.DataFrame({"n": [1]}))
        topic.trim()
        assert topic.read(0, 12 * 500_000).frame["n"].to_list() == [1]


@contextmanager
def writing(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.topics.trimming_process", str(folder)],
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


def test_kills_during_append_and_trim_tear_nothing(tmp_path: Path) -> None:
    """Rows, dead letters and note count the same; what was printed as kept is kept."""
    rng = random.Random(7)
    for _ in range(KILLS):
        with writing(tmp_path) as process:
            assert process.stdout is not None
            said = int(process.stdout.readline())
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.4))
            process.kill()
            said = int(([str(said), *process.stdout.read().split("\n")[:-1]])[-1])
        check(tmp_path, said)


def check(folder: Path, said: int) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        with suppress(ConnectorError):  # the dead process may hold its lock for another moment
            journal = Journal(folder, SCHEMA)
            break
        assert time.monotonic() < deadline
    starts, ends = journal.starts(), journal.ends()
    assert said <= ends[Kind.ROWS]
    assert journal.note() == str(ends[Kind.ROWS]).encode()
    assert ends[Kind.DEAD_LETTERS] == ends[Kind.ROWS] // 10
    for kind in Kind:
        offset, step = starts[kind], 10 if kind is Kind.DEAD_LETTERS else 1
        while offset < ends[kind]:
            records = journal.read(kind, offset, 10_000)
            values = range(offset * step, (offset + records.frame.height) * step, step)
            assert records.frame.to_series().cast(pl.Int64).to_list() == list(values)
            offset = records.next_offset
    assert (
        journal.append(pl.DataFrame(schema=SCHEMA), None, journal.note() or b"", {}, Durability.OS)
        == 0
    )
    journal.close()
