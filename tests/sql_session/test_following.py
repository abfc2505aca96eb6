"""A query of a session as a stream that goes on, while statements change what it reads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PlanError

MADE = """
    CREATE TABLE t (k TEXT, v INT);
    CREATE MATERIALIZED VIEW totals AS SELECT k, sum(v) AS s, count(*) AS n FROM t GROUP BY k;
    CREATE MATERIALIZED VIEW history AS CHANGELOG FROM totals;
    INSERT INTO t VALUES ('a', 1), ('b', 2);
"""


@pytest.fixture(params=["in memory", "durable"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ps.Session]:
    with ps.Session(None if request.param == "in memory" else tmp_path / "session") as opened:
        opened.sql(MADE)
        yield opened


def test_a_view_is_followed_with_its_retractions(session: ps.Session) -> None:
    stream = session.follow("SELECT k, s FROM totals WHERE s > $1", [0])
    assert stream.is_changelog
    changes = stream.filter(pl.col("k") != "z").changes()
    assert sorted(next(changes).rows()) == [("a", 1, 1), ("b", 2, 1)]
    session.sql("INSERT INTO t VALUES ('z', 1)")
    session.sql("UPDATE t SET v = 5 WHERE k = 'a'; DELETE FROM t WHERE k = 'b'")
    assert next(changes).rows() == [("a", 1, -1), ("a", 5, 1)]
    assert next(changes).rows() == [("b", 2, -1)]
    session.close()
    assert list(changes) == []


def test_a_changelog_is_followed_as_rows(session: ps.Session) -> None:
    stream = session.follow("SELECT k, s, changelog_op FROM history")
    assert not stream.is_changelog
    changes = stream.changes()
    assert sorted(next(changes).rows()) == [("a", 1, 1), ("b", 2, 1)]
    session.sql("UPDATE t SET v = 5 WHERE k = 'a'")
    assert next(changes).rows() == [("a", 1, 4), ("a", 5, 3)]


def test_a_running_pipeline_holds_what_the_query_gives(session: ps.Session, tmp_path: Path) -> None:
    path = tmp_path / "out.db"
    stream = session.follow("SELECT k, sum(s) AS s FROM totals GROUP BY k")
    running = threading.Thread(target=ps.run, args=(stream.sink_sqlite(path, "t", key="k"),))
    running.start()
    for number in range(20):
        session.sql("INSERT INTO t VALUES (?, ?)", ["abc"[number % 3], number])
        session.sql("DELETE FROM t WHERE v = ?", [number - 5])
    wanted = session.sql("SELECT k, s::bigint FROM totals ORDER BY k")  # as SQLite keeps it
    assert wanted is not None
    session.close()
    running.join(60)
    assert not running.is_alive()
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT k, s FROM t ORDER BY k").fetchall()
    assert found == wanted.rows()


def test_what_a_pipeline_follows_is_dropped_with_cascade_only(session: ps.Session) -> None:
    changes = session.follow("SELECT count(*) AS n FROM t").changes()
    assert next(changes).rows() == [(2, 1)]
    with pytest.raises(PlanError, match="a pipeline"):
        session.sql("DROP TABLE t")
    shown = session.sql("SHOW MATERIALIZED VIEWS")
    assert shown is not None
    assert shown["name"].to_list() == ["history", "totals"]
    session.sql("DROP TABLE t CASCADE")
    assert list(changes) == []


def test_following_a_relation_ends_when_it_is_dropped(session: ps.Session) -> None:
    following = session.changes("totals")
    assert next(following).height == 2
    session.sql("DROP VIEW totals CASCADE")
    assert list(following) == []


def test_a_failed_statement_is_not_seen(session: ps.Session) -> None:
    session.sql("CREATE TABLE u (k TEXT PRIMARY KEY, v INT, CHECK (v < 10))")
    session.sql("CREATE SINK s INTO u AS SELECT k, s::int AS v FROM totals")
    changes = session.follow("SELECT k, v FROM u").changes()
    assert sorted(next(changes).rows()) == [("a", 1, 1), ("b", 2, 1)]
    with pytest.raises(PlanError, match="CHECK"):
        session.sql("INSERT INTO t VALUES ('a', 50)")
    session.sql("INSERT INTO t VALUES ('a', 2)")
    assert next(changes).rows() == [("a", 1, -1), ("a", 3, 1)]


def both(first: Callable[[], None], second: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_two_threads_on_one_session(session: ps.Session) -> None:
    def write(key: str) -> Callable[[], None]:
        def work() -> None:
            for number in range(20):
                session.sql("INSERT INTO t VALUES (?, ?)", [key, number])
                found = session.sql("SELECT n FROM totals WHERE k = ?", [key])
                assert found is not None
                seen.append(found.item() == number + 1)

        return work

    seen: list[bool] = []
    both(write("x"), write("y"))
    assert len(seen) == 40
    assert all(seen)
    counted = session.sql("SELECT sum(n) AS n FROM totals")
    assert counted is not None
    assert counted.item() == 42
