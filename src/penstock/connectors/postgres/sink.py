"""Write a PostgreSQL table: COPY, straight in or through a temporary table for changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors.changes import KeyedChanges, split_nulls
from penstock.connectors.drivers import load_driver
from penstock.connectors.epochs import EPOCHS_TABLE, Recorded
from penstock.connectors.poison import LETTERS_TABLE, Trial
from penstock.connectors.postgres.failures import KEYS_TABLE, connector_error
from penstock.connectors.postgres.values import csv_blocks
from penstock.connectors.sql_types import Dialect
from penstock.connectors.tables import PLACE, TableSink, missing_columns
from penstock.errors import ConnectorError, Fault
from penstock.hiding import hidden
from penstock.secrets import revealed_connection

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_CREATION_LOCK = 0x70656E73746F636B
"""Advisory lock ("penstock" in ASCII): CREATE TABLE IF NOT EXISTS of two sessions can collide."""

_ROWS = "penstock_rows"


class PostgresSink(TableSink):
    """A live PostgreSQL sink: one connection, opened again for the next epoch if it was lost."""

    def __init__(
        self, step: str, conninfo: str, table: str, key: tuple[str, ...], schema: str | None
    ) -> None:
        super().__init__(step, table, key, Dialect.POSTGRES)
        self._conninfo = conninfo
        self._schema_name = schema
        self._connection: psycopg.Connection | None = None

    @property
    def _live(self) -> psycopg.Connection:
        if self._connection is None:
            raise ConnectorError("not begun, or closed already", step=self._step, fault=Fault.OURS)
        return self._connection

    def _connect(self) -> None:
        load_driver("psycopg", "postgres", self._step)
        import psycopg

        with self._translated():
            self._connection = psycopg.connect(
                revealed_connection(self._conninfo, step=self._step),
                autocommit=True,
                client_encoding="utf8",
                application_name="penstock",
            )

    def probe(self) -> str:
        """Log in, look whether the table is there, and leave."""
        self._connect()
        try:
            with self._translated():
                wanted = self._named(self._table).as_string(self._live)
                row = self._live.execute("SELECT to_regclass(%s) IS NOT NULL", (wanted,)).fetchone()
        finally:
            self._disconnect()
        there = row is not None and row[0]
        return "the table is there" if there else "the table will be made"

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._live.closed:
            self._connect()
        with self._translated(), self._live.transaction():
            yield

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        with self._translated(), self._live.transaction():
            yield

    def _write_all(
        self, frames: list[pl.DataFrame], trial: Trial, *, replace: bool
    ) -> list[pl.DataFrame]:
        self._run("SET CONSTRAINTS ALL IMMEDIATE")  # at the commit it would be too late
        return super()._write_all(frames, trial, replace=replace)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            lost = self._connection is None or self._connection.closed
            told = connector_error(error, self._step, lost=lost)
            said = str(error)
            raise told from (error if hidden(said) == said else None)

    def _create_bookkeeping(self) -> None:
        self._lock_creation()
        self._run(
            "CREATE TABLE IF NOT EXISTS {} "
            "(sink_id TEXT PRIMARY KEY, epoch BIGINT NOT NULL, token BIGINT NOT NULL)",
            self._named(EPOCHS_TABLE),
        )
        self._run(
            "CREATE TABLE IF NOT EXISTS {} "
            "(sink_id TEXT NOT NULL, epoch BIGINT NOT NULL, letters BYTEA NOT NULL)",
            self._named(LETTERS_TABLE),
        )

    def _ask(
        self, statement: str, table: str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        cursor = self._run(statement.replace("?", "%s"), self._named(table), parameters=parameters)
        return cursor.fetchall() if cursor.description else []

    def _recorded(self, sink_id: str) -> Recorded | None:
        row = self._run(
            "SELECT epoch, token FROM {} WHERE sink_id = %s FOR UPDATE",
            self._named(EPOCHS_TABLE),
            parameters=(sink_id,),
        ).fetchone()
        return None if row is None else Recorded(*row)

    def _record(self, sink_id: str, recorded: Recorded) -> None:
        self._run(
            "INSERT INTO {} VALUES (%s, %s, %s) ON CONFLICT (sink_id) "
            "DO UPDATE SET epoch = excluded.epoch, token = excluded.token",
            self._named(EPOCHS_TABLE),
            parameters=(sink_id, recorded.epoch, recorded.token),
        )

    def _prepare(self, types: dict[str, str]) -> None:
        from psycopg import sql

        self._lock_creation()
        columns: list[sql.Composable] = [
            sql.SQL("{} " + sql_type).format(sql.Identifier(name))  # types are our own constants
            for name, sql_type in types.items()
        ]
        if self._key:  # not PRIMARY KEY: nulls are allowed in keys
            columns.append(sql.SQL("UNIQUE ({})").format(self._listed(self._key)))
        target = self._named(self._table)
        self._run("CREATE TABLE IF NOT EXISTS {} ({})", target, sql.SQL(", ").join(columns))
        found = self._run("SELECT * FROM {} LIMIT 0", target).description or []
        present = [column.name for column in found]
        missing = [name for name in types if name not in present]
        if missing:
            raise missing_columns(self._step, self._table, missing, present)

    def _clear(self) -> None:
        self._run("DELETE FROM {}", self._named(self._table))

    def _append(self, frame: pl.DataFrame) -> None:
        self._copy(self._named(self._table), frame)

    def _change(self, changes: KeyedChanges) -> None:
        upserts = changes.upserts
        has_null = pl.any_horizontal(pl.all().is_null())
        # A null never conflicts with a null, so those rows are replaced by deleting them first.
        self._delete(pl.concat([changes.deletes, upserts.select(self._key).filter(has_null)]))
        if upserts.height:
            self._upsert(upserts)

    def _upsert(self, rows: pl.DataFrame) -> None:
        from psycopg import sql

        staged = self._stage(_ROWS, rows)
        names = self._listed(rows.columns)
        others = [sql.Identifier(name) for name in rows.columns if name not in self._key]
        update = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in others)
        self._run(
            "INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) DO {}",
            self._named(self._table),
            names,
            names,
            staged,
            self._listed(self._key),
            sql.SQL("UPDATE SET {}").format(update) if others else sql.SQL("NOTHING"),
        )

    def _delete(self, keys: pl.DataFrame) -> None:
        for nulls, rows in split_nulls(keys, self._key):
            staged = self._stage(KEYS_TABLE, rows)
            self._run(
                "DELETE FROM {} AS t USING {} AS s WHERE {}",
                self._named(self._table),
                staged,
                self._tests(nulls),
            )

    def _found(self, keys: pl.DataFrame, nulls: tuple[str, ...]) -> list[int]:
        staged = self._stage(KEYS_TABLE, keys.select(self._key))
        found = self._run(  # a table that was just filled keeps its rows in that order
            "SELECT EXISTS (SELECT 1 FROM {} AS t WHERE {}) FROM {} AS s ORDER BY s.ctid",
            self._named(self._table),
            self._tests(nulls),
            staged,
        ).fetchall()
        return [place for place, (there,) in zip(keys[PLACE], found, strict=True) if there]

    def _tests(self, nulls: Sequence[str]) -> sql.Composed:
        """Return when a row ``t`` of the table has the key ``s``."""
        from psycopg import sql

        return sql.SQL(" AND ").join(
            sql.SQL("t.{} IS NULL" if name in nulls else "t.{0} = s.{0}").format(
                sql.Identifier(name)
            )
            for name in self._key
        )

    def _stage(self, name: str, rows: pl.DataFrame) -> sql.Composable:
        """Copy ``rows`` into an emptied temporary table with the target's own column types."""
        from psycopg import sql

        staged = sql.Identifier("pg_temp", name)
        self._run(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS "
            "AS SELECT {} FROM {} WITH NO DATA",
            sql.Identifier(name),
            self._listed(rows.columns),
            self._named(self._table),
        )
        self._run("TRUNCATE {}", staged)
        self._copy(staged, rows)
        return staged

    def _copy(self, target: sql.Composable, frame: pl.DataFrame) -> None:
        from psycopg import sql

        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
            target, self._listed(frame.columns)
        )
        with self._live.cursor() as cursor, cursor.copy(statement) as copy:
            for block in csv_blocks(frame):
                copy.write(block)

    def _run(
        self,
        statement: str,
        *names: sql.Composable,
        parameters: Sequence[object] = (),
    ) -> psycopg.Cursor:
        """Execute ``statement`` with quoted ``names`` in its braces."""
        from psycopg import sql

        return self._live.execute(sql.SQL(statement).format(*names), parameters or None)

    def _lock_creation(self) -> None:
        self._run("SELECT pg_advisory_xact_lock(%s)", parameters=(_CREATION_LOCK,))

    def _named(self, table: str) -> sql.Identifier:
        from psycopg import sql

        parts = [table] if self._schema_name is None else [self._schema_name, table]
        return sql.Identifier(*parts)

    def _listed(self, names: Sequence[str]) -> sql.Composed:
        from psycopg import sql

        return sql.SQL(", ").join(map(sql.Identifier, names))
