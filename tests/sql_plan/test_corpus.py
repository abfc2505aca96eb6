"""Every case of the corpus: each view equals the oracle's after every step, also when reopened."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg
import pytest

import penstock as ps
from penstock.errors import PlanError
from penstock.sql_plan.dialect import statements
from tests.servers.postgres import PostgresServer, running_postgres
from tests.sql_plan.corpus_cases import VIEW, Case, Step, cases, read
from tests.sql_plan.oracle import same_rows

CASES = {case.name: case for case in cases()}
Rows = list[tuple[Any, ...]]


class Oracle(Protocol):
    """A database that computes its views when they are read."""

    def run(self, text: str) -> None:
        """Run statements in the database's own words."""

    def rows(self, query: str) -> Rows:
        """Return what a query gives now."""


class DuckDBOracle:
    """DuckDB, set to PostgreSQL's order of nulls, division and time zone."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        for setting in (
            "default_null_order = 'nulls_last_on_asc_first_on_desc'",
            "integer_division = true",
            "TimeZone = 'UTC'",
        ):
            self._connection.execute(f"SET {setting}")

    def run(self, text: str) -> None:
        self._connection.execute(text)

    def rows(self, query: str) -> Rows:
        return self._connection.execute(query).fetchall()


class PostgresOracle:
    """A real server."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        connection.execute("SET TimeZone = 'UTC'")

    def run(self, text: str) -> None:
        self._connection.execute(text.encode())

    def rows(self, query: str) -> Rows:
        return self._connection.execute(query.encode()).fetchall()


_WATERMARK = re.compile(r",\s*WATERMARK FOR \w+ AS [^)]*")


def plain(text: str, oracles: Mapping[str, str]) -> str:
    """Return statements in the oracle's words: its own query for a view it has no words for."""
    text = VIEW.sub(
        lambda m: f"CREATE VIEW {m[1]} AS {oracles[m[1]]};" if m[1] in oracles else m[0], text
    )
    text = _WATERMARK.sub("", text.replace("APPEND ONLY", ""))
    return text.replace("CREATE MATERIALIZED VIEW", "CREATE VIEW")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@contextlib.contextmanager
def oracle_of(case: Case, request: pytest.FixtureRequest) -> Iterator[Oracle]:
    if not case.postgres:
        yield DuckDBOracle()
        return
    running: PostgresServer = request.getfixturevalue("server")
    with (
        running.empty_schema() as conninfo,
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        yield PostgresOracle(connection)


def take(session: ps.Session, oracle: Oracle, step: Step, oracles: Mapping[str, str]) -> None:
    """Run a step in both, and compare."""
    if step.refused is not None:
        for marked in statements(step.text):
            with pytest.raises(PlanError) as caught:
                session.sql(marked.text)
            assert step.refused in str(caught.value)
        return
    session.sql(step.text)
    oracle.run(plain(step.text, oracles))
    for view in step.views:
        found = session.table(view).rows()
        wanted = step.rows[view] if view in step.rows else oracle.rows(f"SELECT * FROM {view}")
        assert same_rows(found, wanted), (
            f"{view} after {step.text}\nfound  {found}\nwanted {wanted}"
        )


def asked_again(session: ps.Session, case: Case) -> None:
    """A view's query, answered once, gives what the view holds."""
    for view, query in case.views.items():
        found = session.sql(query)
        assert found is not None
        kept = session.table(view).rows()
        assert same_rows(found.rows(), kept), f"{view}\nonce {found.rows()}\nkept {kept}"


@pytest.mark.parametrize("name", CASES)
def test_a_case_run_whole(name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    with ps.Session() as session, oracle_of(case, request) as oracle:
        for step in case.steps:
            take(session, oracle, step, case.oracles)
        if not case.waits:
            asked_again(session, case)


@pytest.mark.parametrize("name", CASES)
def test_a_case_closed_and_opened_half_way(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case, half = CASES[name], len(CASES[name].steps) // 2
    with oracle_of(case, request) as oracle:
        for part in (case.steps[:half], case.steps[half:]):
            with ps.Session(tmp_path) as session:
                for step in part:
                    take(session, oracle, step, case.oracles)


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 300
    views = [case for case in CASES.values() if not case.views]
    assert all(any(step.refused for step in case.steps) for case in views)


@pytest.mark.parametrize(
    "fault",
    [
        lambda s: s.replace("sum(v)", "max(v)"),
        lambda s: s.replace("-- step\nDELETE FROM t", "-- step\n-- rows s: [(7,)]\nDELETE FROM t"),
    ],
)
def test_a_wrong_answer_is_found(fault: Callable[[str], str]) -> None:
    text = (
        "-- a sum\nCREATE TABLE t (v INT);\nCREATE MATERIALIZED VIEW s AS SELECT sum(v) FROM t;\n"
        "-- step\nINSERT INTO t VALUES (1), (2);\n-- step\nDELETE FROM t;\n"
    )
    right, wrong = read("right", text), read("wrong", fault(text))
    found = []
    with ps.Session() as session:
        oracle = DuckDBOracle()
        for ours, theirs in zip(wrong.steps, right.steps, strict=True):
            session.sql(ours.text)
            oracle.run(plain(theirs.text, {}))
            wanted = ours.rows.get("s", oracle.rows("SELECT * FROM s"))
            found.append(same_rows(session.table("s").rows(), wanted))
    assert not all(found)
