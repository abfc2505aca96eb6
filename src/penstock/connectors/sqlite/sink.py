"""Write a SQLite table: executemany inside one transaction per epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from penstock.connectors.changes import KeyedChanges
from penstock.connectors.epochs import EPOCHS_TABLE, Recorded
from penstock.connectors.poison import LETTERS_TABLE, ValueRefusedError
from penstock.connectors.sql_text import listed, quoted
from penstock.connectors.sql_types import Dialect
from penstock.connectors.sqlite.values import rows
from penstock.connectors.tables import PLACE, TableSink, missing_columns
from penstock.deferred import sqlite3
from penstock.errors import ConnectorError, Fault
from penstock.failures import sqlite_error_passes

_OF_VALUES = (18, 19, 20)
"""SQLITE_TOOBIG, SQLITE_CONSTRAINT (also of a trigger), SQLITE_MISMATCH."""


class SqliteSink(TableSink):
    """A live SQLite sink. WAL, so readers never wait; every commit is on disk when it returns."""

    def __init__(
        self, step: str, path: str, table: str, key: tuple[str, ...], busy_timeout: timedelta
    ) -> None:
        super().__init__(step, table, key, Dialect.SQLITE)
        self._path = path
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None

    @property
    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ConnectorError("not begun, or closed already", step=self._step, fault=Fault.OURS)
        return self._connection

    def _connect(self) -> None:
        with self._translated():
            connection = sqlite3.connect(
                self._path,
                timeout=self._busy_timeout.total_seconds(),
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection = connection
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose epochs acknowledged

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        live = self._live
        with self._translated():
            live.execute("BEGIN IMMEDIATE")
            try:
                yield
                live.execute("COMMIT")
            except BaseException:
                if live.in_transaction:
                    live.execute("ROLLBACK")
                raise

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        live = self._live
        with self._translated():
            live.execute("SAVEPOINT penstock")
            try:
                yield
            except (sqlite3.Error, ConnectorError):
                if live.in_transaction:  # else SQLite has rolled back all of it
                    live.execute("ROLLBACK TO penstock")
                raise
            finally:
                if live.in_transaction:
                    live.execute("RELEASE penstock")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _connector_error(error, self._step) from error

    def _create_bookkeeping(self) -> None:
        self._live.execute(
            f"CREATE TABLE IF NOT EXISTS {EPOCHS_TABLE} "
            "(sink_id TEXT PRIMARY KEY, epoch BIGINT NOT NULL, token BIGINT NOT NULL)"
        )
        self._live.execute(
            f"CREATE TABLE IF NOT EXISTS {LETTERS_TABLE} "
            "(sink_id TEXT NOT NULL, epoch BIGINT NOT NULL, letters BLOB NOT NULL)"
        )

    def _ask(
        self, statement: str, table: str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        return self._live.execute(statement.format(table), parameters).fetchall()

    def _recorded(self, sink_id: str) -> Recorded | None:
        row = self._live.execute(
            f"SELECT epoch, token FROM {EPOCHS_TABLE} WHERE sink_id = ?",  # noqa: S608 - a constant
            (sink_id,),
        ).fetchone()
        return None if row is None else Recorded(*row)

    def _record(self, sink_id: str, recorded: Recorded) -> None:
        self._live.execute(
            f"INSERT INTO {EPOCHS_TABLE} VALUES (?, ?, ?) ON CONFLICT (sink_id) "  # noqa: S608
            "DO UPDATE SET epoch = excluded.epoch, token = excluded.token",
            (sink_id, recorded.epoch, recorded.token),
        )

    def _prepare(self, types: dict[str, str]) -> None:
        columns = [f"{quoted(name)} {sql_type}".rstrip() for name, sql_type in types.items()]
        if self._key:  # not PRIMARY KEY: a lone integer one would turn a null into a number
            columns.append(f"UNIQUE ({listed(self._key)})")
        self._live.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(self._table)} ({', '.join(columns)})"
        )
        found = self._live.execute("SELECT name FROM pragma_table_info(?)", (self._table,))
        present = [name for (name,) in found]
        folded = {name.lower() for name in present}
        missing = [name for name in types if name.lower() not in folded]
        if missing:
            raise missing_columns(self._step, self._table, missing, present)

    def _clear(self) -> None:
        self._live.execute(f"DELETE FROM {quoted(self._table)}")  # noqa: S608 - quoted name

    def _append(self, frame: pl.DataFrame) -> None:
        self._each(self._insert(frame.columns), frame)

    def _change(self, changes: KeyedChanges) -> None:
        self._delete(changes.deletes)
        upserts = changes.upserts
        if upserts.is_empty():
            return
        keys = upserts.select(self._key)
        # A null never conflicts with a null, so those rows are replaced by deleting them first.
        self._delete(keys.filter(pl.any_horizontal(pl.all().is_null())))
        others = [name for name in upserts.columns if name not in self._key]
        update = ", ".join(f"{quoted(n)} = excluded.{quoted(n)}" for n in others)
        action = f"UPDATE SET {update}" if others else "NOTHING"
        statement = f"{self._insert(upserts.columns)} ON CONFLICT ({listed(self._key)}) DO {action}"
        self._each(statement, upserts)

    def _delete(self, keys: pl.DataFrame) -> None:
        test = " AND ".join(f"{quoted(name)} IS ?" for name in keys.columns)
        statement = f"DELETE FROM {quoted(self._table)} WHERE {test}"  # noqa: S608 - quoted names
        if keys.height:
            self._live.executemany(statement, rows(keys))

    def _found(
        self,
        keys: pl.DataFrame,
        nulls: tuple[str, ...],  # noqa: ARG002 - IS takes nulls as they are, by the index
    ) -> Iterator[int]:
        test = " AND ".join(f"{quoted(name)} IS ?" for name in self._key)
        statement = f"SELECT 1 FROM {quoted(self._table)} WHERE {test}"  # noqa: S608 - quoted names
        for place, key in zip(keys[PLACE], rows(keys.select(self._key)), strict=True):
            if self._live.execute(statement, key).fetchone() is not None:
                yield place

    def _each(self, statement: str, frame: pl.DataFrame) -> None:
        """Execute a statement for each row; an error knows which row it was."""
        left = rows(frame)
        try:
            self._live.executemany(statement, left)
        except sqlite3.Error as error:
            refused = _connector_error(error, self._step)
            if isinstance(refused, ValueRefusedError):
                refused.row = frame.height - sum(1 for _ in left) - 1
            raise refused from error

    def _insert(self, columns: Sequence[str]) -> str:
        marks = ", ".join("?" * len(columns))
        return f"INSERT INTO {quoted(self._table)} ({listed(columns)}) VALUES ({marks})"  # noqa: S608


def probe_file(path: str, step: str) -> None:
    """Open a database for reading only; one that is none is an error."""
    try:
        with closing(
            sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)
        ) as found:
            found.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        raise _connector_error(error, step) from error


def _connector_error(error: sqlite3.Error, step: str) -> ConnectorError:
    code = getattr(error, "sqlite_errorcode", None)
    passing = sqlite_error_passes(error)
    hint = None
    if "ON CONFLICT clause does not match" in str(error):
        hint = "the table exists without a UNIQUE constraint on the key columns; add one"
    elif code is not None and code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        hint = "the folder of the file must exist and be writable"
    refused = code is not None and code & 0xFF in _OF_VALUES
    kind = ValueRefusedError if refused else ConnectorError
    return kind(
        f"SQLite refused: {error}",
        step=step,
        fault=Fault.REMOTE if passing else Fault.USER,
        retry=passing,
        hint=hint,
    )
