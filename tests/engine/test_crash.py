"""What a run finds when it starts: the checkpoint of one that was stopped, ended or is damaged.

Runs that are killed are in ``tests/chaos``.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.manifest import decode, encode
from penstock.errors import CheckpointError, QueryFailed
from penstock.query import Query
from penstock.topics import Topic

from . import crash_pipeline

LIMIT = 60.0
"""Deadline of everything that must happen by itself."""
COLUMNS = ["id", "key", "amount"]


def line(number: int) -> str:
    row = {"id": number, "key": f"k{number % 7}", "amount": number % 5}
    return json.dumps(row) + "\n"


def spawn(source: Path, folder: Path, *more: str) -> subprocess.Popen[str]:
    script = [sys.executable, "-m", "tests.engine.crash_pipeline", str(source), str(folder), *more]
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / "src"), str(root)])
    return subprocess.Popen(
        script,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if more else None,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
    )


def put_to_sleep(process: subprocess.Popen[str]) -> None:
    """Stop every thread of a process, and wait until they have."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + LIMIT
    threads = Path(f"/proc/{process.pid}/task")
    while any(
        (t / "stat").read_text().rpartition(")")[2].split()[0] != "T" for t in threads.iterdir()
    ):
        assert time.monotonic() < deadline


class Load(threading.Thread):
    """Appends lines to a file for as long as the block lasts."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path, self._ending, self._written = path, threading.Event(), 0

    def run(self) -> None:
        with self._path.open("a") as file:
            while not self._ending.wait(0.005):
                file.writelines(line(n) for n in range(self._written, self._written + 20))
                file.flush()
                self._written += 20

    def wait_for(self, lines: int) -> None:
        until = self._written + lines
        while self._written < until:
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()


def wait_until_running(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"


def stop(process: subprocess.Popen[str]) -> None:
    process.communicate("")
    assert process.returncode == 0


def wanted(source: Path) -> list[dict[str, object]]:
    """Read the rows that pass the filter, in plain Python."""
    rows = [json.loads(text) for text in source.read_text().splitlines()]
    return [row for row in rows if row["amount"] > 0]


def counted(rows: list[dict[str, object]]) -> list[tuple[object, int, int]]:
    n, total = Counter(), Counter()  # type: ignore[var-annotated]
    for row in rows:
        n[row["key"]] += 1
        total[row["key"]] += int(str(row["amount"]))
    return sorted((key, n[key], total[key]) for key in n)


def in_sqlite(folder: Path) -> list[tuple[object, int, int]]:
    if not (folder / "counts.db").exists():
        return []
    with sqlite3.connect(folder / "counts.db") as connection:
        try:
            found = connection.execute("select key, n, total from counts").fetchall()
        except sqlite3.OperationalError:  # not created yet
            return []
    connection.close()
    return sorted(found)


def in_files(folder: Path) -> Counter[tuple[object, ...]]:
    found: Counter[tuple[object, ...]] = Counter()
    for path in (folder / "files").glob("*.ndjson"):
        found.update(pl.read_ndjson(path).select(COLUMNS).rows())
    return found


def in_topic(folder: Path) -> Counter[tuple[object, ...]]:
    rows = ps.scan_topic(folder / "topic", stop="at end").collect()
    return Counter(rows.select(COLUMNS).rows())


def check(source: Path, folder: Path) -> None:
    rows = wanted(source)
    assert in_sqlite(folder) == counted(rows)
    expected = Counter(tuple(row[c] for c in COLUMNS) for row in rows)
    for found in (in_files(folder), in_topic(folder)):
        lost, doubled = expected - found, found - expected
        assert (lost.total(), doubled.total()) == (0, 0)


def finish(source: Path, folder: Path) -> None:
    """Run until everything has arrived, then stop gracefully."""
    process = spawn(source, folder)
    wait_until_running(process)
    deadline, expected = time.monotonic() + LIMIT, counted(wanted(source))
    while in_sqlite(folder) != expected:
        assert time.monotonic() < deadline, (in_sqlite(folder), expected)
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"ended by itself with {process.wait(0.02)}")
    stop(process)


def test_a_stopped_run_goes_on_where_it_was_also_when_the_source_grew(tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    for part in range(2):
        with source.open("a") as file:
            file.writelines(line(n) for n in range(part * 500, part * 500 + 500))
        finish(source, tmp_path)
        check(source, tmp_path)


# In one process


def bounded(source: Path, folder: Path) -> Query:
    """Read the whole input in epochs of 50 rows."""
    rows = ps.scan_ndjson(source, schema=crash_pipeline.SCHEMA, epoch_rows=50)
    counts = rows.group_by("key").agg(n=pl.len().cast(pl.Int64), total=pl.col("amount").sum())
    return Query(
        *counts.sink_sqlite(folder / "counts.db", "counts", key="key").roots,
        *rows.sink_topic(folder / "topic").roots,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.ndjson"
    path.write_text("".join(line(n) for n in range(1000)))
    return path


def run_to_the_end(query: Query, checkpoint: Path) -> None:
    assert query.start(checkpoint=checkpoint, checkpoint_interval=0).wait(LIMIT)


def expected_of(source: Path) -> list[tuple[object, int, int]]:
    return counted([json.loads(text) for text in source.read_text().splitlines()])


def test_an_ended_run_is_done_once(source: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
        assert in_sqlite(tmp_path) == expected_of(source)
        assert in_topic(tmp_path).total() == 1000


def test_an_ended_run_reads_what_its_file_has_gained(source: Path, tmp_path: Path) -> None:
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    with source.open("a") as file:
        file.writelines(line(n) for n in range(1000, 1700))
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert in_sqlite(tmp_path) == expected_of(source)
    assert in_topic(tmp_path).total() == 1700


def test_a_second_run_on_the_same_checkpoint_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text(line(1))
    process = spawn(source, tmp_path)
    wait_until_running(process)
    queries = crash_pipeline.pipeline(str(source), tmp_path)
    second = Query(*(root for query in queries for root in query.roots))
    with pytest.raises(QueryFailed) as caught:
        second.start(checkpoint=tmp_path / "checkpoint").wait(LIMIT)
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert "another run holds this checkpoint" in str(caught.value)
    stop(process)
    check(source, tmp_path)


def test_a_run_that_was_taken_over_while_it_slept_writes_nothing_more(tmp_path: Path) -> None:
    """It sleeps in the midst of its work, holding the lock, and wakes up when it is replaced."""
    source = tmp_path / "in.ndjson"
    source.touch()
    with Load(source) as load:
        runs = [spawn(source, tmp_path, "takeover")]
        for _ in range(3):
            wait_until_running(runs[-1])
            load.wait_for(500)
            put_to_sleep(runs[-1])
            claimed = manifests(tmp_path)[-1]
            runs.append(spawn(source, tmp_path, "takeover"))
            deadline = time.monotonic() + LIMIT
            while manifests(tmp_path)[-1] == claimed:  # asleep, it may hold a lock of a sink too
                assert time.monotonic() < deadline
                time.sleep(0.002)
            runs[-2].send_signal(signal.SIGCONT)
            assert runs[-2].wait(LIMIT) == 1  # rows go on coming, until it is told
            _, said = runs[-2].communicate()
            assert "FencedError" in said
    runs[-1].communicate("", timeout=LIMIT)
    assert runs[-1].returncode == 0
    finish(source, tmp_path)
    check(source, tmp_path)


def manifests(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoint").glob("manifest-*[0-9]"))


def test_the_manifest_before_a_damaged_one_serves_while_no_sink_is_ahead(
    source: Path, tmp_path: Path
) -> None:
    """The second run, in which the source only ended, brought the sinks nothing."""
    for _ in range(2):
        run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    newest = manifests(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:40])
    with source.open("a") as file:
        file.writelines(line(n) for n in range(1000, 1700))
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert in_sqlite(tmp_path) == expected_of(source)
    assert in_topic(tmp_path).total() == 1700


def test_a_checkpoint_behind_its_sinks_is_refused(source: Path, tmp_path: Path) -> None:
    """Going on from the one before would skip or double what the sinks already have."""
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    earlier, newest = manifests(tmp_path)[-2:]
    newest.write_bytes(b"")
    manifest = decode(earlier.read_bytes(), str(earlier))
    assert manifest is not None
    earlier.write_bytes(encode(msgspec.structs.replace(manifest, epoch=1)))
    with pytest.raises(QueryFailed) as caught:
        run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert "behind" in str(caught.value)


def test_a_checkpoint_without_any_manifest_is_refused(source: Path, tmp_path: Path) -> None:
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    for path in manifests(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(QueryFailed) as caught:
        run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert isinstance(caught.value.__cause__, CheckpointError)


def test_a_manifest_that_was_never_applied_may_be_lost(source: Path, tmp_path: Path) -> None:
    """The state of a crash while the manifest is written: the one before it is the last."""
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    newest = manifests(tmp_path)[-1]
    torn = newest.with_name("manifest-9999999999")
    torn.write_bytes(newest.read_bytes()[:40])
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert in_sqlite(tmp_path) == expected_of(source)
    assert in_topic(tmp_path).total() == 1000


def test_state_that_is_damaged_is_named(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the error, or, where an early manifest without state is left, in a warning before it."""
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    for path in (tmp_path / "checkpoint" / "runs").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(QueryFailed) as caught:
        run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert "missing or damaged" in str(caught.value) + caplog.text


def test_the_folder_of_another_pipeline_is_refused(source: Path, tmp_path: Path) -> None:
    run_to_the_end(bounded(source, tmp_path), tmp_path / "checkpoint")
    rows = ps.scan_ndjson(source, schema=crash_pipeline.SCHEMA)
    other = rows.filter(pl.col("amount") > 3).sink_topic(tmp_path / "topic")
    with pytest.raises(QueryFailed) as caught:
        run_to_the_end(other, tmp_path / "checkpoint")
    assert isinstance(caught.value.__cause__, CheckpointError)
    assert Topic.exists(str(tmp_path / "topic"))
