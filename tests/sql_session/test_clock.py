"""``NOW()``: a statement's time, and rows that enter and leave views as the clock moves."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

import penstock as ps
from penstock.errors import PlanError
from penstock.instants import NS_PER_SECOND
from penstock.testing import ManualClock

START = datetime(2026, 1, 1, tzinfo=UTC)
TABLE = "CREATE TABLE t (k INT, ts TIMESTAMPTZ)"
VIEW = "CREATE MATERIALIZED VIEW v AS SELECT k FROM t WHERE ts > now() - INTERVAL '10 s'"
RECENT = f"{TABLE}; {VIEW}"


def clock() -> ManualClock:
    return ManualClock(int(START.timestamp()) * NS_PER_SECOND)


@contextlib.contextmanager
def session(folder: Path | None = None, at: ManualClock | None = None) -> Iterator[ps.Session]:
    with ps.Session(folder, clock=at or clock()) as opened:
        yield opened


def keys(opened: ps.Session, view: str = "v") -> list[int]:
    return sorted(opened.table(view)["k"].to_list())


def test_in_a_statement_it_is_the_statements_time() -> None:
    now = clock()
    with session(at=now) as opened:
        rows = opened.sql("SELECT now(), CURRENT_TIMESTAMP, LOCALTIMESTAMP, CURRENT_DATE")
        assert rows is not None
        assert rows.row(0) == (START, START, START.replace(tzinfo=None), date(2026, 1, 1))
        opened.sql("CREATE TABLE t (k INT, ts TIMESTAMPTZ DEFAULT now(), at TIMESTAMP)")
        now.advance(5)
        opened.sql("INSERT INTO t (k, at) VALUES (1, now())")
        now.advance(5)
        opened.sql("INSERT INTO t (k) SELECT 2; UPDATE t SET at = now() WHERE k = 2")
        later = [START + timedelta(seconds=n) for n in (5, 10)]
        assert opened.table("t").sort("k").rows() == [
            (k, at, at.replace(tzinfo=None)) for k, at in enumerate(later, 1)
        ]
        opened.sql("DELETE FROM t WHERE ts < now() - INTERVAL '1 second'")
        assert keys(opened, "t") == [2]


def test_a_plain_view_has_the_time_of_who_reads_it() -> None:
    now = clock()
    with session(at=now) as opened:
        opened.sql(f"{TABLE}; CREATE VIEW p AS SELECT k, now() AS at FROM t WHERE ts <= now()")
        opened.sql("INSERT INTO t VALUES (1, now() + INTERVAL '5 s')")
        assert opened.table("p").rows() == []
        now.advance(5)
        assert opened.table("p").rows() == [(1, START + timedelta(seconds=5))]
        opened.sql(
            "DROP VIEW p; CREATE VIEW p AS SELECT k FROM t WHERE ts > now() - INTERVAL '1 s'"
        )
        opened.sql("CREATE MATERIALIZED VIEW v AS SELECT k FROM p")
        assert keys(opened) == [1]
        now.advance(1)
        assert keys(opened) == []


def test_a_view_that_is_kept_up_to_date_cannot_show_it() -> None:
    with session() as opened:
        opened.sql(f"{TABLE}; CREATE VIEW p AS SELECT k, now() AS at FROM t")
        with pytest.raises(PlanError, match="kept up to date moves at line 1, column 68") as found:
            opened.sql("CREATE MATERIALIZED VIEW v AS SELECT * FROM p")
        assert "compare rows with it in WHERE" in str(found.value)


def test_rows_enter_and_leave_as_the_clock_moves() -> None:
    now = clock()
    with session(at=now) as opened:
        opened.sql(RECENT)
        opened.sql("CREATE MATERIALIZED VIEW c AS SELECT count(*) AS c FROM v")
        opened.sql("CREATE MATERIALIZED VIEW due AS SELECT k FROM t WHERE ts <= now()")
        for k in range(4):  # at the seconds 2, 3, 4 and 5
            opened.sql(f"INSERT INTO t VALUES ({k}, now() + INTERVAL '2 s')")
            now.advance(1)
        seen = []
        for _ in range(7):  # from second 4 on
            seen.append((opened.table("c").item(), keys(opened, "due")))
            now.advance(2)
        assert seen == [
            (4, [0, 1, 2]),
            (4, [0, 1, 2, 3]),
            (4, [0, 1, 2, 3]),
            (4, [0, 1, 2, 3]),
            (3, [0, 1, 2, 3]),
            (1, [0, 1, 2, 3]),
            (0, [0, 1, 2, 3]),
        ]


def test_followers_are_told() -> None:
    now = clock()
    with session(at=now) as opened:
        opened.sql(f"{RECENT}; INSERT INTO t VALUES (1, now())")
        following = opened.changes("v")
        assert next(following).rows() == [(1, 1)]
        now.advance(10)
        assert next(following).rows() == [(1, -1)]  # no statement: the session looks at the clock


def test_a_session_opened_again_goes_on_with_the_clock(tmp_path: Path) -> None:
    now = clock()
    database = tmp_path / "out.db"
    options = f"connector = 'sqlite', path = '{database}', table = 'v', key = 'k'"
    with session(tmp_path / "s", now) as opened:
        opened.sql(
            f"CREATE TABLE t (k INT PRIMARY KEY, ts TIMESTAMPTZ); {VIEW}; "
            f"CREATE SINK out FROM v WITH ({options})"
        )
        opened.sql("INSERT INTO t VALUES (1, now()), (2, now() + INTERVAL '20 s')")
        opened.wait()
    now.advance(15)
    with session(tmp_path / "s", now) as opened:
        assert keys(opened) == [2]
        opened.wait()
        assert stored(database) == [2]
        now.advance(-100)  # the machine's clock was set back
        opened.sql("INSERT INTO t VALUES (3, now() + INTERVAL '1 s')")
        assert keys(opened) == [2, 3]
    with session(tmp_path / "s", now) as opened:
        assert keys(opened) == [2, 3]
        now.advance(112)
        assert keys(opened) == [2]
        opened.wait()
        assert stored(database) == [2]


def stored(database: Path) -> list[int]:

    with contextlib.closing(sqlite3.connect(database)) as connection:
        return sorted(k for (k,) in connection.execute("SELECT k FROM v"))


def test_a_statement_that_fails_leaves_what_the_clock_did_to_the_next_one() -> None:
    now = clock()
    with session(at=now) as opened:
        opened.sql(f"{RECENT}; CREATE TABLE copy (k INT PRIMARY KEY)")
        opened.sql("CREATE SINK s INTO copy FROM v; INSERT INTO t VALUES (1, now())")
        now.advance(10)
        with pytest.raises(PlanError):
            opened.sql("SELECT nothing FROM t")
        assert opened.table("copy").rows() == []


def test_windows_of_processing_time_close_as_the_clock_moves() -> None:
    now = clock()
    with session(at=now) as opened:
        opened.sql(
            """CREATE TABLE t (k INT) APPEND ONLY;
            CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS c
                FROM TUMBLE((SELECT k, PROCTIME() AS at FROM t), at, INTERVAL '10 seconds')
                GROUP BY window_start EMIT ON WINDOW CLOSE;
            INSERT INTO t VALUES (1), (2)"""
        )
        now.advance(9)
        assert opened.table("v").rows() == []
        now.advance(11)
        assert opened.table("v").rows() == [(START, 2)]
