"""Pipelines whose disks fill up, whose database goes away, whose clock jumps: what they do then.

Where a real failure needs a mount that is not permitted, the test is skipped; the same failure made
at the checkpoint's storage, or by a limit of the system, is tested everywhere.
"""

from __future__ import annotations

import contextlib
import errno
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock.checkpoints.storage import LocalStorage
from penstock.errors import QueryFailed
from penstock.query import Query
from penstock.runtime.clock import SystemClock
from tests.child_processes import ENVIRONMENT, ROOT
from tests.servers.postgres import PostgresServer, running_postgres

from .small_disk import SmallDisk, read_only, small_disk

LIMIT = 120.0
FAST = ps.Restart(initial_backoff="10ms", max_backoff="100ms")
SCHEMA = {"id": pl.Int64(), "text": pl.String()}
Found = Callable[[Path], list[int]]


def append(log: Path, ids: range) -> None:
    with log.open("a") as file:
        file.writelines(json.dumps({"id": n, "text": f"{n:0100}"}) + "\n" for n in ids)


def until(query: Query, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline, query.progress()
        assert not query.wait(0.01), "it ended by itself"


def rows(log: Path) -> ps.Stream:
    return ps.scan_tail(log, "json", schema=SCHEMA)


def in_sqlite(folder: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(folder / "out.db")) as connection:
        return sorted(n for (n,) in connection.execute("select id from t"))


def in_duckdb(folder: Path) -> list[int]:
    with duckdb.connect(str(folder / "out.duckdb")) as connection:
        return sorted(n for (n,) in connection.execute("select id from t").fetchall())


def in_topic(folder: Path) -> list[int]:
    return sorted(ps.scan_topic(folder / "topic", stop="at end").collect()["id"].to_list())


def in_files(folder: Path) -> list[int]:
    paths = sorted((folder / "files").glob("part-*"))
    read = pl.read_parquet if paths[0].suffix == ".parquet" else pl.read_ndjson
    return sorted(n for path in paths for n in read(path)["id"].to_list())


SINKS: dict[str, tuple[Callable[[ps.Stream, Path], Query], Found]] = {
    "sqlite": (lambda s, folder: s.sink_sqlite(folder / "out.db", "t"), in_sqlite),
    "duckdb": (lambda s, folder: s.sink_duckdb(folder / "out.duckdb", "t"), in_duckdb),
    "topic": (lambda s, folder: s.sink_topic(folder / "topic"), in_topic),
    "parquet": (lambda s, folder: s.sink_files(folder / "files", roll_after=None), in_files),
    "ndjson": (
        lambda s, folder: s.sink_files(folder / "files", "ndjson", roll_rows=100),
        in_files,
    ),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


@pytest.mark.parametrize("sink", SINKS)
def test_a_sink_whose_disk_is_full_goes_on_when_there_is_room(
    sink: str, disk: SmallDisk, tmp_path: Path
) -> None:
    write, found = SINKS[sink]
    log = tmp_path / "in.ndjson"
    append(log, range(200))
    query = write(rows(log), disk.folder).start(
        checkpoint=tmp_path / "checkpoint", checkpoint_interval="20ms", restart=FAST
    )
    until(query, lambda: query.progress().checkpoint_epoch is not None)
    disk.fill()
    append(log, range(200, 40_000))
    until(query, lambda: query.progress().restarts >= 2)
    disk.free()
    assert query.drain(LIMIT)
    assert found(disk.folder) == list(range(40_000))


def test_a_checkpoint_whose_disk_is_full_goes_on_when_there_is_room(
    disk: SmallDisk, tmp_path: Path
) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(200))
    query = rows(log).unique("id").sink_sqlite(tmp_path / "out.db", "t")
    query.start(checkpoint=disk.folder / "kept", checkpoint_interval="20ms", restart=FAST)
    until(query, lambda: query.progress().checkpoint_epoch is not None)
    disk.fill()
    append(log, range(200, 40_000))
    until(query, lambda: query.progress().restarts >= 2)
    assert "No space left" in (query.progress().last_error or "")
    disk.free()
    assert query.drain(LIMIT)
    assert in_sqlite(tmp_path) == list(range(40_000))


class FailingStorage(LocalStorage):
    """A folder whose disk fails ``times`` times, after some calls that worked."""

    def __init__(self, folder: Path, number: int, after: int, times: int) -> None:
        super().__init__(folder)
        self._number, self._after, self._times = number, after, times

    def _fail(self) -> None:
        self._after -= 1
        if self._after < 0 and self._times:
            self._times -= 1
            raise OSError(self._number, "made to fail")

    def write(self, path: str, data: bytes) -> None:
        self._fail()
        super().write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        self._fail()
        return super().create(path, data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 3, 4])
def test_a_failure_of_the_checkpoint_storage_that_passes(
    number: int, after: int, tmp_path: Path
) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(2000))
    query = rows(log).sink_sqlite(tmp_path / "out.db", "t")
    storage = FailingStorage(tmp_path / "kept", number, after, times=3)
    query.start(checkpoint=storage, checkpoint_interval=0, restart=FAST)
    until(query, lambda: query.progress().checkpoint_epoch is not None)
    append(log, range(2000, 3000))
    assert query.drain(LIMIT)
    assert in_sqlite(tmp_path) == list(range(3000))


def test_a_disk_that_turns_read_only_stops_the_query_and_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(2000))
    storage = FailingStorage(tmp_path / "kept", errno.EROFS, after=3, times=1)
    query = rows(log).sink_sqlite(tmp_path / "out.db", "t")
    query.start(checkpoint=storage, checkpoint_interval=0, restart=FAST)
    with pytest.raises(QueryFailed, match="made to fail"):
        query.drain(LIMIT)
    again = rows(log).sink_sqlite(tmp_path / "out.db", "t")
    again.start(checkpoint=tmp_path / "kept", restart=FAST)
    assert again.drain(LIMIT)
    assert in_sqlite(tmp_path) == list(range(2000))


@pytest.mark.parametrize("place", ["kept", *SINKS])
def test_a_read_only_disk_is_named_and_nothing_is_lost(place: str, tmp_path: Path) -> None:
    write, found = SINKS["sqlite" if place == "kept" else place]
    log, kept, out = tmp_path / "in.ndjson", tmp_path / "kept", tmp_path / "out"
    out.mkdir()
    append(log, range(1000))
    query = write(rows(log), out).start(checkpoint=kept)
    assert query.drain(LIMIT)
    append(log, range(1000, 2000))
    query = write(rows(log), out)
    with read_only(kept if place == "kept" else out):
        with pytest.raises(QueryFailed, match=r"[Rr]ead-?only|must exist and be writable"):
            query.start(checkpoint=kept, restart=FAST).drain(LIMIT)
        assert query.progress().restarts == 0
    assert query.start(checkpoint=kept).drain(LIMIT)
    assert found(out) == list(range(2000))


_LIMITED = """
import sys
from pathlib import Path
from tests.engine.test_failures import limited_run
limited_run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
"""


def limited_run(folder: Path, sink: str, most: int) -> None:
    """Run to the end with files of at most ``most`` bytes (0: no limit); exit code 3 if refused."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    query = SINKS[sink][0](rows(folder / "in.ndjson"), folder)
    query.start(checkpoint=folder / "kept", checkpoint_interval="20ms", restart=None)
    try:
        query.drain(LIMIT)
    except QueryFailed as error:
        print(error)
        sys.exit(3)


@pytest.mark.parametrize("sink", ["sqlite", "topic", "ndjson", "duckdb"])
def test_a_file_that_may_not_grow_stops_the_query_and_loses_nothing(
    sink: str, tmp_path: Path
) -> None:
    append(tmp_path / "in.ndjson", range(20_000))

    def run(most: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _LIMITED, str(tmp_path), sink, str(most)],
            env=ENVIRONMENT,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    refused = run(300_000)
    assert refused.returncode == 3, refused.stderr
    allowed = run(0)
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert SINKS[sink][1](tmp_path) == list(range(20_000))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


def test_a_database_that_goes_away_and_comes_back(server: PostgresServer, tmp_path: Path) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(1000))
    stream = rows(log)
    counts = stream.group_by(k=pl.col("id") % 10).agg(n=pl.len().cast(pl.Int64))
    query = Query(
        *stream.sink_postgres(server.conninfo, "rows_away").roots,
        *counts.sink_postgres(server.conninfo, "counts_away", key="k").roots,
    ).start(checkpoint=tmp_path / "kept", checkpoint_interval="20ms", restart=FAST)
    until(query, lambda: query.progress().checkpoint_epoch is not None)
    for part in range(1, 3):
        restarts = query.progress().restarts
        server.stop()
        append(log, range(1000 * part, 1000 * part + 1000))
        until(query, lambda before=restarts: query.progress().restarts >= before + 2)  # type: ignore[misc]
        server.start()
    assert query.drain(LIMIT)
    with psycopg.connect(server.conninfo) as connection:
        found = connection.execute("SELECT id FROM rows_away ORDER BY id").fetchall()
        totals = connection.execute("SELECT n FROM counts_away").fetchall()
    assert [n for (n,) in found] == list(range(3000))
    assert totals == [(300,)] * 10


def test_a_database_that_is_not_there_yet_is_waited_for(
    server: PostgresServer, tmp_path: Path
) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(100))
    server.stop()
    query = rows(log).sink_postgres(server.conninfo, "rows_late")
    query.start(checkpoint=tmp_path / "kept", restart=FAST)
    until(query, lambda: query.progress().restarts >= 2)
    server.start()
    assert query.drain(LIMIT)
    with psycopg.connect(server.conninfo) as connection:
        found = connection.execute("SELECT count(*) FROM rows_late").fetchone()
    assert found == (100,)


def test_a_torn_last_line_is_read_once_when_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "in.ndjson"
    append(log, range(100))
    whole = json.dumps({"id": 100, "text": "é" * 50}, ensure_ascii=False).encode() + b"\n"
    for cut in (1, 20, 40, len(whole) - 1):  # 40: within a character
        with log.open("ab") as file:
            file.write(whole[:cut])
        query = rows(log).sink_sqlite(tmp_path / f"{cut}.db", "t")
        query.start(checkpoint=tmp_path / f"kept-{cut}", checkpoint_interval=0)
        until(query, lambda q=query: q.progress().rows_out == 100)  # type: ignore[misc]
        query.stop()  # what a crash leaves: a position in front of the torn line
        with log.open("ab") as file:
            file.write(whole[cut:])
        again = rows(log).sink_sqlite(tmp_path / f"{cut}.db", "t")
        assert again.start(checkpoint=tmp_path / f"kept-{cut}").drain(LIMIT)
        assert again.dead_letters().is_empty()
        with contextlib.closing(sqlite3.connect(tmp_path / f"{cut}.db")) as connection:
            found = connection.execute("select id, text from t order by id").fetchall()
        assert [n for n, _ in found] == list(range(101))
        assert found[-1][1] == "é" * 50
        log.write_text("")
        append(log, range(100))


@pytest.mark.parametrize("hours", [5, -5])
def test_a_clock_that_jumps_makes_no_row_late(hours: int, tmp_path: Path) -> None:
    """The source falls quiet, the clock is set, and rows come whose time is only minutes on."""
    set_by = 0
    clock = SystemClock(lambda: time.time_ns() + set_by, time.monotonic_ns)
    log, began = tmp_path / "in.ndjson", datetime(2026, 1, 1, 12)

    def append_minute(minute: int) -> None:
        with log.open("a") as file:
            for second in range(60):
                at = began + timedelta(minutes=minute, seconds=second)
                file.write(json.dumps({"ts": at.isoformat()}) + "\n")

    append_minute(0)
    stream = ps.scan_tail(log, "json", schema={"ts": pl.Datetime("us")})
    stream = stream.with_watermark("ts", idle_timeout="50ms")
    counts = stream.group_by(ps.tumbling("1m")).agg(n=pl.len().cast(pl.Int64))
    query = counts.select("n").sink_sqlite(tmp_path / "out.db", "t")
    query.start(checkpoint=tmp_path / "kept", checkpoint_interval="20ms", clock=clock)
    last = int((began + timedelta(seconds=59)).replace(tzinfo=UTC).timestamp()) * 1_000_000_000
    for minute in (10, 20):
        until(query, lambda at=last: (query.progress().step("watermark-1").watermark or 0) > at)  # type: ignore[misc]
        set_by += hours * 3_600_000_000_000
        epoch = query.progress().epoch
        until(query, lambda seen=epoch: query.progress().epoch > seen)  # type: ignore[misc]
        append_minute(minute)
        last += 600 * 1_000_000_000
    assert query.drain(LIMIT)
    assert query.progress().late_rows == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "out.db")) as connection:
        assert connection.execute("select n from t").fetchall() == [(60,)] * 3
