from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.databases import Database, Duckdb, Postgres, Sqlite
from tests.servers.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_schema(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.empty_schema() as conninfo:
        yield conninfo


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        yield Sqlite(tmp_path)
    elif request.param == "duckdb":
        duckdb = Duckdb(tmp_path)
        yield duckdb
        duckdb.open.close()
    else:
        yield Postgres(request.getfixturevalue("postgres_schema"))
