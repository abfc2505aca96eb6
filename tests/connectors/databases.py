"""The database sinks under one face, so that one test module can ask the same of each."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg

from penstock.connectors.contract import SinkSpec
from penstock.connectors.duckdb.config import DuckdbSinkSpec
from penstock.connectors.postgres.config import PostgresSinkSpec
from penstock.connectors.sqlite.config import SqliteSinkSpec


class Database(Protocol):
    """A fresh, empty database of one kind."""

    kind: str

    def spec(self, table: str, key: tuple[str, ...] = ()) -> SinkSpec: ...

    def query(self, statement: str) -> list[tuple[Any, ...]]: ...


@dataclass
class Sqlite:
    folder: Path
    kind: str = field(default="sqlite", init=False)

    def spec(self, table: str, key: tuple[str, ...] = ()) -> SinkSpec:
        return SqliteSinkSpec(self.folder / "out.db", table, key)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "out.db")) as connection:
            found = connection.execute(statement).fetchall()
            connection.commit()
            return found


@dataclass
class Duckdb:
    folder: Path
    kind: str = field(default="duckdb", init=False)

    def __post_init__(self) -> None:
        self.open = duckdb.connect(self.folder / "out.duckdb")  # while open, others open at once

    def spec(self, table: str, key: tuple[str, ...] = ()) -> SinkSpec:
        return DuckdbSinkSpec(self.folder / "out.duckdb", table, key)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "out.duckdb")) as connection:
            return connection.execute(statement).fetchall()


@dataclass
class Postgres:
    conninfo: str
    kind: str = field(default="postgres", init=False)

    def spec(self, table: str, key: tuple[str, ...] = ()) -> SinkSpec:
        return PostgresSinkSpec(self.conninfo, table, key)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.conninfo) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
