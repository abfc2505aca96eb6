"""What a PostgreSQL sink is told: the server, the table, and the key of a keyed table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import polars as pl

from penstock.connectors.options import names
from penstock.connectors.postgres.sink import PostgresSink
from penstock.connectors.sql_types import Dialect
from penstock.connectors.tables import TableFacts, check_columns, check_table
from penstock.errors import ConfigError
from penstock.secrets import is_reference

_LONGEST_NAME = 63
"""Bytes of an identifier in PostgreSQL (NAMEDATALEN - 1); longer ones are cut without an error."""


@dataclass(frozen=True, slots=True)
class PostgresSinkSpec(TableFacts):
    """Rows into one PostgreSQL table; with ``key``, one row per key, replaced and deleted.

    ``conninfo`` is what libpq takes: ``postgresql://user:${env:PGPASSWORD}@host/db`` or ``host=...
    dbname=...``; references are looked up when connecting (``penstock/secrets.py``). The
    table is created from the columns of the stream if it is absent (types:
    ``connectors/sql_types.py``), in ``schema`` or the first schema of the search path. Each epoch
    is one transaction, together with its number in ``penstock_epochs``: exactly once. A lost
    connection is opened again when the epoch is tried again.

    >>> PostgresSinkSpec("postgresql://me:secret@db.local/shop", "counts", key=("path",)).name
    'postgres shop@db.local:counts'
    """

    conninfo: str = field(repr=False)
    table: str
    key: tuple[str, ...] = ()
    schema: str | None = None

    def __post_init__(self) -> None:
        check_table(self.table, self.key, self.name)
        self._check_name(self.table)
        if self.schema is not None:
            check_table(self.schema, (), self.name)
            self._check_name(self.schema)

    @property
    def name(self) -> str:
        """Short name for plans and errors, without user and password."""
        table = self.table if self.schema is None else f"{self.schema}.{self.table}"
        return f"postgres {_where(self.conninfo)}:{table}"

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        check_columns(schema, self.key, Dialect.POSTGRES, self.name)
        for name in schema:
            self._check_name(name)

    def probe(self) -> str:
        """Log in, and look for the table."""
        return self.open().probe()

    def open(self) -> PostgresSink:
        """Return the live sink."""
        return PostgresSink(self.name, self.conninfo, self.table, self.key, self.schema)

    def _check_name(self, name: str) -> None:
        if len(name.encode()) > _LONGEST_NAME:
            raise ConfigError(
                f"the name {name!r} is longer than {_LONGEST_NAME} bytes, PostgreSQL's limit",
                step=self.name,
                value=name,
                hint="rename it",
            )


def postgres_sink(
    conninfo: str, table: str, *, key: str | Iterable[str] = (), schema: str | None = None
) -> PostgresSinkSpec:
    """Describe a table of a PostgreSQL database."""
    return PostgresSinkSpec(conninfo, table, names(key), schema)


def _where(conninfo: str) -> str:
    """Return ``database@host``, as far as the connection string says them."""
    if is_reference(conninfo):
        return conninfo
    if "://" in conninfo:
        parts = urlsplit(conninfo)
        found = [parts.path.strip("/"), parts.hostname or ""]
    else:
        found = [_option(conninfo, "dbname"), _option(conninfo, "host")]
    return "@".join(part for part in found if part)


def _option(conninfo: str, name: str) -> str:
    match = re.search(rf"\b{name}\s*=\s*('[^']*'|\S+)", conninfo)
    return match.group(1).strip("'") if match else ""
