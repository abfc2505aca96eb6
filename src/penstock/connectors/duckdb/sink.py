"""Write a DuckDB table: each frame is registered through Arrow and inserted with one statement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors.changes import KeyedChanges, split_nulls
from penstock.connectors.drivers import load_driver
from penstock.connectors.duckdb.likely import likely
from penstock.connectors.epochs import EPOCHS_TABLE, Recorded
from penstock.connectors.poison import LETTERS_TABLE, Likely, Rehearsals, ValueRefusedError
from penstock.connectors.sql_text import listed, quoted
from penstock.connectors.sql_types import Dialect
from penstock.connectors.tables import PLACE, TableSink, missing_columns
from penstock.errors import ConnectorError, Fault

if TYPE_CHECKING:
    import duckdb

_FRAME = "_penstock_frame"
_CASTS: dict[type[pl.DataType], type[pl.DataType]] = {
    pl.Int128: pl.String,
    pl.UInt128: pl.String,
    pl.Float16: pl.Float32,
    pl.Null: pl.String,
    pl.Categorical: pl.String,
    pl.Enum: pl.String,
}
"""What Polars' Arrow stream says in a way that DuckDB does not read; DuckDB casts it back."""

_REHEARSED_TIMES = 3
"""How often an epoch is rehearsed before the run is started again."""

_PASSING_WORDS = ("No space left", "Input/output error", "Disk quota", "Too many open files")
"""What DuckDB repeats of the operating system's errors that pass; it gives no numbers."""


class _ArrowStream:
    """Show only the Arrow interface of a frame: DuckDB would ask a Polars frame for pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


class DuckdbSink(TableSink):
    """A live DuckDB sink."""

    def __init__(self, step: str, path: str, table: str, key: tuple[str, ...]) -> None:
        super().__init__(step, table, key, Dialect.DUCKDB)
        self._path = path
        self._connection: duckdb.DuckDBPyConnection | None = None

    @property
    def _live(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise ConnectorError("not begun, or closed already", step=self._step, fault=Fault.OURS)
        return self._connection

    def _connect(self) -> None:
        load_driver("duckdb", "duckdb", self._step)
        import duckdb

        with self._translated():
            self._connection = duckdb.connect(self._path)

    def probe(self) -> str:
        """Open the file, which is there, and close it."""
        self._connect()
        self._disconnect()
        return "it opens"

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        live = self._live
        with self._translated():
            live.begin()
            try:
                yield
                live.commit()
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        import duckdb

        with contextlib.suppress(duckdb.Error):  # a failed commit has ended it; or all is lost
            self._live.rollback()
        with contextlib.suppress(duckdb.Error):
            self._live.unregister(_FRAME)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            passing = _passes(error)
            kind = ValueRefusedError if _is_of_value(error) else ConnectorError
            raise kind(
                f"DuckDB refused: {error}",
                step=self._step,
                fault=Fault.REMOTE if passing else Fault.USER,
                retry=passing,
                hint=_hint(str(error)),
            ) from error

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

    def _transact_carefully(self, epoch: int, frames: list[pl.DataFrame], *, replace: bool) -> None:
        """Rehearse, as there are no savepoints; then write what went well.

        No other process has the file meanwhile, but this one may: what another connection of it writes
        between the rehearsals and the end is found by rehearsing again.
        """
        for frame in frames[:1]:
            with self._whole():
                self._see(frame.drop(WEIGHT, strict=False).schema)
        for _ in range(_REHEARSED_TIMES):
            trial = Rehearsals(self._transaction, self._likely, self._repeated)
            found = self._write_all(frames, trial, replace=replace)
            try:
                self._write_accepted(epoch, trial, found)
            except ValueRefusedError as error:
                refused = error
            else:
                return
        raise ConnectorError(
            f"what could be written a moment ago cannot be any more: {refused.message}",
            step=self._step,
            fault=Fault.REMOTE,
            retry=True,
            hint="something else in this process writes to the table; let it write less, or elsewhere",
        ) from refused

    def _write_accepted(self, epoch: int, trial: Rehearsals, found: list[pl.DataFrame]) -> None:
        with self._whole():
            if self._may_apply(epoch):
                for write in trial.accepted:
                    write()
                self._settle(epoch, found)

    def _likely(self, rows: pl.DataFrame) -> list[Likely]:
        import duckdb

        try:
            with self._registered(rows):
                return likely(self._live, self._table, _FRAME, rows.columns, self._key)
        except duckdb.Error:  # a check that calls what is not there, and the like
            return []

    def _repeated(self, rows: pl.DataFrame) -> dict[int, str]:
        """Find rows that repeat what is unique, among themselves."""
        found = self._live.execute(
            "SELECT constraint_column_names FROM duckdb_constraints() WHERE table_name = ? "
            "AND schema_name = current_schema() AND constraint_type IN ('UNIQUE', 'PRIMARY KEY')",
            [self._table],
        ).fetchall()
        refused: dict[int, str] = {}
        for (names,) in found:
            if set(names) <= set(rows.columns):
                whole = pl.all_horizontal(pl.col(names).is_not_null())
                again = rows.select(whole & ~pl.struct(names).is_first_distinct()).to_series()
                reason = f"DuckDB would refuse: a row before it has the same {', '.join(names)}"
                refused.update(dict.fromkeys(again.arg_true().to_list(), reason))
        return refused

    def _recorded(self, sink_id: str) -> Recorded | None:
        # No lock is needed: two transactions that update one row conflict, and one is refused.
        found = self._live.execute(
            f"SELECT epoch, token FROM {EPOCHS_TABLE} WHERE sink_id = ?",  # noqa: S608 - a constant
            [sink_id],
        ).fetchall()  # not fetchone: an unfinished result blocks the connection
        return Recorded(*found[0]) if found else None

    def _record(self, sink_id: str, recorded: Recorded) -> None:
        self._live.execute(
            f"INSERT INTO {EPOCHS_TABLE} VALUES (?, ?, ?) ON CONFLICT (sink_id) "  # noqa: S608
            "DO UPDATE SET epoch = excluded.epoch, token = excluded.token",
            [sink_id, recorded.epoch, recorded.token],
        )

    def _prepare(self, types: dict[str, str]) -> None:
        table = quoted(self._table)
        columns = [f"{quoted(name)} {sql_type}" for name, sql_type in types.items()]
        if self._key:  # not PRIMARY KEY: nulls are allowed in keys
            columns.append(f"UNIQUE ({listed(self._key)})")
        self._live.execute(f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})")
        present = [row[0] for row in self._live.execute(f"DESCRIBE {table}").fetchall()]
        folded = {name.lower() for name in present}
        missing = [name for name in types if name.lower() not in folded]
        if missing:
            raise missing_columns(self._step, self._table, missing, present)

    def _clear(self) -> None:
        self._live.execute(f"DELETE FROM {quoted(self._table)}")  # noqa: S608 - quoted name

    def _append(self, frame: pl.DataFrame) -> None:
        self._insert(frame, "")

    def _change(self, changes: KeyedChanges) -> None:
        self._delete(changes.deletes)
        upserts = changes.upserts
        keys = upserts.select(self._key)
        # A null never conflicts with a null, so those rows are replaced by deleting them first.
        self._delete(keys.filter(pl.any_horizontal(pl.all().is_null())))
        others = [name for name in upserts.columns if name not in self._key]
        update = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        action = f"UPDATE SET {update}" if others else "NOTHING"
        self._insert(upserts, f" ON CONFLICT ({listed(self._key)}) DO {action}")

    def _insert(self, frame: pl.DataFrame, conflict: str) -> None:
        if frame.is_empty():
            return
        names = listed(frame.columns)
        with self._registered(frame):
            self._live.execute(
                f"INSERT INTO {quoted(self._table)} ({names}) "  # noqa: S608 - quoted names
                f"SELECT {names} FROM {_FRAME}{conflict}"
            )

    def _delete(self, keys: pl.DataFrame) -> None:
        for nulls, rows in split_nulls(keys, self._key):
            with self._registered(rows):
                self._live.execute(
                    f"DELETE FROM {quoted(self._table)} AS t USING {_FRAME} AS f "  # noqa: S608
                    f"WHERE {_tests(self._key, nulls)}"
                )

    def _found(self, keys: pl.DataFrame, nulls: tuple[str, ...]) -> list[int]:
        tests = _tests(self._key, nulls)
        with self._registered(keys):
            return [
                place
                for (place,) in self._live.execute(
                    f"SELECT f.{PLACE} FROM {_FRAME} AS f WHERE EXISTS "  # noqa: S608 - quoted name
                    f"(SELECT 1 FROM {quoted(self._table)} AS t WHERE {tests})"
                ).fetchall()
            ]

    @contextmanager
    def _registered(self, frame: pl.DataFrame) -> Iterator[None]:
        """Let statements see ``frame`` as a table."""
        casts = [
            pl.col(name).cast(_CASTS[type(dtype)])
            for name, dtype in frame.schema.items()
            if type(dtype) in _CASTS
        ]
        self._live.register(_FRAME, _ArrowStream(frame.with_columns(casts)))
        yield
        self._live.unregister(_FRAME)  # after an error: at the roll-back, nothing works before it


def _tests(key: Sequence[str], nulls: Sequence[str]) -> str:
    """Return when a row ``t`` of the table has the key ``f``."""
    return " AND ".join(
        f"t.{quoted(name)} IS NULL" if name in nulls else f"t.{quoted(name)} = f.{quoted(name)}"
        for name in key
    )


def _passes(error: duckdb.Error) -> bool:
    """Tell whether a new connection may do better: locked, conflict, no room on disk or in memory."""
    import duckdb

    if isinstance(error, duckdb.IOException):
        said = str(error)
        return "lock" in said or any(words in said for words in _PASSING_WORDS)
    # Fatal: the database in memory is unusable after a failed write; the file is not.
    return isinstance(
        error, duckdb.TransactionException | duckdb.OutOfMemoryException | duckdb.FatalException
    )


def _is_of_value(error: duckdb.Error) -> bool:
    import duckdb

    return isinstance(
        error, duckdb.ConstraintException | duckdb.ConversionException | duckdb.OutOfRangeException
    )


def _hint(message: str) -> str | None:
    if "not referenced by a UNIQUE" in message or "no UNIQUE/PRIMARY KEY" in message:
        return "the table exists without a UNIQUE constraint on the key columns; add one"
    if "lock" in message:
        return "another process has this file open; DuckDB lets one process write at a time"
    return None
