"""Sources, sinks and changelogs of a session: kept up to date, and once over a restart or a crash."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PenstockError, PlanError, QueryFailed
from tests.child_processes import ENVIRONMENT

WAIT_S = 30


def rows(session: ps.Session, query: str) -> list[tuple[object, ...]]:
    found = session.sql(query)
    assert found is not None
    return sorted(found.rows(), key=repr)


def until(session: ps.Session, query: str, wanted: list[tuple[object, ...]]) -> None:
    """Poll until a query gives what is wanted; a source is read in the background."""
    end = time.monotonic() + WAIT_S
    while rows(session, query) != wanted and time.monotonic() < end:
        session.wait(0.05)
    assert rows(session, query) == wanted


def append(path: Path, *records: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{record}\n" for record in records))


def stored(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def events(folder: Path) -> str:
    return f"""
        CREATE SOURCE events (k TEXT, n INT) WITH (
            connector = 'tail', path = '{folder}/events.ndjson', format = 'json');
        CREATE MATERIALIZED VIEW totals AS SELECT k, sum(n) AS total FROM events GROUP BY k;
    """


def test_views_follow_a_source(tmp_path: Path) -> None:
    append(tmp_path / "events.ndjson", '{"k": "a", "n": 1}', '{"k": "b", "n": 2}', "{broken")
    with ps.Session() as session:
        session.sql(events(tmp_path))
        until(session, "SELECT * FROM totals", [("a", 1), ("b", 2)])
        append(tmp_path / "events.ndjson", '{"k": "a", "n": 4}')
        until(session, "SELECT * FROM totals", [("a", 5), ("b", 2)])
        assert rows(session, "SELECT count(*) FROM events") == [(3,)]
        assert session.dead_letters().height == 1
        assert rows(session, "SHOW SOURCES") == [("events", "reading")]
        assert rows(session, "SHOW TABLES") == []
        with pytest.raises(PlanError, match="cannot insert into what a source fills"):
            session.sql("INSERT INTO events VALUES ('x', 1)")
        session.sql("DROP SOURCE events CASCADE")
        assert rows(session, "SHOW SOURCES") == []


def test_a_restart_goes_on_where_the_source_was(tmp_path: Path) -> None:
    append(tmp_path / "events.ndjson", '{"k": "a", "n": 1}')
    for number in range(3):
        with ps.Session(tmp_path / "s") as session:
            if number == 0:
                session.sql(events(tmp_path))
            until(session, "SELECT * FROM totals", [("a", 2**number)])
        append(tmp_path / "events.ndjson", f'{{"k": "a", "n": {2**number}}}')


def test_a_source_that_is_gone_leaves_its_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("k,n\na,1\n")
    text = f"CREATE SOURCE t WITH (connector = 'file', path = '{tmp_path}/rows.csv')"
    with ps.Session(tmp_path / "s") as session:
        session.sql(f"{text}; CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS s FROM t")
        assert session.wait(WAIT_S)
        assert rows(session, "SHOW SOURCES") == [("t", "ended")]
    (tmp_path / "rows.csv").unlink()
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SELECT * FROM v") == [(1,)]
        assert "no such file" in str(rows(session, "SHOW SOURCES")[0][1])
        with pytest.raises(QueryFailed, match="no such file"):
            session.wait(WAIT_S)
        session.sql("DROP SOURCE t CASCADE")
        (tmp_path / "rows.csv").write_text("k,m,n\na,1,5\n")
        session.sql(text)
        assert session.wait(WAIT_S)
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SELECT m, n FROM t") == [(1, 5)]


def test_the_end_of_a_source_closes_its_windows_for_good(tmp_path: Path) -> None:
    start = datetime(2026, 3, 1)
    frame = pl.DataFrame({"ts": [start + timedelta(seconds=20 * n) for n in range(5)]})
    frame.write_csv(tmp_path / "rows.csv")
    with ps.Session(tmp_path / "s") as session:
        session.sql(f"""
            CREATE SOURCE t (ts TIMESTAMP, WATERMARK FOR ts AS ts)
                WITH (connector = 'file', path = '{tmp_path}/rows.csv');
            CREATE MATERIALIZED VIEW v AS SELECT window_start, count(*) AS n
                FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_start EMIT ON WINDOW CLOSE;
        """)
        assert session.wait(WAIT_S)
        assert rows(session, "SELECT n FROM v") == [(2,), (3,)]
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SELECT n FROM v") == [(2,), (3,)]
        session.sql("CREATE MATERIALIZED VIEW w AS SELECT max(n) AS n FROM v")
        assert rows(session, "SELECT n FROM w") == [(3,)]


def test_windows_of_a_table_close_when_its_watermark_passes() -> None:
    with ps.Session() as session:
        session.sql("""
            CREATE TABLE t (ts TIMESTAMP, n INT, WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
                APPEND ONLY;
            CREATE MATERIALIZED VIEW v AS SELECT window_end, sum(n) AS s
                FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_end EMIT ON WINDOW CLOSE;
            INSERT INTO t VALUES ('2026-03-01 12:00:10', 1), ('2026-03-01 12:00:50', 2),
                ('2026-03-01 12:01:04', 4);
        """)
        assert rows(session, "SELECT s FROM v") == []
        session.sql("INSERT INTO t VALUES ('2026-03-01 12:00:59', 8)")
        session.sql("INSERT INTO t VALUES ('2026-03-01 12:01:05', 16)")
        assert rows(session, "SELECT s FROM v") == [(11,)]
        session.sql("INSERT INTO t VALUES ('2026-03-01 12:00:59', 32)")
        assert rows(session, "SELECT s FROM v") == [(11,)]
        assert rows(session, "SELECT sum(n) FROM t") == [(63,)]
        with pytest.raises(PlanError, match="materialized view or a sink"):
            session.sql("CREATE VIEW w AS SELECT * FROM v EMIT ON WINDOW CLOSE")


def sqlite_sink(folder: Path) -> str:
    return f"WITH (connector = 'sqlite', path = '{folder}/out.db', table = 't', key = 'k')"


def test_a_sink_follows_a_view_over_restarts(tmp_path: Path) -> None:
    with ps.Session(tmp_path / "s") as session:
        session.sql("""
            CREATE TABLE t (id INT PRIMARY KEY, k TEXT, n INT);
            CREATE MATERIALIZED VIEW v AS SELECT k, sum(n) AS s FROM t GROUP BY k;
            INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)
        """)
        session.sql(f"CREATE SINK out FROM v {sqlite_sink(tmp_path)}")
        session.wait(WAIT_S)
        assert stored(tmp_path / "out.db", "SELECT k, s FROM t ORDER BY k") == [("a", 1), ("b", 2)]
        session.sql("DELETE FROM t WHERE id = 2; UPDATE t SET n = 7")
    assert stored(tmp_path / "out.db", "SELECT k, s FROM t") == [("a", 7)]
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SHOW SINKS") == [("out", "writing")]
        session.sql("INSERT INTO t VALUES (3, 'c', 3)")
        with pytest.raises(PlanError, match="out reads it"):
            session.sql("DROP MATERIALIZED VIEW v")
        session.wait(WAIT_S)
        assert stored(tmp_path / "out.db", "SELECT k, s FROM t ORDER BY k") == [("a", 7), ("c", 3)]
        session.sql("DROP SINK out; DROP MATERIALIZED VIEW v; INSERT INTO t VALUES (4, 'd', 4)")
    assert stored(tmp_path / "out.db", "SELECT count(*) FROM t") == [(2,)]
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SHOW SINKS") == []


def test_a_sink_of_rows_that_stay_is_given_each_once(tmp_path: Path) -> None:
    sink = f"WITH (connector = 'sqlite', path = '{tmp_path}/out.db', table = 't')"
    for number in range(3):
        with ps.Session(tmp_path / "s") as session:
            if not number:
                session.sql("CREATE TABLE t (n INT) APPEND ONLY; INSERT INTO t VALUES (0), (0)")
                session.sql(f"CREATE SINK out AS SELECT n * 2 AS n FROM t {sink}")
                with pytest.raises(PlanError, match="takes append-only rows"):
                    session.sql(f"CREATE SINK o AS SELECT count(*) AS c FROM t {sink}")
            session.sql(f"INSERT INTO t VALUES ({number})")
    found = stored(tmp_path / "out.db", "SELECT n FROM t ORDER BY rowid")
    assert found == [(0,), (0,), (0,), (2,), (4,)]


WRITER = """
import sys, penstock as ps
session = ps.Session(sys.argv[1])
print(session.sql("SHOW SINKS"), flush=True)
session.wait()
print("up", flush=True)
for line in sys.stdin:
    session.sql("INSERT INTO plain VALUES (1)")
"""


def test_a_killed_session_has_read_and_written_each_row_once(tmp_path: Path) -> None:
    log, out = tmp_path / "events.ndjson", tmp_path / "out.db"
    log.touch()
    with ps.Session(tmp_path / "s") as session:
        session.sql(f"""
            CREATE SOURCE events (n INT) WITH (connector = 'tail', path = '{log}', format = 'json');
            CREATE TABLE plain (n INT) APPEND ONLY;
            CREATE SINK every FROM events
                WITH (connector = 'sqlite', path = '{out}', table = 'every');
        """)
    total = 0
    for kill in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s")],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        while (said := process.stdout.readline()) not in ("up\n", ""):
            pass
        assert said == "up\n"
        for number in range(40):
            append(log, f'{{"n": {total}}}')
            total += 1
            if number % 4 == kill:
                process.stdin.write("\n")
                process.stdin.flush()
        end = time.monotonic() + kill * 0.02  # somewhere in the midst of it
        while time.monotonic() < end:
            os.sched_yield()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    with ps.Session(tmp_path / "s") as session:
        until(session, "SELECT count(*), sum(n) FROM events", [(total, total * (total - 1) // 2)])
    assert stored(out, "SELECT n FROM every ORDER BY n") == [(n,) for n in range(total)]


def test_a_sink_into_a_table_replaces_rows_by_key(tmp_path: Path) -> None:
    def check(session: ps.Session, wanted: list[tuple[object, ...]]) -> None:
        assert rows(session, "SELECT * FROM best") == wanted
        assert rows(session, "SELECT * FROM names") == [(name,) for name, _ in wanted]

    with ps.Session(tmp_path / "s") as session:
        session.sql("""
            CREATE TABLE best (name TEXT PRIMARY KEY, score BIGINT);
            CREATE MATERIALIZED VIEW names AS SELECT name FROM best;
            CREATE TABLE games (player TEXT, score INT);
            INSERT INTO games VALUES ('a', 1), ('b', 2);
            INSERT INTO best VALUES ('a', 100), ('z', 9);
            CREATE SINK s INTO best AS SELECT player, max(score) FROM games GROUP BY player;
        """)
        check(session, [("a", 1), ("b", 2), ("z", 9)])
        session.sql(
            "INSERT INTO games VALUES ('a', 5), ('c', 3); DELETE FROM games WHERE score = 2"
        )
        check(session, [("a", 5), ("c", 3), ("z", 9)])
        session.sql("DELETE FROM best WHERE name = 'c'; INSERT INTO games VALUES ('c', 4)")
        check(session, [("a", 5), ("c", 4), ("z", 9)])
        for text, said in (
            ("CREATE SINK x INTO games AS SELECT name, 1 FROM best", "filled from itself"),
            ("CREATE SINK x INTO names FROM games", "no table 'names'"),
            ("CREATE SINK x INTO best AS SELECT score FROM games", "1 columns for the 2"),
            ("CREATE SINK x INTO best AS SELECT 1, player FROM games", "CAST it"),
        ):
            with pytest.raises(PlanError, match=said):
                session.sql(text)
    with ps.Session(tmp_path / "s") as session:
        check(session, [("a", 5), ("c", 4), ("z", 9)])
        session.sql("DROP SINK s; INSERT INTO games VALUES ('a', 50)")
        check(session, [("a", 5), ("c", 4), ("z", 9)])


def test_a_changelog_keeps_every_change(tmp_path: Path) -> None:
    wanted: list[tuple[object, ...]] = [(1, "x", 1), (1, "x", 4), (1, "y", 2), (1, "y", 3)]
    with ps.Session(tmp_path / "s") as session:
        session.sql("""
            CREATE TABLE t (id INT PRIMARY KEY, v TEXT);
            INSERT INTO t VALUES (1, 'x');
            CREATE MATERIALIZED VIEW history AS CHANGELOG FROM t;
            CREATE MATERIALIZED VIEW counts AS
                SELECT changelog_op, count(*) AS n FROM history GROUP BY changelog_op;
            UPDATE t SET v = 'y';
            DELETE FROM t;
        """)
        assert rows(session, "SELECT * FROM history") == wanted
        assert rows(session, "SHOW MATERIALIZED VIEWS") == [("counts",), ("history",)]
        with pytest.raises(PlanError, match="what a changelog fills"):
            session.sql("DELETE FROM history")
        with pytest.raises(PlanError, match="history, counts reads it"):
            session.sql("DROP TABLE t")
    with ps.Session(tmp_path / "s") as session:
        assert rows(session, "SELECT * FROM history") == wanted
        assert rows(session, "SELECT * FROM counts") == [(1, 1), (2, 1), (3, 1), (4, 1)]
        session.sql("DROP TABLE t CASCADE")
        assert rows(session, "SHOW MATERIALIZED VIEWS") == []


def test_a_stream_is_a_table(tmp_path: Path) -> None:
    sums = ps.scan_rate(total=100).group_by(pl.col("offset") % 3).agg(n=pl.len())
    with ps.Session() as session:
        session.register("sums", sums)
        session.sql("CREATE MATERIALIZED VIEW v AS SELECT sum(n) AS n FROM sums")
        assert session.wait(WAIT_S)
        assert rows(session, "SELECT n::int FROM v") == [(100,)]
        with pytest.raises(PlanError, match="exists already"):
            session.register("v", sums)
    with ps.Session(tmp_path) as session, pytest.raises(PlanError, match="CREATE SOURCE"):
        session.register("sums", sums)


def test_changes_of_a_view_are_followed() -> None:
    session = ps.Session()
    session.sql("CREATE TABLE t (k TEXT, n INT); INSERT INTO t VALUES ('a', 1)")
    session.sql("CREATE MATERIALIZED VIEW v AS SELECT k, sum(n) AS s FROM t GROUP BY k")
    following, ended = session.changes("v"), session.changes("t")
    ended.close()
    session.sql("INSERT INTO t VALUES ('a', 2); INSERT INTO t VALUES ('b', 0)")
    session.sql("DELETE FROM t WHERE k = 'b'")
    session.close()
    found = [frame.rows() for frame in following]
    assert found == [[("a", 1, 1)], [("a", 1, -1), ("a", 3, 1)], [("b", 0, 1)], [("b", 0, -1)]]
    assert [frame.rows() for frame in ended] == [[("a", 1, 1)]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CREATE SOURCE s WITH (connector = 'rate', idle_timeout = '1s')", "in a session"),
        ("CREATE SINK s FROM t WITH (connector = 'nil')", "there is no sink 'nil'"),
        ("CREATE SINK s FROM t WITH (connector = 'sqlite', path = 'x')", "table= is missing"),
        ("CREATE OR REPLACE SOURCE v WITH (connector = 'rate')", "cannot be replaced"),
        ("CREATE MATERIALIZED VIEW w AS SELECT n FROM t EMIT ON WINDOW CLOSE", "no watermark"),
        ("CREATE VIEW w AS CHANGELOG FROM t", "MATERIALIZED"),
        ("SHOW SORCES", "did you mean 'SOURCES'"),
        ("DROP TABLE v", "DROP VIEW"),
        ("DROP SINK t", "DROP TABLE"),
        ("DROP SINK nothing", "no table or view 'nothing'"),
    ],
)
def test_what_is_wrong_is_refused(text: str, said: str) -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (n INT); CREATE VIEW v AS SELECT n FROM t")
        with pytest.raises(PenstockError) as error:
            session.sql(text)
        assert said in str(error.value)


def test_a_sink_that_fails_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    make: Callable[[], ps.Session] = lambda: ps.Session(tmp_path / "s")  # noqa: E731
    with make() as session:
        session.sql("CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('a')")
        folder.mkdir()
        session.sql(f"CREATE SINK out FROM t {sqlite_sink(folder)}")
        session.wait(WAIT_S)
    (folder / "out.db").rename(tmp_path / "kept.db")
    (folder / "out.db").mkdir()
    with make() as session:
        session.sql("INSERT INTO t VALUES ('b')")
        with pytest.raises(QueryFailed):
            session.wait(WAIT_S)
        assert str(rows(session, "SHOW SINKS")[0][1]).startswith("failed")
    (folder / "out.db").rmdir()
    (tmp_path / "kept.db").rename(folder / "out.db")
    with make() as session:
        session.wait(WAIT_S)
    assert stored(folder / "out.db", "SELECT k FROM t ORDER BY k") == [("a",), ("b",)]


def test_what_a_database_refuses_is_a_dead_letter(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
        connection.execute("CREATE TABLE t (n BIGINT CHECK (n < 10))")
        with ps.Session() as session:
            session.sql("CREATE TABLE numbers (n BIGINT) APPEND ONLY")
            options = f"connector = 'sqlite', path = '{tmp_path}/out.db', table = 't'"
            session.sql(f"CREATE SINK small FROM numbers WITH ({options})")
            session.sql("INSERT INTO numbers VALUES (1), (10)")
            assert session.wait(WAIT_S)
            assert session.dead_letters()["bytes"].to_list() == [b'{"n":10}']
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
