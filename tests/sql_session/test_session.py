"""Statements of a session: what they change is seen at once, everywhere, and again after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.errors import CheckpointError, PlanError
from tests.sql_plan.oracle import same_rows


@pytest.fixture
def session() -> Iterator[ps.Session]:
    with ps.Session() as opened:
        opened.sql(
            """
            CREATE TABLE sales (
                id INT PRIMARY KEY, shop TEXT NOT NULL, amount NUMERIC(10, 2) DEFAULT 1.5
            );
            CREATE MATERIALIZED VIEW totals AS
                SELECT shop, sum(amount) total, count(*) n FROM sales GROUP BY shop;
            CREATE MATERIALIZED VIEW big AS SELECT shop FROM totals WHERE total > 5;
            CREATE VIEW loud AS SELECT upper(shop) AS name FROM big;
            INSERT INTO sales VALUES (1, 'north', 5), (2, 'south', 2), (3, 'north', 4.25);
            """
        )
        yield opened


def rows(session: ps.Session, query: str) -> list[tuple[object, ...]]:
    found = session.sql(query)
    assert found is not None
    return sorted(found.rows(), key=repr)


def test_views_over_views_follow_every_statement(session: ps.Session) -> None:
    assert rows(session, "SELECT shop, n FROM totals") == [("north", 2), ("south", 1)]
    session.sql("UPDATE sales SET shop = 'south', amount = amount * 2 WHERE id = 3")
    assert rows(session, "SELECT shop, n FROM totals") == [("north", 1), ("south", 2)]
    assert rows(session, "SELECT * FROM loud") == [("SOUTH",)]
    session.sql("DELETE FROM sales WHERE shop = 'south'")
    assert rows(session, "SELECT * FROM loud") == []
    session.sql("TRUNCATE sales")
    assert rows(session, "SELECT * FROM totals") == []


def test_what_is_left_out_takes_its_default(session: ps.Session) -> None:
    session.sql("INSERT INTO sales (id, shop) VALUES (4, 'west')")
    session.sql("INSERT INTO sales VALUES (5, 'west', DEFAULT)")
    assert rows(session, "SELECT sum(amount)::text FROM sales WHERE shop = 'west'") == [("3.00",)]


def test_a_conflict_updates_or_does_nothing(session: ps.Session) -> None:
    insert = "INSERT INTO sales (id, shop, amount) VALUES (1, 'x', 7), (9, 'y', 1) ON CONFLICT"
    session.sql(f"{insert} DO NOTHING")
    assert rows(session, "SELECT id, shop FROM sales WHERE id IN (1, 9)") == [
        (1, "north"),
        (9, "y"),
    ]
    session.sql(f"{insert} (id) DO UPDATE SET amount = excluded.amount + sales.amount")
    found = rows(session, "SELECT id, shop, amount::int FROM sales WHERE id IN (1, 9)")
    assert found == [(1, "north", 12), (9, "y", 2)]


def test_returning_shows_the_changed_rows(session: ps.Session) -> None:
    found = session.sql("UPDATE sales SET amount = 0 WHERE id < 3 RETURNING id, shop")
    assert found is not None
    assert sorted(found.rows()) == [(1, "north"), (2, "south")]


def test_update_from_and_delete_using_another_table(session: ps.Session) -> None:
    session.sql("CREATE TABLE closed AS SELECT 'north' AS shop")
    session.sql("UPDATE sales SET amount = 0 FROM closed WHERE sales.shop = closed.shop")
    assert rows(session, "SELECT sum(amount)::int FROM sales") == [(2,)]
    session.sql("DELETE FROM sales USING closed WHERE sales.shop = closed.shop")
    assert rows(session, "SELECT id FROM sales") == [(2,)]


def test_a_view_added_later_holds_what_is_there(session: ps.Session) -> None:
    session.sql("CREATE MATERIALIZED VIEW latest AS SELECT max(id) AS id FROM sales")
    assert rows(session, "SELECT * FROM latest") == [(3,)]
    session.sql("INSERT INTO sales (id, shop) VALUES (8, 'a')")
    assert rows(session, "SELECT * FROM latest") == [(8,)]


def test_the_result_of_a_query_is_in_its_order(session: ps.Session) -> None:
    found = session.sql("SELECT id FROM sales ORDER BY amount DESC")
    assert found is not None
    assert found["id"].to_list() == [1, 3, 2]


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("INSERT INTO sales VALUES (1, 'x', 1)", "two rows with key (1,)"),
        ("INSERT INTO sales VALUES (7, 'x', 1), (7, 'y', 1)", "two rows with key (7,)"),
        ("INSERT INTO sales VALUES (9, NULL, 1)", "'shop' of table 'sales' cannot be null"),
        ("INSERT INTO sale VALUES (1)", "did you mean 'sales'?"),
        ("INSERT INTO totals VALUES ('a', 1, 1)", "cannot insert into a view"),
        ("INSERT INTO sales (id, shop) VALUES (7, 'a', 'b')", "3 values for 2 columns"),
        ("INSERT INTO sales (id, shp) VALUES (7, 'a')", "did you mean 'shop'?"),
        ("INSERT INTO sales VALUES ('x', 'x')", "'x' is not a INTEGER"),
        ("UPDATE sales SET id = 1", "two rows with key (1,)"),
        ("UPDATE sales SET amont = 1", "did you mean 'amount'?"),
        ("CREATE TABLE totals (a INT)", "exists already"),
        ("CREATE TABLE t (a INT, A INT)", "given twice"),
        ("CREATE TABLE t (a INT UNIQUE)", "not supported"),
        ("CREATE TABLE t (a FOO)", "FOO"),
        ("CREATE TABLE t (at TIMESTAMP, WATERMARK FOR at AS at)", "needs rows that stay"),
        ("DROP TABLE sales", "totals, big, loud reads it"),
        ("DROP TABLE nothing", "no table or view 'nothing'"),
        ("SELECT * FROM sales EMIT ON WINDOW CLOSE", "belongs to a CREATE statement"),
        ("ALTER TABLE sales ADD COLUMN x INT", "not supported"),
        ("VACUUM", "not supported"),
    ],
)
def test_a_wrong_statement_is_refused_and_changes_nothing(
    session: ps.Session, statement: str, says: str
) -> None:
    before = rows(session, "SELECT * FROM sales"), rows(session, "SELECT * FROM totals")
    with pytest.raises(PlanError) as caught:
        session.sql(statement)
    assert says in str(caught.value)
    assert (rows(session, "SELECT * FROM sales"), rows(session, "SELECT * FROM totals")) == before


def test_looking_around(session: ps.Session) -> None:
    assert rows(session, "SHOW TABLES") == [("sales",)]
    assert rows(session, "SHOW MATERIALIZED VIEWS") == [("big",), ("totals",)]
    assert rows(session, "SHOW VIEWS") == [("loud",)]
    described = session.sql("DESCRIBE sales")
    assert described is not None
    assert described.rows() == [("id", "INTEGER"), ("shop", "TEXT"), ("amount", "NUMERIC(10, 2)")]
    plan = session.sql("EXPLAIN SELECT shop, count(*) FROM sales GROUP BY shop")
    assert plan is not None
    assert any("Aggregate" in line for line in plan["plan"])


def test_a_durable_session_goes_on_where_it_was(tmp_path: Path) -> None:
    with ps.Session(tmp_path) as one:
        one.sql("CREATE TABLE t (a INT, b TEXT)")
        one.sql("INSERT INTO t VALUES (1, 'x'), (1, 'x'), (2, NULL)")
        one.sql("CREATE MATERIALIZED VIEW v AS SELECT a, count(*) n FROM t GROUP BY a")
        one.sql("DELETE FROM t WHERE a = 2")
        one.sql("CREATE OR REPLACE VIEW w AS SELECT a FROM v")
        with pytest.raises(CheckpointError, match="another session holds"):
            ps.Session(tmp_path)
    with ps.Session(tmp_path) as two:
        assert rows(two, "SELECT * FROM v") == [(1, 2)]
        assert rows(two, "SELECT * FROM w") == [(1,)]
        two.sql("INSERT INTO t VALUES (1, 'y')")
        assert rows(two, "SELECT * FROM v") == [(1, 3)]
        two.sql("DROP TABLE t CASCADE")
        two.sql("CREATE TABLE t (c INT)")
    with ps.Session(tmp_path) as three:
        assert rows(three, "SELECT * FROM t") == []
        assert rows(three, "SHOW MATERIALIZED VIEWS") == []


def test_many_changes_are_replaced_by_the_rows(tmp_path: Path) -> None:
    with ps.Session(tmp_path) as one:
        one.sql("CREATE TABLE t (a INT PRIMARY KEY, n INT)")
        one.sql("INSERT INTO t VALUES (1, 0)")
        for _ in range(300):
            one.sql("UPDATE t SET n = n + 1")
    with ps.Session(tmp_path) as two:
        assert rows(two, "SELECT * FROM t") == [(1, 300)]


def test_a_closed_session_says_so(session: ps.Session) -> None:
    session.close()
    with pytest.raises(PlanError, match="closed"):
        session.sql("SELECT 1")


STATEMENTS = st.one_of(
    st.builds(
        "INSERT INTO t VALUES ({}, {}, {})".format,
        st.integers(0, 5),
        st.sampled_from(["NULL", "1", "2", "3"]),
        st.sampled_from(["NULL", "'x'", "'y'"]),
    ),
    st.builds("UPDATE t SET b = b + 1 WHERE a = {}".format, st.integers(0, 5)),
    st.builds("UPDATE t SET c = 'z' WHERE b > {}".format, st.integers(0, 3)),
    st.builds("DELETE FROM t WHERE a = {}".format, st.integers(0, 5)),
    st.just("DELETE FROM t WHERE c IS NULL"),
    st.just("INSERT INTO t SELECT a + 1, b, c FROM t WHERE b = 1"),
)
VIEWS = {
    "sums": "SELECT c, sum(b) s, count(*) n FROM t GROUP BY c",
    "twice": "SELECT x.a, y.b FROM t x JOIN t y ON x.a = y.b",
    "most": "SELECT c FROM sums WHERE n = (SELECT max(n) FROM sums)",
    "distinct_b": "SELECT DISTINCT b FROM t WHERE a NOT IN (SELECT b FROM t WHERE b IS NOT NULL)",
}


@settings(max_examples=settings().max_examples // 4)
@given(st.lists(STATEMENTS, min_size=1, max_size=8), st.integers(0, 8))
def test_random_statements_leave_what_duckdb_has(statements: list[str], views_after: int) -> None:
    oracle = duckdb.connect()
    with ps.Session() as session:
        session.sql("CREATE TABLE t (a INT, b INT, c TEXT)")
        oracle.execute("CREATE TABLE t (a INT, b INT, c TEXT)")
        made = False
        for number, statement in enumerate([*statements, "SELECT 1"]):
            if not made and number >= min(views_after, len(statements)):
                made = True
                for name, query in VIEWS.items():
                    session.sql(f"CREATE MATERIALIZED VIEW {name} AS {query}")
                    oracle.execute(f"CREATE VIEW {name} AS {query}")
            session.sql(statement)
            oracle.execute(statement)
            for name in ("t", *(VIEWS if made else ())):
                wanted = oracle.execute(f"SELECT * FROM {name}").fetchall()
                found = session.table(name).rows()
                assert same_rows(found, wanted), f"{name} after {statement}: {found}, not {wanted}"


def test_a_frame_of_python_types_comes_back(session: ps.Session) -> None:
    found = session.sql("SELECT 1 AS a, 'x' AS b, NULL AS c, 1.5 AS d, date '2020-01-01' AS e")
    assert isinstance(found, pl.DataFrame)
    assert found.columns == ["a", "b", "c", "d", "e"]
