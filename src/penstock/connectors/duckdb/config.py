"""What a DuckDB sink is told: the file, the table, and the key that makes it a keyed table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from penstock.connectors.duckdb.sink import DuckdbSink
from penstock.connectors.options import names
from penstock.connectors.probing import writable_file
from penstock.connectors.sql_types import Dialect
from penstock.connectors.tables import TableFacts, check_columns, check_table


@dataclass(frozen=True, slots=True)
class DuckdbSinkSpec(TableFacts):
    """Rows into one table of a DuckDB file; with ``key``, one row per key, replaced and deleted.

    The table is created from the columns of the stream if it is absent (types:
    ``connectors/sql_types.py``). Each epoch is one transaction, together with its number in
    ``penstock_epochs``: exactly once. DuckDB lets one process at a time open a file for writing.

    >>> DuckdbSinkSpec("out.duckdb", "counts", key=("path",)).name
    'duckdb out.duckdb:counts'
    """

    path: str | Path
    table: str
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_table(self.table, self.key, self.name)

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return f"duckdb {self.path}:{self.table}"

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        check_columns(schema, self.key, Dialect.DUCKDB, self.name)

    def probe(self) -> str:
        """Look whether the file may be written, and is a database that nobody else has open."""
        found = writable_file(self.path, self.name)
        return f"{found}, {self.open().probe()}" if Path(self.path).exists() else found

    def open(self) -> DuckdbSink:
        """Return the live sink."""
        return DuckdbSink(self.name, str(self.path), self.table, self.key)


def duckdb_sink(path: str | Path, table: str, *, key: str | Iterable[str] = ()) -> DuckdbSinkSpec:
    """Describe a table of a DuckDB file."""
    return DuckdbSinkSpec(path, table, names(key))
