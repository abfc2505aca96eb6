"""A secret that is planted comes out nowhere: not in files, logs, errors, or anything shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock import hiding
from penstock.errors import ConfigError, PenstockError
from tests.servers.postgres import PostgresServer

PLANTED = "pl4nted-s3cret"


@pytest.fixture(autouse=True)
def _in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", PLANTED)
    monkeypatch.setattr(hiding, "_revealed", set[str]())  # what other tests gave as passwords


@pytest.fixture
def planted(postgres_server: PostgresServer) -> Iterator[str]:
    """Give a connection text whose password, by reference, the server really asks for."""
    rules = postgres_server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE careful LOGIN SUPERUSER PASSWORD '{PLANTED}'")
        rules.write_text(f"local all careful scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield f"host={postgres_server.folder} dbname=postgres user=careful password=${{env:PLANTED}}"
        finally:
            rules.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP OWNED BY careful")
            connection.execute("DROP ROLE careful")


def refuse_planted(folder: Path, *said: str) -> None:
    """Fail if the secret is in any file under ``folder``, or in what was said."""
    for path in folder.rglob("*"):
        assert not path.is_file() or PLANTED.encode() not in path.read_bytes(), path
    assert not [text for text in said if PLANTED in text]


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_pipeline_into_postgres(
    planted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = ps.scan_rate(total=5)
    query = (
        rows.group_by(pl.col("offset") % 2)
        .agg(n=pl.len())
        .sink_postgres(planted, "careful_counts", key="offset")
    )
    with caplog.at_level(logging.DEBUG):
        running = query.start(checkpoint=tmp_path / "checkpoint")
        running.wait()
    refuse_planted(tmp_path, caplog.text, query.explain(), repr(query), repr(running.progress()))
    with psycopg.connect(planted.replace("${env:PLANTED}", PLANTED)) as connection:
        assert connection.execute("SELECT sum(n) FROM careful_counts").fetchone() == (5,)


def test_a_pipeline_whose_password_is_refused(
    planted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", f"not-{PLANTED}")
    query = ps.scan_rate(total=5).sink_postgres(planted, "careful_counts")
    with caplog.at_level(logging.DEBUG), pytest.raises(PenstockError) as caught:
        query.start(checkpoint=tmp_path / "checkpoint").wait()
    refuse_planted(tmp_path, caplog.text, shown(caught.value))


def test_a_connection_text_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = f"host=/nowhere password={PLANTED} {PLANTED}"
    with caplog.at_level(logging.DEBUG), pytest.raises(PenstockError) as caught:
        ps.scan_rate(total=5).sink_postgres(broken, "t").start().wait()
    assert "PostgreSQL" in str(caught.value)
    said = shown(caught.value).replace(f"password={PLANTED} {PLANTED}", "")  # this test's own lines
    refuse_planted(tmp_path, caplog.text, said)


def test_a_durable_session(planted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "session"
    with caplog.at_level(logging.DEBUG), ps.Session(checkpoint=folder) as session:
        session.sql("CREATE TABLE t (offset_ INT PRIMARY KEY)")
        session.sql(
            "CREATE SINK careful FROM t WITH (connector = 'postgres', "
            f"conninfo = '{planted}', table = 'careful_counts', key = 'offset_')"
        )
        session.sql("INSERT INTO t VALUES (1), (2)")
        session.wait()
        said = [repr(session), str(session.sql("SHOW SINKS"))]
    with ps.Session(checkpoint=folder) as session:
        session.sql("INSERT INTO t VALUES (3)")
        session.wait()
    refuse_planted(tmp_path, caplog.text, *said)
    with psycopg.connect(planted.replace("${env:PLANTED}", PLANTED)) as connection:
        assert connection.execute("SELECT count(*) FROM careful_counts").fetchone() == (3,)


@pytest.mark.parametrize(
    ("statement", "option"),
    [
        (
            "CREATE SINK s FROM t WITH (connector = 'postgres', "
            f"conninfo = 'postgresql://me:{PLANTED}@h/db', table = 'x')",
            "conninfo",
        ),
        (
            "CREATE SINK s FROM t WITH (connector = 'postgres', "
            f"conninfo = 'host=h password={PLANTED}', table = 'x')",
            "conninfo",
        ),
        (f"CREATE SOURCE s FROM 'tcp://me:{PLANTED}@localhost:1'", "url"),
        (f"CREATE SOURCE s WITH (connector = 'tcp', password = '{PLANTED}')", "password"),
    ],
)
def test_a_durable_session_refuses_what_it_would_write_down(
    tmp_path: Path, statement: str, option: str
) -> None:
    with ps.Session(checkpoint=tmp_path) as session:
        session.sql("CREATE TABLE t (a INT)")
        with pytest.raises(ConfigError, match=f"option '{option}' holds a secret") as caught:
            session.sql(statement)
    assert "${env:NAME}" in str(caught.value)
    refuse_planted(tmp_path, str(caught.value))


def test_statements_that_are_not_understood_are_not_shown(tmp_path: Path) -> None:
    with ps.Session(checkpoint=tmp_path) as session:
        for statement in (
            f"CREATE SECRET s AS '{PLANTED}'",
            f"CREATE SECRET s WITH (backend = 'meta') AS '{PLANTED}'",
            f"CREATE VIEW v AS SELECT * FROM 'tcp://me:{PLANTED}@localhost:1'",
        ):
            with pytest.raises(PenstockError) as caught:
                session.sql(statement)
            refuse_planted(tmp_path, str(caught.value))
