"""A log of rows and dead letters that one process writes, reads and trims, with a note on its state.

It is a topic of two partitions, rows and dead letters, whose folder is locked. Rows, dead letters
and the note go in together, in one transaction, so that a crash never parts them.
"""

from __future__ import annotations

import enum
import fcntl
import os
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from penstock.deferred import sqlite3
from penstock.errors import ConfigError, ConnectorError, Fault
from penstock.topics import blobs
from penstock.topics.batches import Batches
from penstock.topics.records import Records
from penstock.topics.retention import forget_step, give_back
from penstock.topics.settings import new_settings
from penstock.topics.store import Durability, Store

_NOTE = "note"
_LOCK = "lock"
HOLDER_LEAVES_S = 5.0
"""A run that another one takes over from notices at its next checkpoint, and then lets go."""
_LOOK_AGAIN_S = 0.02


class Kind(enum.IntEnum):
    """What a partition of a journal holds."""

    ROWS = 0
    DEAD_LETTERS = 1


Offsets = dict[Kind, int]


class Journal:
    """Appends, reads and forgets. Appends are one thread's; everything else any thread may call."""

    def __init__(self, folder: Path, schema: pl.Schema) -> None:
        self._folder = folder
        self._lock = _held(folder)
        self._store = Store(folder)
        try:
            self._store.create(new_settings(len(Kind), schema, None, (), None, "lz4"))
            self._settings = self._store.load()
            self._batches = Batches(self._store, self._settings)
            self._check_own()
        except BaseException:
            self.close()
            raise

    def _check_own(self) -> None:
        if self._settings.partitions != len(Kind):
            raise ConfigError(
                f"the topic in {self._folder} is somebody else's",
                value=str(self._folder),
                hint="a durable source takes a folder of its own; name another one",
            )

    @property
    def identity(self) -> str:
        """Tells this journal from any other, also from a later one in the same folder."""
        return self._settings.identity

    def append(
        self,
        rows: pl.DataFrame,
        dead: pl.DataFrame | None,
        note: bytes,
        forget: Mapping[Kind, int],
        durability: Durability,
    ) -> int:
        """Append rows and dead letters, replace the note, and drop a little of what to ``forget``.

        Returns the stored bytes. All or nothing; what it returns from is durable.
        """
        parts = [(Kind.ROWS, rows)] if dead is None else [(0, rows), (Kind.DEAD_LETTERS, dead)]
        encoded = self._batches.encode(parts)
        with self._store.writing(durability) as connection:
            self._batches.insert(connection, encoded)
            _write(connection, note)
            forget_step(connection, forget.items())
        return sum(len(batch.blob.payload) for batch in encoded)

    def forget(self, offsets: Mapping[Kind, int], note: bytes) -> bool:
        """Drop a little of what is below ``offsets``, replace the note; True if more may be left."""
        with self._store.writing(Durability.OS) as connection:
            _write(connection, note)
            return forget_step(connection, offsets.items()) or give_back(connection)

    def note(self) -> bytes | None:
        """Return the note."""
        with self._store.reading() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (_NOTE,))
            found = row.fetchone()
        return None if found is None else bytes(found[0])

    def starts(self) -> Offsets:
        """Return the first offsets kept."""
        return self._bounds("start")

    def ends(self) -> Offsets:
        """Return the offsets of the next append."""
        return self._bounds("end")

    def _bounds(self, column: str) -> Offsets:
        with self._store.reading() as connection:
            rows = connection.execute(f'SELECT "partition", "{column}" FROM partitions')  # noqa: S608
            return {Kind(number): offset for number, offset in rows}

    def read(self, kind: Kind, offset: int, max_rows: int) -> Records:
        """Return records from ``offset`` on, which must be there."""
        frame = self._batches.read(kind, offset, max_rows, 64 << 20)
        if frame is None:
            raise ConnectorError(
                f"{kind.name.lower()} from offset {offset} on are missing",
                step=self._store.step,
                value=offset,
                fault=Fault.USER,
                hint="something else has written to this folder",
            )
        return Records(kind, offset, frame)

    def bytes_from(self, offsets: Mapping[Kind, int]) -> int:
        """Return how many stored bytes lie at or behind ``offsets``."""
        with self._store.reading() as connection:
            found = [
                connection.execute(
                    'SELECT coalesce(sum(bytes), 0) FROM batches WHERE "partition" = ?'
                    " AND base + records > ?",
                    (int(kind), offset),
                ).fetchone()[0]
                for kind, offset in offsets.items()
            ]
        return sum(found)

    def schemas_from(self, offset: int) -> list[pl.Schema]:
        """Return the schemas of the rows at or behind ``offset``: they outlive a changed program."""
        with self._store.reading() as connection:
            heads = connection.execute(
                "SELECT DISTINCT head FROM layouts JOIN batches ON layouts.id = batches.layout"
                ' WHERE "partition" = ? AND base + records > ?',
                (int(Kind.ROWS), offset),
            ).fetchall()
        return [blobs.schema_of(head) for (head,) in heads]

    def close(self) -> None:
        """Release the files, then the lock. May be called twice."""
        self._store.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _write(connection: sqlite3.Connection, note: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO settings VALUES(?, ?)", (_NOTE, note))


def _held(folder: Path) -> int:
    """Lock the folder for this process; the kernel lets go when it dies."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + HOLDER_LEAVES_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < deadline:
                time.sleep(_LOOK_AGAIN_S)
                continue
            os.close(lock)
            raise ConnectorError(
                "another run holds this folder",
                step=f"topic {folder}",
                value=str(folder),
                fault=Fault.USER,
                hint="stop the other run; a durable source takes a folder of its own",
            ) from error
        return lock
