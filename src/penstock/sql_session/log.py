"""The durable half of a session: every statement's effect in one SQLite database, in order.

session.db
  log(number, text)               a definition, run again when the session is opened
  log(number, relation, delta)    a delta of a table, Arrow IPC
  notes(key, value)               position/NAME, schema/NAME/EPOCH, outbox/NAME/EPOCH, epoch, token, session
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from penstock.deferred import sqlite3
from penstock.errors import CheckpointError, ConfigError

_FILE = "session.db"
_FORMAT = 1
_REWRITE_AFTER = 256
"""Changes of a table after which they are replaced by its rows, if there are as many of these."""


class SessionLog:
    """Appends statements and changes; a commit is on disk when it returns."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"no folder for a session: {error.strerror}", step="session", value=str(folder)
            ) from error
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise CheckpointError(
                "another session holds this checkpoint",
                step="session",
                value=str(folder),
                hint="close the other session, or use another folder",
            ) from error
        self._database = sqlite3.connect(
            folder / _FILE, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._prepare(folder)
        except sqlite3.Error as error:
            self.close()
            raise _unreadable(error) from error
        except BaseException:
            self.close()
            raise

    def _prepare(self, folder: Path) -> None:
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise ConfigError(
                f"session format {found} is not {_FORMAT}",
                step="session",
                value=str(folder),
                hint="use the version of Penstock that wrote it, or a new folder",
            )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, relation TEXT, text TEXT, "
            "delta BLOB, rows INTEGER NOT NULL DEFAULT 0)"
        )
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value BLOB)"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS by_relation ON log (relation)")
        self._database.execute(f"PRAGMA user_version = {_FORMAT}")

    def entries(self) -> Iterator[tuple[str | None, str | pl.DataFrame]]:
        """Yield (None, statement) and (table, delta) in the order they were made."""
        try:
            found = self._database.execute(
                "SELECT relation, text, delta FROM log ORDER BY number"
            ).fetchall()
            for relation, text, delta in found:
                yield relation, text if relation is None else pl.read_ipc(io.BytesIO(delta))
        except (sqlite3.Error, pl.exceptions.PolarsError, OSError) as error:
            raise _unreadable(error) from error

    def commit(
        self,
        statements: Sequence[str] = (),
        changes: Sequence[tuple[str, pl.DataFrame]] = (),
        gone: Sequence[str] = (),
        notes: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Write what a statement did, all of it or nothing; ``gone`` tables lose their changes."""
        with self._transaction():
            for relation in gone:
                self._database.execute("DELETE FROM log WHERE relation = ?", (relation,))
            for text in statements:
                self._database.execute("INSERT INTO log (text) VALUES (?)", (text,))
            for relation, delta in changes:
                self._append(relation, delta)
            for key, value in (notes or {}).items():
                self._note(key, value)

    def notes(self, prefix: str) -> dict[str, bytes]:
        """Return the notes whose keys begin so, in order of their keys."""
        try:
            found = self._database.execute(
                "SELECT key, value FROM notes WHERE substr(key, 1, ?) = ? ORDER BY key",
                (len(prefix), prefix),
            )
            return dict(found.fetchall())
        except sqlite3.Error as error:
            raise _unreadable(error) from error

    def _note(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._database.execute("DELETE FROM notes WHERE key = ?", (key,))
        else:
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except BaseException as error:
            if self._database.in_transaction:  # a full disk may have ended it already
                self._database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise CheckpointError(
                    f"cannot write the session down: {error}",
                    step="session",
                    hint="the statement had no effect; make room, then give it again",
                ) from error
            raise

    def _append(self, relation: str, delta: pl.DataFrame) -> None:
        buffer = io.BytesIO()
        delta.write_ipc(buffer, compression="zstd")
        self._database.execute(
            "INSERT INTO log (relation, delta, rows) VALUES (?, ?, ?)",
            (relation, buffer.getvalue(), delta.height),
        )

    def worth_rewriting(self, relation: str, rows: int) -> bool:
        """Tell whether a table's changes have become more than its rows."""
        count, logged, largest = self._database.execute(
            "SELECT count(*), coalesce(sum(rows), 0), coalesce(max(rows), 0) FROM log "
            "WHERE relation = ?",
            (relation,),
        ).fetchone()
        return bool(count >= _REWRITE_AFTER and logged >= rows and logged >= 2 * largest)

    def rewrite(self, relation: str, rows: pl.DataFrame) -> None:
        """Replace the changes of a table by its rows."""
        with self._transaction():
            self._database.execute("DELETE FROM log WHERE relation = ?", (relation,))
            self._append(relation, rows)

    def close(self) -> None:
        """Let others have it."""
        self._database.close()
        os.close(self._lock)


def _unreadable(error: Exception) -> CheckpointError:
    reason = str(error).partition("\n")[0]
    return CheckpointError(
        f"cannot read the session: {reason}",
        step="session",
        value=_FILE,
        hint="bring session.db back from a copy, or use a new folder",
    )
