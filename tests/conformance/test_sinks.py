"""Every registered sink keeps the contract; one without a check fails here."""

from __future__ import annotations

import inspect
import io
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest
from psycopg.rows import dict_row

from penstock.columns import WEIGHT
from penstock.connectors import registry
from penstock.connectors.callback.config import CallbackSinkSpec
from penstock.connectors.collect.config import CollectSinkSpec
from penstock.connectors.collect.sink import Collected
from penstock.connectors.console.config import ConsoleSinkSpec
from penstock.connectors.contract import SinkSpec
from penstock.connectors.topics.config import topic
from penstock.testing import check_sink, edge_values
from tests.connectors.databases import Database, Duckdb, Postgres, Sqlite
from tests.connectors.http import test_http_sink
from tests.connectors.websocket import test_broadcast

Rows = list[dict[str, Any]]


def check_database(
    database: Database,
    read: Callable[[str], Rows],
    stored: Callable[[str, Any], Any] = lambda _, value: value,
) -> None:
    for key in ((), ("k",)):

        def make(target: str, key: tuple[str, ...] = key) -> SinkSpec:
            return database.spec(f"{target}{len(key)}", key)

        check_sink(make, lambda target, key=key: read(f"{target}{len(key)}"), stored=stored)  # type: ignore[misc]


def in_sqlite(name: str, value: Any) -> Any:
    """What the contract says of values that SQLite lacks."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and value >= 2**63:
        return f"{value:020d}"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, datetime):
        instant = value.astimezone(UTC) if value.tzinfo else value
        return instant.isoformat(" ", "microseconds")
    if isinstance(value, time):
        return value.isoformat("microseconds") + "000"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return value


def check_sqlite(request: pytest.FixtureRequest, folder: Path) -> None:
    database = Sqlite(folder)

    def read(table: str) -> Rows:
        import sqlite3

        connection = sqlite3.connect(folder / "out.db")
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
        connection.close()
        return found

    check_database(database, read, in_sqlite)


def check_duckdb(request: pytest.FixtureRequest, folder: Path) -> None:
    database = Duckdb(folder)

    def read(table: str) -> Rows:
        with duckdb.connect(folder / "out.duckdb") as connection:
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    check_database(database, read)
    database.open.close()


def check_postgres(request: pytest.FixtureRequest, folder: Path) -> None:
    database = Postgres(request.getfixturevalue("postgres_schema"))

    def read(table: str) -> Rows:
        with psycopg.connect(database.conninfo, row_factory=dict_row) as connection:
            return connection.execute(f"SELECT * FROM {table}".encode()).fetchall()

    check_database(database, read)


def check_files(request: pytest.FixtureRequest, folder: Path) -> None:
    check_file_format(folder / "a", "parquet", pl.read_parquet)
    check_file_format(folder / "b", "parquet", pl.read_parquet, roll_rows=1)
    check_file_format(folder / "c", "ipc", pl.read_ipc, roll_rows=2)


def check_file_format(
    base: Path, form: str, reader: Callable[[Path], pl.DataFrame], **options: int
) -> None:
    def read(target: str) -> pl.DataFrame:
        frames = [reader(path) for path in sorted((base / target).rglob("part-*"))]
        return pl.concat(frames) if frames else pl.DataFrame()

    check_sink(lambda target: registry.sink(f"files:{base}/{target}", format=form, **options), read)


def check_topic(request: pytest.FixtureRequest, folder: Path) -> None:
    def read(target: str) -> pl.DataFrame:
        source = topic(str(folder / target), stop="at end").open()
        source.seek(None)
        frames, ended = [], False
        while not ended:
            polled = source.poll(1000, 0)
            frames.append(polled.frame)
            ended = polled.ended
        source.close()
        return pl.concat(frames)

    check_sink(lambda target: registry.sink(f"topic:{folder}/{target}"), read)


def check_console(request: pytest.FixtureRequest, folder: Path) -> None:
    check_sink(lambda target: ConsoleSinkSpec(target, file=io.StringIO()))
    check_sink(lambda target: ConsoleSinkSpec(target, key=("k",), file=io.StringIO()))


Check = Callable[[pytest.FixtureRequest, Path], None]
CHECKS: dict[str, Check] = {
    "console": check_console,
    "duckdb": check_duckdb,
    "files": check_files,
    "postgres": check_postgres,
    "postgresql": check_postgres,
    "sqlite": check_sqlite,
    "topic": check_topic,
}


WITH_SERVERS = {"amqp", "kafka", "mqtt", "nats", "rabbitmq", "redis"}
"""Checked in tests/systems, by ``make test-connectors``."""

ELSEWHERE: dict[str, Callable[[], None]] = {
    "http": test_http_sink.test_it_keeps_the_contract_of_sinks,
    "https": test_http_sink.test_it_keeps_the_contract_of_sinks,
    "websocket-server": test_broadcast.test_it_keeps_the_contract_of_sinks,
}
"""Checked beside the server of their own tests, which runs them."""


@pytest.mark.parametrize("scheme", sorted(ELSEWHERE))
def test_a_sink_that_is_checked_elsewhere_is_checked(scheme: str) -> None:
    assert "check_sink(" in inspect.getsource(ELSEWHERE[scheme])


@pytest.mark.parametrize("scheme", sorted(set(registry.SINKS) - WITH_SERVERS - set(ELSEWHERE)))
def test_a_registered_sink_keeps_the_contract(
    scheme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert scheme in CHECKS, f"add a check of sink {scheme!r} to {Path(__file__).name}"
    CHECKS[scheme](request, tmp_path)


@pytest.mark.parametrize("every_epoch", [False, True])
def test_a_callback_keeps_the_contract(every_epoch: bool) -> None:
    seen: dict[str, list[pl.DataFrame]] = {}

    def make(target: str) -> SinkSpec:
        return CallbackSinkSpec(seen.setdefault(target, []).append, every_epoch=every_epoch)

    def read(target: str) -> pl.DataFrame:
        return pl.concat([frame for frame in seen[target] if frame.width], how="diagonal")

    check_sink(make, read)


def test_collecting_keeps_the_contract() -> None:
    tables: dict[str, Collected] = {}
    check_sink(
        lambda target: CollectSinkSpec(tables.setdefault(target, Collected())),
        lambda target: tables[target].table(),
    )


def test_edge_values_are_what_they_say() -> None:
    frame = edge_values()
    assert frame.height == 4
    assert frame["signs"].is_nan().sum() == 1
    assert WEIGHT not in frame.columns
