"""Every case of the corpus: each view equals the oracle's after every step, also when killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import signal
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
from tests.sql_plan.corpus_child import PROGRESS, main
from tests.sql_plan.oracle import same_rows

CASES = {case.name: case for case in cases()}
SEED = os.environ.get("CORPUS_SEED", "1")
"""Decides where each case is killed."""

KILLED = set(random.Random(f"cases {SEED}").sample(sorted(CASES), len(CASES) // 8))
"""The cases that are killed in each run of the tests; nightly all are."""

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.sql_plan.corpus_child"])
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


class NoOracle:
    """For statements that no other database knows: what is expected is written down."""

    def run(self, text: str) -> None:
        """Do nothing."""

    def rows(self, query: str) -> Rows:
        raise AssertionError(f"nothing says what is expected of {query}")


@contextlib.contextmanager
def oracle_of(case: Case, request: pytest.FixtureRequest) -> Iterator[Oracle]:
    if case.alone:
        yield NoOracle()
        return
    if not case.postgres:
        yield DuckDBOracle()
        return
    running: PostgresServer = request.getfixturevalue("server")
    with (
        running.empty_schema() as conninfo,
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        yield PostgresOracle(connection)


def take(
    session: ps.Session, oracle: Oracle, step: Step, texts: list[str], oracles: Mapping[str, str]
) -> None:
    """Run a step in both, or what is left of it, and compare."""
    for text in texts:
        if step.refused is None:
            session.sql(text)
            session.wait()
            continue
        with pytest.raises(PlanError) as caught:
            session.sql(text)
        assert step.refused in str(caught.value)
    if step.refused is None:
        oracle.run(plain(step.text, oracles))
    for view in step.views:
        found = session.table(view).rows()
        wanted = step.rows[view] if view in step.rows else oracle.rows(f"SELECT * FROM {view}")
        assert same_rows(found, wanted), (
            f"{view} after {step.text}\nfound  {found}\nwanted {wanted}"
        )


def compare_answers(session: ps.Session, step: Step, folder: Path) -> None:
    for query, wanted in step.answers:
        found = session.sql(query.replace("{folder}", str(folder)))
        assert found is not None
        assert same_rows(found.rows(), wanted), f"{query}\nfound  {found.rows()}\nwanted {wanted}"


def texts_of(step: Step, folder: Path) -> list[str]:
    """Return the statements of a step."""
    return [marked.text for marked in statements(step.text.replace("{folder}", str(folder)))]


def asked_again(session: ps.Session, case: Case) -> None:
    """A view's query, answered once, gives what the view holds."""
    for view, query in case.views.items():
        found = session.sql(query)
        assert found is not None
        kept = session.table(view).rows()
        assert same_rows(found.rows(), kept), f"{view}\nonce {found.rows()}\nkept {kept}"


@pytest.mark.parametrize("name", CASES)
def test_a_case_run_whole(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    case = CASES[name]
    with ps.Session() as session, oracle_of(case, request) as oracle:
        for step in case.steps:
            take(session, oracle, step, texts_of(step, tmp_path), case.oracles)
            compare_answers(session, step, tmp_path)
        if not case.alone and not case.waits:
            asked_again(session, case)


def killed(folder: Path, texts: list[str], at: int, *, after: bool) -> int:
    """Run statements in a process that is killed; return how many of them it had written down."""
    process = SERVER.Process(target=main, args=(folder, texts, at, after))
    process.start()
    process.join(120)
    assert process.exitcode in (-signal.SIGKILL, 255), process.exitcode
    process.close()
    return int((folder / PROGRESS).read_text())


@pytest.mark.parametrize("name", [name for name in CASES if name not in KILLED])
def test_a_case_closed_and_opened_half_way(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case, half = CASES[name], len(CASES[name].steps) // 2
    with oracle_of(case, request) as oracle:
        for part in (case.steps[:half], case.steps[half:]):
            with ps.Session(tmp_path / "session") as session:
                for step in part:
                    take(session, oracle, step, texts_of(step, tmp_path), case.oracles)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in KILLED else pytest.mark.nightly) for n in CASES]
)
def test_a_case_killed_and_opened_again(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    case, chance = CASES[name], random.Random(f"{SEED} {name}")
    parts = [texts_of(step, tmp_path) for step in case.steps]
    every = [text for part in parts for text in part]
    at, after = chance.randint(1, len(every)), chance.random() < 0.5
    done = killed(tmp_path, every, at, after=after)
    with oracle_of(case, request) as oracle, ps.Session(tmp_path / "session") as session:
        for step, texts in zip(case.steps, parts, strict=True):
            if done >= len(texts) and step is not case.steps[-1]:
                oracle.run(plain(step.text, case.oracles) if step.refused is None else "")
            else:
                take(session, oracle, step, texts[done:], case.oracles)
                session.wait()
                compare_answers(session, step, tmp_path)
            done = max(0, done - len(texts))


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 300
    for case in CASES.values():
        checked = (step.views or step.answers or step.refused for step in case.steps)
        assert any(checked), case.name


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
