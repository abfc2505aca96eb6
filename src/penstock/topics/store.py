"""A topic's file: an SQLite database in WAL mode, one row per batch of records.

Why SQLite and not a format of our own, with figures: ``docs/adr/001-embedded-topic.md``. Its WAL
gives crash safety, several processes, and rows and producer epochs in one transaction.
"""

from __future__ import annotations

import enum
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from penstock.deferred import sqlite3
from penstock.errors import ConfigError, ConnectorError, Fault
from penstock.failures import sqlite_error_passes
from penstock.topics.settings import Settings

FILE = "topic.db"
_APPLICATION_ID = 0x50454E53  # "PENS": tells a topic from any other SQLite file
_FORMAT = 1
_PAGE_BYTES = 16_384
"""Measured: 2.6 M records/s in with 16 KiB pages, 1.4 to 2.0 M with 4 KiB; small appends equal."""
_CHECKPOINT_PAGES = 1024
"""16 MiB of WAL between checkpoints: the longest pause of an append stays under 30 ms."""
_WAL_LIMIT_BYTES = 64 << 20
_BUSY_MS = 30_000

_TABLES = (
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE layouts(id INTEGER PRIMARY KEY, head BLOB NOT NULL UNIQUE)",
    'CREATE TABLE partitions("partition" INTEGER PRIMARY KEY, "start" INTEGER NOT NULL,'
    ' "end" INTEGER NOT NULL, bytes INTEGER NOT NULL)',
    'CREATE TABLE batches(id INTEGER PRIMARY KEY, "partition" INTEGER NOT NULL,'
    " base INTEGER NOT NULL, records INTEGER NOT NULL, first_us INTEGER NOT NULL,"
    " last_us INTEGER NOT NULL, appended_us INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " layout INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL)",
    'CREATE UNIQUE INDEX batches_by_offset ON batches("partition", base)',
    "CREATE TABLE producers(producer_id TEXT PRIMARY KEY, epoch INTEGER, token INTEGER NOT NULL)"
    " WITHOUT ROWID",
)


class Durability(enum.Enum):
    """When an append counts as done."""

    SYNC = "FULL"
    """On the disk (fsync): survives a power cut."""
    OS = "NORMAL"
    """With the operating system: survives kill -9, but a power cut may take the last appends."""


class Store:
    """The connections of one ``Topic`` to its file: one that writes, one that reads."""

    def __init__(self, folder: Path) -> None:
        self.path = (folder / FILE).resolve()
        self.step = f"topic {folder}"
        self._pid = os.getpid()
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._durability: Durability | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self.closed = False

    @contextmanager
    def writing(self, durability: Durability) -> Iterator[sqlite3.Connection]:
        """Run one transaction that excludes all other writers; an exception takes it back."""
        with self._write_lock, self._errors():
            connection = self._writer = self._writer or self._connect()
            if durability is not self._durability:
                connection.execute(f"PRAGMA synchronous={durability.value}")
                self._durability = durability
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the reading connection; every statement sees one consistent state."""
        with self._read_lock, self._errors():
            self._reader = self._reader or self._connect()
            yield self._reader

    def changes(self) -> Callable[[], bool]:
        """Return what tells whether anyone has committed since this call."""
        before = self._data_version()
        return lambda: self._data_version() != before

    def _data_version(self) -> int:
        with self.reading() as connection:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def close(self) -> None:
        """Close both connections, after the statement that runs."""
        self.closed = True
        with self._write_lock, self._read_lock:
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    def create(self, settings: Settings) -> bool:
        """Create folder and file; False if there is one already. A crash half-way leaves none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _sync_folder(self.path.parent.parent)
        with self._write_lock, self._errors():
            connection = self._writer = self._connect(creating=True)
            connection.execute("PRAGMA synchronous=FULL")
            self._durability = Durability.SYNC
            connection.execute("BEGIN IMMEDIATE")
            try:
                created = self._fill(connection, settings)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return created

    def _fill(self, connection: sqlite3.Connection, settings: Settings) -> bool:
        if _tables(connection):
            return False
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={_FORMAT}")
        connection.executemany(
            "INSERT INTO partitions VALUES(?, 0, 0, 0)",
            [(number,) for number in range(settings.partitions)],
        )
        save(connection, settings)
        return True

    def occupied(self) -> bool:
        """Tell whether there is a topic, or something else; an empty file was never finished."""
        if not self.path.exists():
            return False
        with self.reading() as connection:
            return _tables(connection) > 0

    def load(self) -> Settings:
        """Check that the file is a topic and return its settings."""
        if not self.occupied():
            raise ConfigError(
                f"there is no topic in {self.path.parent}",
                value=str(self.path.parent),
                hint="create it first: Topic.create(path, partitions=4)",
            )
        with self.reading() as connection:
            number = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if number != _APPLICATION_ID:
                raise ConfigError(
                    f"{self.path} is not a topic",
                    value=str(self.path),
                    hint="name the folder of a topic, or remove the file",
                )
            if version != _FORMAT:
                raise ConfigError(
                    f"{self.path} has topic format {version}; this version reads {_FORMAT}",
                    value=version,
                    hint="upgrade Penstock",
                )
            row = connection.execute("SELECT value FROM settings WHERE name='topic'").fetchone()
        try:
            return msgspec.json.decode(row[0], type=Settings)
        except (TypeError, msgspec.MsgspecError) as error:
            raise self._damaged(error) from error

    def _connect(self, *, creating: bool = False) -> sqlite3.Connection:
        if self.closed:
            raise ConnectorError("the topic is closed", step=self.step, fault=Fault.USER)
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={'rwc' if creating else 'rw'}",
            timeout=_BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            if creating and not _tables(connection):  # never touch what is not ours
                connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        if os.getpid() != self._pid:
            raise ConnectorError(
                "this Topic was opened before the process forked",
                step=self.step,
                fault=Fault.USER,
                hint="open the topic in the child process",
            )
        if self.closed:
            raise ConnectorError("the topic is closed", step=self.step, fault=Fault.USER)
        try:
            yield
        except sqlite3.OperationalError as error:
            passing = sqlite_error_passes(error)
            raise ConnectorError(
                f"{self.path}: {error}",
                step=self.step,
                fault=Fault.REMOTE if passing else Fault.USER,
                retry=passing,
                hint=_hint(error),
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ConnectorError:
        return ConnectorError(
            f"{self.path} is not a topic, or is damaged: {error}",
            step=self.step,
            fault=Fault.REMOTE,
            hint="restore it from a copy, or remove the folder to begin anew",
        )


def _hint(error: sqlite3.Error) -> str | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has held the topic for {_BUSY_MS // 1000} s"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return "the folder of the topic must exist and be writable"
    return None


def _tables(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return count


def save(connection: sqlite3.Connection, settings: Settings) -> None:
    """Store ``settings`` in the running transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO settings VALUES('topic', ?)", (msgspec.json.encode(settings),)
    )


def _sync_folder(folder: Path) -> None:
    """Make the new folder's own name durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
