"""What a SQLite sink is told: the file, the table, and the key that makes it a keyed table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from penstock.connectors.options import duration, names
from penstock.connectors.probing import writable_file
from penstock.connectors.sql_types import Dialect
from penstock.connectors.sqlite.sink import SqliteSink, probe_file
from penstock.connectors.tables import TableFacts, check_columns, check_table
from penstock.errors import ConfigError
from penstock.instants import Duration


@dataclass(frozen=True, slots=True)
class SqliteSinkSpec(TableFacts):
    """Rows into one table of a SQLite file; with ``key``, one row per key, replaced and deleted.

    The table is created from the columns of the stream if it is absent (types:
    ``connectors/sql_types.py``). Each epoch is one transaction, together with its number in
    ``penstock_epochs``: exactly once. Another process that holds the file is waited for up to
    ``busy_timeout``.

    >>> SqliteSinkSpec("out.db", "counts", key=("path",)).name
    'sqlite out.db:counts'
    """

    path: str | Path
    table: str
    key: tuple[str, ...] = ()
    busy_timeout: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        check_table(self.table, self.key, self.name)
        if self.table.lower().startswith("sqlite_"):
            raise ConfigError(
                "SQLite keeps names that begin with sqlite_ for itself",
                step=self.name,
                value=self.table,
            )
        if self.busy_timeout < timedelta(0):
            raise ConfigError("busy_timeout is negative", step=self.name, value=self.busy_timeout)

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return f"sqlite {self.path}:{self.table}"

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        check_columns(schema, self.key, Dialect.SQLITE, self.name)

    def probe(self) -> str:
        """Look whether the file is a database that may be written."""
        found = writable_file(self.path, self.name)
        if Path(self.path).exists():
            probe_file(str(self.path), self.name)
        return found

    def open(self) -> SqliteSink:
        """Return the live sink."""
        return SqliteSink(self.name, str(self.path), self.table, self.key, self.busy_timeout)


def sqlite_sink(
    path: str | Path,
    table: str,
    *,
    key: str | Iterable[str] = (),
    busy_timeout: Duration = timedelta(seconds=10),
) -> SqliteSinkSpec:
    """Describe a table of a SQLite file."""
    wait = duration(busy_timeout, step=f"sqlite {path}", option="busy_timeout")
    return SqliteSinkSpec(path, table, names(key), wait)
