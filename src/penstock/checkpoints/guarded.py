"""What a storage raises, as an error of ours that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.checkpoints.storage import Storage
from penstock.errors import CheckpointError

_HINTS = {
    errno.ENOSPC: "make room where the checkpoint lies",
    errno.EDQUOT: "make room where the checkpoint lies",
    errno.EEXIST: "there is a file in the way; name a folder",
    errno.ENOTDIR: "there is a file in the way; name a folder",
    errno.ENOLCK: "put the checkpoint on a file system that has locks",
    errno.EROFS: "put the checkpoint where one may write",
    errno.EACCES: "give this user the right to write there",
    errno.EPERM: "give this user the right to write there",
}
_LASTING = (
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EOPNOTSUPP,
)
"""Trying again does not help against these."""


class Guarded:
    """A storage whose errors are ``CheckpointError``; reading a missing file stays ``FileNotFoundError``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.name = storage.name
        self.folder: Path | None = storage.folder

    def hold(self, *, takeover: bool) -> bool:
        """Become the one who writes here; False if another one has not let go yet."""
        with self._reported("cannot be opened"):
            return self._storage.hold(takeover=takeover)

    def release(self) -> None:
        """Let others hold it."""
        self._storage.release()

    def read(self, path: str) -> bytes:
        """Return a file."""
        with self._reported(f"file {path} cannot be read"):
            try:
                return self._storage.read(path)
            except FileNotFoundError as error:
                missing = error
        raise missing

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file."""
        with self._reported(f"file {path} cannot be written"):
            self._storage.write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Make a file if there is none."""
        with self._reported(f"file {path} cannot be written"):
            return self._storage.create(path, data)

    def list(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``."""
        with self._reported("its files cannot be listed"):
            return self._storage.list(prefix)

    def delete(self, path: str) -> None:
        """Remove a file."""
        with self._reported(f"file {path} cannot be deleted"):
            self._storage.delete(path)

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            lasting = isinstance(error, PermissionError) or error.errno in _LASTING
            raise CheckpointError(
                f"{what}: {error}",
                step="checkpoint",
                value=self.name,
                hint=_HINTS.get(error.errno or 0),
                retry=not lasting,
            ) from error
