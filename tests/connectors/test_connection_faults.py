"""What happens when a database is busy, gone, or refuses: whose fault, and whether to retry."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import psycopg
import pytest

from penstock.connectors.contract import SinkIdentity
from penstock.connectors.duckdb.config import DuckdbSinkSpec
from penstock.connectors.postgres.config import PostgresSinkSpec
from penstock.connectors.postgres.failures import connector_error
from penstock.connectors.sqlite.config import SqliteSinkSpec
from penstock.errors import ConfigError, ConnectorError, Fault
from penstock.topics import Topic
from tests.servers.postgres import PostgresServer

RUN = SinkIdentity("faults", 1)
FRAME = pl.DataFrame({"k": [1, 2], "v": ["a", "b"]})


def count(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        found = connection.execute("SELECT count(*) FROM t").fetchone()
    assert found is not None
    return int(found[0])


def test_a_lost_connection_may_be_retried_and_is_opened_again(postgres_schema: str) -> None:
    sink = PostgresSinkSpec(postgres_schema, "t").open()
    sink.begin(RUN)
    sink.apply(0, [FRAME])
    backend = sink._live.info.backend_pid
    with psycopg.connect(postgres_schema, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (backend,))
    with pytest.raises(ConnectorError) as caught:
        sink.apply(1, [FRAME])
    assert caught.value.retry
    assert caught.value.fault is Fault.REMOTE
    sink.apply(1, [FRAME])
    sink.apply(1, [FRAME])
    sink.close()
    assert count(postgres_schema) == 4


def test_a_server_that_is_not_there_may_be_retried(tmp_path: Path) -> None:
    spec = PostgresSinkSpec(f"host={tmp_path} user=nobody password=secret", "t")
    with pytest.raises(ConnectorError) as caught:
        spec.open().begin(RUN)
    assert caught.value.retry
    assert "secret" not in f"{spec!r} {spec.name} {caught.value}"


def test_a_database_that_does_not_exist_is_the_users_fault(
    postgres_server: PostgresServer,
) -> None:
    spec = PostgresSinkSpec(f"{postgres_server.conninfo} dbname=nowhere", "t")
    with pytest.raises(ConnectorError, match="does not exist") as caught:
        spec.open().begin(RUN)
    assert not caught.value.retry
    assert caught.value.fault is Fault.USER


def test_text_with_nul_is_a_dead_letter_with_a_way_out(postgres_schema: str) -> None:
    sink = PostgresSinkSpec(postgres_schema, "t").open()
    sink.begin(RUN)
    sink.apply(0, [FRAME.with_columns(v=pl.lit("a\0b"))])
    letters = sink.refused(0)
    assert letters is not None
    assert letters["reason"].str.contains("cannot hold NUL").all()
    sink.apply(1, [FRAME])
    sink.close()
    assert count(postgres_schema) == 2


def test_a_table_may_be_in_another_schema(postgres_schema: str) -> None:
    with psycopg.connect(postgres_schema, autocommit=True) as connection:
        connection.execute('DROP SCHEMA IF EXISTS "Other" CASCADE')
        connection.execute('CREATE SCHEMA "Other"')
        spec = PostgresSinkSpec(postgres_schema, "t", ("k",), schema="Other")
        sink = spec.open()
        sink.begin(RUN)
        sink.apply(0, [FRAME])
        sink.apply(1, [FRAME])
        sink.close()
        found = connection.execute('SELECT k FROM "Other".t ORDER BY k').fetchall()
        connection.execute('DROP SCHEMA "Other" CASCADE')
    assert found == [(1,), (2,)]
    assert spec.name.endswith(":Other.t")


def test_long_names_are_refused_rather_than_cut() -> None:
    with pytest.raises(ConfigError, match="63 bytes"):
        PostgresSinkSpec("", "t" * 64)
    with pytest.raises(ConfigError, match="63 bytes"):
        PostgresSinkSpec("", "t").validate(pl.Schema({"é" * 32: pl.Int64()}))


def test_a_busy_sqlite_file_may_be_retried(tmp_path: Path) -> None:
    spec = SqliteSinkSpec(tmp_path / "out.db", "t", busy_timeout=timedelta(0))
    sink = spec.open()
    sink.begin(RUN)
    with contextlib.closing(sqlite3.connect(tmp_path / "out.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConnectorError, match="locked") as caught:
            sink.apply(0, [FRAME])
        assert caught.value.retry
        other.execute("ROLLBACK")
    sink.apply(0, [FRAME])
    sink.close()


@pytest.mark.parametrize("spec", [SqliteSinkSpec, DuckdbSinkSpec])
def test_a_folder_that_does_not_exist_is_named(
    tmp_path: Path, spec: type[SqliteSinkSpec | DuckdbSinkSpec]
) -> None:
    with pytest.raises(ConnectorError, match="nowhere") as caught:
        spec(tmp_path / "nowhere" / "out", "t").open().begin(RUN)
    assert not caught.value.retry
    assert caught.value.fault is Fault.USER


def test_a_duckdb_file_open_elsewhere_may_be_retried(tmp_path: Path) -> None:
    path = tmp_path / "out.duckdb"
    program = (
        f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(ConnectorError, match="one process write at a time") as caught:
            DuckdbSinkSpec(path, "t").open().begin(RUN)
        other.kill()
    assert caught.value.retry


def test_sqlite_options_are_checked_when_built() -> None:
    with pytest.raises(ConfigError, match="sqlite_"):
        SqliteSinkSpec("out.db", "sqlite_x")
    with pytest.raises(ConfigError, match="busy_timeout"):
        SqliteSinkSpec("out.db", "t", busy_timeout=timedelta(seconds=-1))


def test_passwords_are_not_in_names() -> None:
    spec = PostgresSinkSpec("host=db.local dbname='shop' user=me password=secret", "t")
    assert spec.name == "postgres shop@db.local:t"
    assert "secret" not in repr(spec)


def test_describing_a_sink_loads_no_driver() -> None:
    program = """
import sys
import penstock.connectors.callback.config, penstock.connectors.collect.config
import penstock.connectors.console.config, penstock.connectors.duckdb.config
import penstock.connectors.file_sink.config, penstock.connectors.postgres.config
import penstock.connectors.sqlite.config
print([name for name in ("duckdb", "psycopg", "pyarrow", "rich") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_missing_driver_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[duckdb\]'"):
        DuckdbSinkSpec(tmp_path / "out", "t").open().begin(RUN)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.DiskFull(), True),
        (psycopg.errors.ReadOnlySqlTransaction(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.UndefinedColumn(), False),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.InvalidPassword(), False),
    ],
)
def test_which_postgres_errors_pass(error: psycopg.Error, passes: bool) -> None:
    found = connector_error(error, "step", lost=False)
    assert found.retry is passes
    assert (found.fault is Fault.REMOTE) is passes


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (duckdb.IOException('Could not write file "x": No space left on device'), True),
        (duckdb.IOException('Could not read from file "x": Input/output error'), True),
        (duckdb.IOException('Could not set lock on file "x"'), True),
        (duckdb.IOException('Cannot open file "x": Permission denied'), False),
        (duckdb.FatalException("database has been invalidated"), True),
        (duckdb.OutOfMemoryException("could not allocate"), True),
        (duckdb.TransactionException("Conflict on update"), True),
        (duckdb.CatalogException("Table does not exist"), False),
        (duckdb.ConversionException("Could not convert"), False),
    ],
)
def test_which_duckdb_errors_pass(tmp_path: Path, error: duckdb.Error, passes: bool) -> None:
    sink = DuckdbSinkSpec(tmp_path / "out", "t").open()
    sink.begin(RUN)
    with pytest.raises(ConnectorError) as caught, sink._translated():
        raise error
    sink.close()
    assert caught.value.retry is passes


def test_a_full_sqlite_file_may_be_retried(tmp_path: Path) -> None:
    sink = SqliteSinkSpec(tmp_path / "out.db", "t").open()
    sink.begin(RUN, FRAME.schema)
    sink._live.execute("PRAGMA max_page_count = 8")
    many = pl.DataFrame({"k": range(20_000), "v": ["x" * 50] * 20_000})
    with pytest.raises(ConnectorError, match="full") as caught:
        sink.apply(0, [many])
    assert caught.value.retry
    sink._live.execute("PRAGMA max_page_count = 100000")
    sink.apply(0, [many])
    sink.close()


def test_a_full_topic_may_be_retried(tmp_path: Path) -> None:
    with Topic.create(tmp_path / "t", partitions=1, schema=FRAME.schema) as topic:
        topic.append(FRAME)
        assert topic._store._writer is not None
        topic._store._writer.execute("PRAGMA max_page_count = 10")
        random = pl.DataFrame(
            {"k": range(50_000), "v": [f"{n * 7919 % 65536:x}" for n in range(50_000)]}
        )
        with pytest.raises(ConnectorError, match="full") as caught:
            topic.append(random)
        assert caught.value.retry
        topic._store._writer.execute("PRAGMA max_page_count = 100000")
        topic.append(random)
        assert topic.end_offsets() == {0: 50_002}
