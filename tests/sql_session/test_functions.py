"""Functions in Python that statements call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PlanError

TWICE = """
CREATE FUNCTION twice(n BIGINT) RETURNS BIGINT LANGUAGE python AS $$
def twice(n):
    return None if n is None else 2 * n
$$;
"""
WHOLE = """
CREATE FUNCTION letters(s TEXT, c TEXT) RETURNS INT LANGUAGE python AS $$
def letters(s: pl.Series, c: pl.Series) -> pl.Series:
    return s.str.count_matches(c, literal=True)
$$;
"""


@pytest.fixture
def session() -> Iterator[ps.Session]:
    with ps.Session() as opened:
        opened.sql("CREATE TABLE t (n INT, s TEXT)")
        opened.sql("INSERT INTO t VALUES (1, 'abba'), (NULL, NULL)")
        yield opened


def rows(session: ps.Session, query: str) -> list[tuple[object, ...]]:
    found = session.sql(query)
    assert found is not None
    return sorted(found.rows(), key=repr)


def test_a_function_is_called_by_row(session: ps.Session) -> None:
    session.sql(TWICE)
    assert rows(session, "SELECT twice(n), twice(4) FROM t") == [(2, 8), (None, 8)]


def test_a_function_is_called_with_columns(session: ps.Session) -> None:
    session.sql(WHOLE)
    assert rows(session, "SELECT letters(s, 'b') FROM t") == [(2,), (None,)]
    assert rows(session, "SELECT letters(s, 'b') FROM t WHERE n > 5") == []
    assert rows(session, "SELECT letters('bob', 'b')") == [(2,)]


def test_a_view_takes_back_what_the_function_gave(session: ps.Session) -> None:
    calls = iter(range(100))
    session.function("number", lambda n: next(calls), [pl.Int64, pl.Int64])
    session.sql("CREATE MATERIALIZED VIEW v AS SELECT n, number(n) AS c FROM t")
    session.sql("INSERT INTO t VALUES (7, 'x'), (8, 'x')")
    before = {row[0]: row[1] for row in rows(session, "SELECT n, c FROM v WHERE n IS NOT NULL")}
    session.sql("DELETE FROM t WHERE n = 7")
    del before[7]
    assert {
        row[0]: row[1] for row in rows(session, "SELECT n, c FROM v WHERE n IS NOT NULL")
    } == before


def test_a_row_that_the_function_refuses_is_a_dead_letter(session: ps.Session) -> None:
    session.function("inverse", lambda n: 1 / n, [pl.Float64, pl.Float64])
    session.sql("CREATE MATERIALIZED VIEW v AS SELECT inverse(n) AS i FROM t WHERE n IS NOT NULL")
    session.sql("INSERT INTO t VALUES (0, 'x'), (4, 'x')")
    assert rows(session, "SELECT i FROM v") == [(0.25,), (1.0,)]
    assert session.dead_letters().height == 1


def test_a_durable_session_knows_its_functions_again(tmp_path: Path) -> None:
    with ps.Session(tmp_path) as session:
        session.sql(TWICE + "CREATE TABLE t (n INT)")
        session.sql("CREATE MATERIALIZED VIEW v AS SELECT twice(n) AS d FROM t")
        session.sql("INSERT INTO t VALUES (3)")
        with pytest.raises(PlanError, match="would be gone"):
            session.function("f", len, [pl.String, pl.Int64])
    with ps.Session(tmp_path) as session:
        session.sql("INSERT INTO t VALUES (4)")
        assert rows(session, "SELECT d FROM v") == [(6,), (8,)]
        session.sql("DROP VIEW v")
        session.sql("DROP FUNCTION twice")
    with ps.Session(tmp_path) as session, pytest.raises(PlanError, match="no function 'twice'"):
        session.sql("SELECT twice(1)")


def test_a_function_that_a_view_calls_stays(session: ps.Session) -> None:
    session.sql(TWICE + "CREATE MATERIALIZED VIEW v AS SELECT twice(n) AS d FROM t")
    for statement in ("DROP FUNCTION twice", TWICE.replace("CREATE", "CREATE OR REPLACE")):
        with pytest.raises(PlanError, match="v calls it"):
            session.sql(statement)
    session.sql("DROP VIEW v")
    session.sql(TWICE.replace("CREATE", "CREATE OR REPLACE").replace("2 *", "3 *"))
    assert rows(session, "SELECT twice(5)") == [(15,)]
    session.sql("DROP FUNCTION twice; DROP FUNCTION IF EXISTS twice")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (TWICE.replace("python", "sql"), "written in Python"),
        (TWICE.replace("RETURNS BIGINT", ""), "needs RETURNS"),
        (TWICE.replace("def twice", "def thrice"), "defines no 'twice'"),
        (TWICE.replace("2 *", "2 * ("), "does not run"),
        (TWICE.replace("def twice(n)", "def twice(n, m)"), "with 1 arguments"),
        (TWICE + TWICE, "exists already"),
        (TWICE + "SELECT twice(1, 2)", "takes 1 arguments, not 2"),
        ("DROP FUNCTION twice", "no function 'twice'"),
    ],
)
def test_what_is_no_function_is_refused(session: ps.Session, statement: str, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        session.sql(statement)


def test_a_query_over_streams_brings_its_functions() -> None:
    stream = ps.sql(WHOLE + "SELECT letters(s, 'a') AS n FROM t", t=pl.DataFrame({"s": ["banana"]}))
    assert stream.collect().rows() == [(3,)]
