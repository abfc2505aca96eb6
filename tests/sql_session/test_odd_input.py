"""What nobody would write on purpose: it works as PostgreSQL's rules say, or is refused by name."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest

import penstock as ps
from penstock.errors import CheckpointError, ConfigError, PenstockError, PlanError


def rows(session: ps.Session, query: str) -> list[tuple[object, ...]]:
    found = session.sql(query)
    assert found is not None
    return sorted(found.rows(), key=repr)


@pytest.mark.parametrize("text", ["", ";", " ;; \n", "-- only this", "/* nor this */;"])
def test_no_statement_at_all_does_nothing(text: str) -> None:
    with ps.Session() as session:
        assert session.sql(text) is None


@pytest.mark.parametrize(
    "text",
    ["/* unclosed", "SELECT 'unclosed", "EXPLAIN", "SHOW", "\x00", "SELECT ?", "SELECT (", "SELECT FROM t",
     "SELECT a FROM t ORDER BY 1.5", "SELECT a FROM t UNION SELECT a FROM t ORDER BY 2",
     "SELECT a FROM t UNION SELECT a FROM t ORDER BY 0", "SELECT lag(a) OVER (PARTITION BY a) FROM t",
     "SELECT ntile(0) OVER (ORDER BY a) FROM t", "CREATE TABLE u (a INT DEFAULT b)",
     "CREATE TEMP TABLE u (a INT)", "INSERT INTO t VALUES (2147483648)", "INSERT INTO t VALUES (true)",
     "INSERT INTO t SELECT date '2020-01-01'", "CREATE TABLE u (a INT, PRIMARY KEY (a, A))",
     "SELECT " + "(" * 2000 + "1" + ")" * 2000],
)  # fmt: skip
def test_nonsense_is_refused_by_name(text: str) -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a INT)")
        with pytest.raises(PenstockError):
            session.sql(text)
        assert rows(session, "SELECT * FROM t") == []


def test_any_name_in_quotes_is_a_name(tmp_path: Path) -> None:
    with ps.Session(tmp_path) as session:
        session.sql("""
            CREATE TABLE "a""b;--" ("x#1" INT PRIMARY KEY, "größe.日本" TEXT DEFAULT 'it''s;', "select" INT);
            INSERT INTO "a""b;--" ("x#1") VALUES (1), (2);
            CREATE MATERIALIZED VIEW "v#1" AS
                SELECT o."x#1" AS "x#2", (SELECT count(*) FROM "a""b;--" i WHERE i."x#1" < o."x#1") AS "x#1"
                FROM "a""b;--" o WHERE o."größe.日本" LIKE '%;';
            CREATE TABLE copy AS SELECT * FROM "a""b;--";
        """)
        assert rows(session, 'SELECT "x#2", "x#1" FROM "v#1"') == [(1, 0), (2, 1)]
    with ps.Session(tmp_path) as again:
        assert rows(again, 'SELECT * FROM "v#1"') == [(1, 0), (2, 1)]
        assert rows(again, "SELECT * FROM copy")[0] == (1, "it's;", None)
        again.sql('DROP TABLE "a""b;--" CASCADE')
    with ps.Session(tmp_path) as last:
        assert rows(last, "SHOW TABLES") == [("copy",)]


def test_words_of_our_own_clauses_are_names_elsewhere() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)")
        assert session.sql("SELECT a AS changelog FROM t").columns == ["changelog"]  # type: ignore[union-attr]
        assert session.sql('SELECT a AS "changelog" FROM t').columns == ["changelog"]  # type: ignore[union-attr]


def test_a_common_table_hides_a_table_of_its_name() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
        assert rows(session, "WITH t AS (SELECT a + 1 AS a FROM t) SELECT a FROM t") == [(2,), (3,)]
        query = "WITH x AS (SELECT a FROM t) SELECT p.a, q.a FROM x p JOIN x q ON p.a < q.a"
        assert rows(session, query) == [(1, 2)]


def test_statements_before_the_failing_one_stay() -> None:
    with ps.Session() as session:
        with pytest.raises(PlanError, match="no table 'nope'"):
            session.sql(
                "CREATE TABLE u (a INT); INSERT INTO u VALUES (1); INSERT INTO nope VALUES (1)"
            )
        assert rows(session, "SELECT * FROM u") == [(1,)]
        with pytest.raises(PlanError, match="cannot read the SQL"):
            session.sql("INSERT INTO u VALUES (2); SELECT (")
        assert rows(session, "SELECT * FROM u") == [(1,)]


def test_views_over_plain_views_hold_them() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a INT, b INT); CREATE VIEW v AS SELECT a FROM t")
        session.sql(
            "CREATE VIEW w AS SELECT a FROM v; CREATE MATERIALIZED VIEW m AS SELECT a FROM w"
        )
        for statement in ("DROP VIEW v", "CREATE OR REPLACE VIEW v AS SELECT b FROM t"):
            with pytest.raises(PlanError, match="w, m reads it"):
                session.sql(statement)
        for statement in ("DROP TABLE v", "DROP VIEW t"):
            with pytest.raises(PlanError, match="is a"):
                session.sql(statement)
        session.sql("INSERT INTO t VALUES (1, 2)")
        assert rows(session, "SELECT * FROM m") == [(1,)]
        session.sql("DROP VIEW v CASCADE")
        assert rows(session, "SHOW MATERIALIZED VIEWS") == []


def test_a_row_is_updated_once() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (k INT); CREATE TABLE o (k INT, x INT)")
        session.sql("INSERT INTO t VALUES (1), (1); INSERT INTO o VALUES (1, 5), (5, 6), (5, 7)")
        session.sql("UPDATE t SET k = x FROM o WHERE t.k = o.k")
        assert rows(session, "SELECT k FROM t") == [(5,), (5,)]
        with pytest.raises(PlanError, match="updated twice"):
            session.sql("UPDATE t SET k = x FROM o WHERE t.k = o.k")
        assert rows(session, "SELECT k FROM t") == [(5,), (5,)]


def test_a_conflict_cannot_make_a_second_row_of_a_key() -> None:
    with ps.Session() as session:
        session.sql(
            "CREATE TABLE t (a INT PRIMARY KEY, b INT); INSERT INTO t VALUES (2, 1), (3, NULL)"
        )
        with pytest.raises(PlanError, match=r"two rows with key \(3,\)"):
            session.sql("INSERT INTO t VALUES (2, 5) ON CONFLICT (a) DO UPDATE SET a = 3")
        session.sql("INSERT INTO t VALUES (3, NULL) ON CONFLICT (a) DO UPDATE SET b = excluded.b")
        session.sql("UPDATE t SET a = a + 1")
        assert rows(session, "SELECT * FROM t") == [(3, 1), (4, None)]


def test_odd_floats_are_keys() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE f (x DOUBLE PRECISION PRIMARY KEY)")
        session.sql("INSERT INTO f VALUES ('NaN'), (0.0), ('-Infinity')")
        for same in ("'NaN'", "-0.0", "'-inf'"):
            with pytest.raises(PlanError, match="two rows with key"):
                session.sql(f"INSERT INTO f VALUES ({same})")
        session.sql("DELETE FROM f WHERE x = 'NaN' OR x = -0.0")
        assert rows(session, "SELECT x FROM f") == [(float("-inf"),)]


def test_months_do_not_get_lost_in_a_column() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (j INTERVAL)")
        with pytest.raises(PlanError, match="months"):
            session.sql("INSERT INTO t VALUES (INTERVAL '1 month')")


def test_threads_share_a_durable_session(tmp_path: Path) -> None:
    failed: list[Exception] = []
    with ps.Session(tmp_path) as session:
        session.sql("CREATE TABLE t (a INT PRIMARY KEY)")
        session.sql("CREATE MATERIALIZED VIEW v AS SELECT count(*) c FROM t")

        def work(first: int) -> None:
            try:
                for n in range(first, first + 10):
                    session.sql(f"INSERT INTO t VALUES ({n})")
                    session.sql("SELECT * FROM v")
            except Exception as error:  # noqa: BLE001 - shown by the test
                failed.append(error)

        threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert rows(session, "SELECT c FROM v") == [(40,)]


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_a_broken_file_is_named_and_the_folder_let_go(tmp_path: Path, kept: float) -> None:
    with ps.Session(tmp_path) as session:
        session.sql("CREATE TABLE t (a TEXT)")
        session.sql(f"INSERT INTO t VALUES ('{'x' * 50_000}')")
    path = tmp_path / "session.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)] or b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="cannot read the session"):
            ps.Session(tmp_path)
    path.write_bytes(whole)
    with ps.Session(tmp_path) as again:
        assert rows(again, "SELECT count(*) FROM t") == [(1,)]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no folder"):
        ps.Session(tmp_path / "file")


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    with ps.Session(tmp_path) as session:
        session.sql(
            "CREATE TABLE t (a TEXT); CREATE MATERIALIZED VIEW v AS SELECT count(*) c FROM t"
        )
        session.sql("INSERT INTO t VALUES ('x')")
        log = session._upkeep.log
        assert log is not None
        database = log._database
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")
        texts = [hashlib.sha512(bytes([n])).hexdigest() * 9 for n in range(200)]
        many = ", ".join(f"('{text[n:]}')" for n, text in enumerate(texts))
        for statement in (
            f"INSERT INTO t VALUES {many}",
            f"CREATE TABLE u (a TEXT DEFAULT '{'y' * 100_000}')",
        ):
            with pytest.raises(CheckpointError, match="full"):
                session.sql(statement)
            assert rows(session, "SELECT c FROM v") == [(1,)]
            assert rows(session, "SHOW TABLES") == [("t",)]
        database.execute("PRAGMA max_page_count = 1000000")
        session.sql(f"INSERT INTO t VALUES {many}")
    with ps.Session(tmp_path) as again:
        assert rows(again, "SELECT c FROM v") == [(len(texts) + 1,)]
    assert sqlite3.connect(tmp_path / "session.db").execute(
        "PRAGMA integrity_check"
    ).fetchone() == ("ok",)


def test_many_values_and_many_statements_in_one_text() -> None:
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a NUMERIC(10, 2))")
        session.sql("INSERT INTO t VALUES " + ", ".join(f"({n}), ({n}.5)" for n in range(5_000)))
        session.sql(";".join(f"INSERT INTO t VALUES ({n})" for n in range(300)))
        assert rows(session, "SELECT count(*) FROM t") == [(10_300,)]


@pytest.mark.parametrize("text", ["1_000", "0o17", "1e5x"])
def test_digits_with_letters_behind_are_no_number(text: str) -> None:
    with (
        ps.Session() as session,
        pytest.raises(PlanError, match="at line 1, column 8 is no number"),
    ):
        session.sql(f"SELECT {text}")
