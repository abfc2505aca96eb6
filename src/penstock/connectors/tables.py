"""The life of a sink that writes one table of an SQL database, whichever database it is.

One epoch is one transaction::

    transaction:
        read penstock_epochs    -> a newer run: FencedError; this epoch or a later one: skip
        create the table        (first frame only, if it is absent)
        append, or delete + upsert by key, chunk by chunk
        write penstock_epochs
    if a value was refused: the same again with care (``poison.py``), and what was refused is
        written to penstock_dead_letters

A database supplies the statements (``TableSink``'s abstract methods); the order is here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import polars as pl

from penstock.columns import WEIGHT, is_reserved
from penstock.connectors.changes import KeyedChanges, gathered, keyed_changes, split_nulls
from penstock.connectors.contract import Accepts, Guarantee, SinkIdentity
from penstock.connectors.epochs import Recorded, is_applied, refuse_fenced, take_over
from penstock.connectors.poison import (
    LETTERS_TABLE,
    Savepoints,
    Trial,
    ValueRefusedError,
    append_carefully,
    change_carefully,
    restored,
    stored,
    upsert_carefully,
)
from penstock.connectors.sql_types import Dialect, column_types
from penstock.errors import ConfigError, ConnectorError, Fault

PLACE = "_penstock_place"
"""Which of several keys one is."""


class TableFacts:
    """What is true of every sink that keeps a database table: a base of their specs."""

    __slots__ = ()
    key: tuple[str, ...]

    @property
    def guarantee(self) -> Guarantee:
        """Exactly once: rows and epoch are one transaction."""
        return Guarantee.EXACTLY_ONCE

    @property
    def accepts(self) -> Accepts:
        """Changes if there is a key, else append-only rows."""
        return Accepts.UPSERT if self.key else Accepts.APPEND

    @property
    def immediate(self) -> bool:
        """Output waits for the checkpoint."""
        return False

    @property
    def replaceable(self) -> bool:
        """A rebuilt view replaces all rows of the table."""
        return True


class TableSink(ABC):
    """A live sink on one table; state: the connection and whether the table has been seen."""

    def __init__(self, step: str, table: str, key: tuple[str, ...], dialect: Dialect) -> None:
        self._step = step
        self._table = table
        self._key = key
        self._dialect = dialect
        self._identity: SinkIdentity | None = None
        self._schema: pl.Schema | None = None
        self._letters: list[pl.DataFrame] = []
        self._kept_letters = False

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        """Connect, take over the bookkeeping, create the table, return the last epoch applied."""
        self._connect()
        self._identity = identity
        last = None
        with self._transaction():
            if identity is not None:
                self._create_bookkeeping()
                record = take_over(self._recorded(identity.sink_id), identity, self._step)
                self._record(identity.sink_id, record)
                last = record.last
                self._kept_letters = bool(self._stored_letters(identity.sink_id, last))
            if schema is not None:
                columns = {name: dtype for name, dtype in schema.items() if name != WEIGHT}
                self._prepare(column_types(pl.Schema(columns), self._dialect, self._step))
        return last

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write ``frames`` and the epoch in one transaction; an epoch already there is skipped."""
        frames = list(frames)
        if frames:
            self._transact(epoch, frames, replace=False)

    def replace(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Empty the table and write ``frames`` and the epoch, in one transaction."""
        self._transact(epoch, list(frames), replace=True)

    def refused(self, epoch: int) -> pl.DataFrame | None:
        """Return what the database refused of an applied epoch, also if that was before a crash."""
        if self._identity is None:
            found, self._letters = self._letters, []
            return pl.concat(found) if found else None
        if not self._kept_letters:
            return None
        with self._transaction():
            return restored(self._stored_letters(self._identity.sink_id, epoch))

    def present(self, keys: pl.DataFrame) -> pl.Series:
        """Tell of each key whether the table has a row of it; of a value it cannot hold it has none."""
        found = set[int]()
        try:
            with self._transaction():
                for nulls, some in split_nulls(keys.with_row_index(PLACE), self._key):
                    found.update(self._found(some, nulls))
        except ValueRefusedError:
            if keys.height > 1:
                return pl.concat([self.present(key) for key in keys.iter_slices(1)])
        return pl.Series([place in found for place in range(keys.height)], dtype=pl.Boolean)

    def _transact(self, epoch: int, frames: list[pl.DataFrame], *, replace: bool) -> None:
        try:
            with self._whole():
                self._apply(epoch, frames, replace=replace)
        except ValueRefusedError:
            self._transact_carefully(epoch, frames, replace=replace)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A transaction; the table may have been created in one that is rolled back."""
        seen = self._schema
        try:
            with self._transaction():
                yield
        except BaseException:
            self._schema = seen
            raise

    def _transact_carefully(self, epoch: int, frames: list[pl.DataFrame], *, replace: bool) -> None:
        """Write the epoch without the rows that are refused, and those as dead letters."""
        with self._whole():
            if self._may_apply(epoch):
                trial = Savepoints(self._savepoint)
                self._settle(epoch, self._write_all(frames, trial, replace=replace))

    def _write_all(
        self, frames: list[pl.DataFrame], trial: Trial, *, replace: bool
    ) -> list[pl.DataFrame]:
        """Write all frames as far as they can be written; return the dead letters of the rest."""
        if replace:
            trial.do(self._clear)
        return [
            letter for some in gathered(frames) for letter in self._write_carefully(some, trial)
        ]

    def _write_carefully(self, frames: list[pl.DataFrame], trial: Trial) -> Iterator[pl.DataFrame]:
        self._see(frames[0].drop(WEIGHT, strict=False).schema)
        if WEIGHT in frames[0].columns:
            return change_carefully(frames, self._key, self._change, trial, self._step)
        rows = pl.concat(frames)
        if self._key:
            return upsert_carefully(rows, self._key, self._change, trial, self._step)
        return append_carefully(rows, self._append, trial, self._step)

    def _settle(self, epoch: int, found: list[pl.DataFrame]) -> None:
        """Write the dead letters and the epoch."""
        identity = self._identity
        if identity is None:
            self._letters += found
            return
        statement = "INSERT INTO {} VALUES (?, ?, ?)"
        for data in stored(found):
            self._ask(statement, LETTERS_TABLE, (identity.sink_id, epoch, data))
        self._kept_letters = True
        self._record(identity.sink_id, Recorded(epoch, identity.token))

    def _stored_letters(self, sink_id: str, epoch: int | None) -> list[bytes]:
        statement = "SELECT letters FROM {} WHERE sink_id = ? AND epoch = ?"
        return [bytes(data) for (data,) in self._ask(statement, LETTERS_TABLE, (sink_id, epoch))]

    def close(self) -> None:
        """Release the connection. Nothing is held back, so nothing is left to write."""
        self._disconnect()

    def _may_apply(self, epoch: int) -> bool:
        """Tell whether an epoch is not there yet; let go of the letters of those before it."""
        identity = self._identity
        if identity is None:
            return True
        recorded = self._recorded(identity.sink_id)
        refuse_fenced(recorded, identity, self._step)
        if is_applied(recorded, epoch):
            return False
        if self._kept_letters:  # they are beside the checkpoint, or no epoch would follow theirs
            self._ask("DELETE FROM {} WHERE sink_id = ?", LETTERS_TABLE, (identity.sink_id,))
        return True

    def _apply(self, epoch: int, frames: list[pl.DataFrame], *, replace: bool) -> None:
        if not self._may_apply(epoch):
            return
        if replace:
            for frame in frames[:1]:
                self._see(frame.drop(WEIGHT, strict=False).schema)
            self._clear()
        for together in gathered(frames):
            self._write(together)
        identity = self._identity
        if identity is not None:
            self._record(identity.sink_id, Recorded(epoch, identity.token))

    def _write(self, frames: list[pl.DataFrame]) -> None:
        self._see(frames[0].drop(WEIGHT, strict=False).schema)
        if all(frame.is_empty() for frame in frames):
            return
        if self._key:
            self._change(keyed_changes(frames, self._key, self._step))
        elif WEIGHT in frames[0].columns:
            raise ConnectorError(
                "changes arrived, but without a key this table only takes new rows",
                step=self._step,
                fault=Fault.USER,
                hint="name the key columns with key=..., so that rows can be replaced and deleted",
            )
        else:
            self._append(pl.concat(frames))

    def _see(self, schema: pl.Schema) -> None:
        """Create the table before the first frame; later frames must look the same."""
        if self._schema is None:
            types = column_types(schema, self._dialect, self._step)
            self._prepare(types)
            self._schema = schema
        elif self._schema != schema:
            raise ConnectorError(
                f"the columns changed from {dict(self._schema)} to {dict(schema)}",
                step=self._step,
                fault=Fault.OURS,
            )

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _disconnect(self) -> None: ...

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """Commit at the end, roll back on an error, and turn driver errors into ours.

        What the database says of a row's value is a ``ValueRefusedError``.
        """

    def _savepoint(self) -> AbstractContextManager[None]:
        """Do the same within a transaction."""
        raise NotImplementedError  # pragma: no cover - overridden, or _transact_carefully is

    @abstractmethod
    def _ask(
        self, statement: str, table: str, parameters: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Execute a statement on a table of ours, with ``?`` for each parameter."""

    @abstractmethod
    def _create_bookkeeping(self) -> None: ...

    @abstractmethod
    def _recorded(self, sink_id: str) -> Recorded | None:
        """Read the bookkeeping so that no other run can write it before this transaction ends."""

    @abstractmethod
    def _record(self, sink_id: str, recorded: Recorded) -> None: ...

    @abstractmethod
    def _prepare(self, types: dict[str, str]) -> None:
        """Create the table if it is absent, else check that it has these columns."""

    @abstractmethod
    def _found(self, keys: pl.DataFrame, nulls: tuple[str, ...]) -> Iterable[int]:
        """Return the ``PLACE`` of each key of which the table has a row.

        Those of ``nulls`` are null in all of them, the others in none.
        """

    @abstractmethod
    def _clear(self) -> None:
        """Delete all rows."""

    @abstractmethod
    def _append(self, frame: pl.DataFrame) -> None: ...

    @abstractmethod
    def _change(self, changes: KeyedChanges) -> None: ...


def check_table(table: str, key: tuple[str, ...], step: str) -> None:
    """Raise ``ConfigError`` for a table name or key that no schema could satisfy."""
    if not table or "\0" in table:
        raise ConfigError("the table name is empty or holds NUL", step=step, value=table)
    if isinstance(key, str):
        raise ConfigError(
            "key must be a tuple of column names", step=step, value=key, hint=f"key=({key!r},)"
        )
    if len(set(key)) != len(key):
        raise ConfigError(f"a column is named twice in key={key}", step=step, value=key)


def check_columns(
    schema: pl.Schema, key: tuple[str, ...], dialect: Dialect, step: str
) -> dict[str, str]:
    """Raise ``ConfigError`` if a table of these columns cannot be kept; return their types."""
    if not schema:
        raise ConfigError("there are no columns to write", step=step)
    for name in schema:
        if is_reserved(name) or "\0" in name or not name:
            raise ConfigError(
                f"the column name {name!r} cannot be used",
                step=step,
                value=name,
                hint="rename it: names must not be empty, hold NUL or begin with _penstock_",
            )
    _refuse_same_name(schema, dialect, step)
    types = column_types(schema, dialect, step)
    for name in key:
        if name not in schema:
            raise ConfigError(
                f"key column {name!r} is not among the columns",
                step=step,
                value=name,
                alternatives=schema.names(),
            )
        if schema[name].is_nested():
            raise ConfigError(
                f"key column {name!r} is {schema[name]}; a key must be a plain value",
                step=step,
                value=name,
                hint="use one of its fields as key, or cast it to String",
            )
        if dialect is Dialect.DUCKDB and isinstance(schema[name], pl.Duration):
            raise ConfigError(
                f"key column {name!r} is {schema[name]}; DuckDB has no index over INTERVAL",
                step=step,
                value=name,
                hint=f"use a number: pl.col({name!r}).dt.total_microseconds()",
            )
    return types


def missing_columns(
    step: str, table: str, missing: list[str], present: list[str]
) -> ConnectorError:
    """Build the error for an existing table that lacks columns of the stream."""
    return ConnectorError(
        f"table {table!r} exists without the column(s) {', '.join(map(repr, missing))}; "
        f"it has {', '.join(present)}",
        step=step,
        value=missing[0],
        fault=Fault.USER,
        hint="add the column to the table, select() other columns, or write to a new table",
    )


def _refuse_same_name(schema: pl.Schema, dialect: Dialect, step: str) -> None:
    if dialect is Dialect.POSTGRES:
        return  # quoted names are compared exactly there
    folded: dict[str, str] = {}
    for name in schema:
        other = folded.setdefault(name.lower(), name)
        if other != name:
            raise ConfigError(
                f"columns {other!r} and {name!r} differ only in case, and are one column there",
                step=step,
                value=name,
                hint="rename one of them",
            )
