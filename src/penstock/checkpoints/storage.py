"""Where the files of a checkpoint lie: bytes by path, and a conditional create.

Every access to a checkpoint goes through a ``Storage``, so that another one, or a test that fails
at a chosen call, can take its place.
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from pathlib import Path
from typing import Protocol, runtime_checkable

from penstock.checkpoints.folder_lock import FolderLock
from penstock.errors import CheckpointError

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
"""What file systems without hard links answer; ``ENOTSUP`` is ``EOPNOTSUPP`` on Linux."""

PARTIAL = ".tmp"
"""End of the name of a file that is being made; one that stays behind means nothing."""


@runtime_checkable
class Storage(Protocol):
    """Files by path (``runs/a.arrow``). A missing file is a ``FileNotFoundError``, others ``OSError``.

    ``write`` and ``create`` have made the file durable when they return. ``create`` is atomic: of
    several that try, one gets True, and nobody reads a part of the file. ``list`` sees every file
    that was made before the call.
    """

    @property
    def name(self) -> str:
        """Where it is, for messages; without secrets."""
        ...

    @property
    def folder(self) -> Path | None:
        """The local folder, if it is one."""
        ...

    def hold(self, *, takeover: bool) -> bool:
        """Become the one who writes here; ``CheckpointError`` if that can be told to be another.

        With ``takeover`` never refused; False if another one has not let go yet. Called again to
        catch up on it when the other has gone. True where nobody can tell.
        """
        ...

    def release(self) -> None:
        """Let others hold it."""
        ...

    def read(self, path: str) -> bytes:
        """Return a file."""
        ...

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Make a file if there is none; False if there is one."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``, sorted."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file; one that is missing is fine."""
        ...


class LocalStorage:
    """A folder. One process holds it at a time, by a lock that the kernel frees when it dies."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self.name = str(folder)
        self._root = folder
        self._lock = FolderLock(folder)

    def hold(self, *, takeover: bool) -> bool:
        """Lock the folder."""
        if self._lock.held:
            return True
        _make_folder(self._root)
        if takeover:
            return self._lock.take_over()
        if self._lock.acquire():
            return True
        raise CheckpointError(
            "another run holds this checkpoint",
            step="checkpoint",
            value=self.name,
            hint="stop the other run, take over from it (takeover=True), or use another folder",
        )

    def release(self) -> None:
        """Free the lock."""
        self._lock.release()

    def read(self, path: str) -> bytes:
        """Return a file."""
        return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file; a reader that comes meanwhile may see a part of it."""
        target = self._root / path
        _make_folder(target.parent)
        _write(target, data)
        _sync_folder(target.parent)

    def create(self, path: str, data: bytes) -> bool:
        """Make a file if there is none: complete under another name, then linked to its own."""
        target = self._root / path
        _make_folder(target.parent)
        partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}{PARTIAL}")
        try:
            _write(partial, data)
            try:
                made = _link(partial, target, data)
            except FileNotFoundError:  # whoever took over has tidied the partial file away
                _write(partial, data)
                made = _link(partial, target, data)
        finally:
            partial.unlink(missing_ok=True)
        if made:
            _sync_folder(target.parent)
        return made

    def list(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``, sorted; partial files too."""
        parent, _, stem = prefix.rpartition("/")
        folder = self._root / parent
        if not folder.is_dir():
            return []
        found: list[Path] = []
        for entry in folder.iterdir():
            if entry.name.startswith(stem):
                found.extend(entry.rglob("*") if entry.is_dir() else [entry])
        return sorted(path.relative_to(self._root).as_posix() for path in found if path.is_file())

    def delete(self, path: str) -> None:
        """Remove a file."""
        (self._root / path).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(partial: Path, target: Path, data: bytes) -> bool:
    try:
        os.link(partial, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_links(target, data)
    return True


def _create_without_links(target: Path, data: bytes) -> bool:
    """Make the file under its own name: atomic in who makes it; a torn one fails its checksum."""
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return True


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, and force their names to the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class MemoryStorage:
    """Files in this process, for tests; ``memory://name`` is the same one whenever it is opened."""

    folder: Path | None = None

    def __init__(self, name: str = "memory://") -> None:
        self.name = name
        self.files: dict[str, bytes] = {}
        self._guard = threading.Lock()

    def hold(self, *, takeover: bool) -> bool:  # noqa: ARG002 - nobody can be refused
        """Do nothing: whoever comes takes over."""
        return True

    def release(self) -> None:
        """Do nothing."""

    def read(self, path: str) -> bytes:
        """Return a file."""
        with self._guard:
            if path not in self.files:
                raise FileNotFoundError(errno.ENOENT, "no such file", f"{self.name}/{path}")
            return self.files[path]

    def write(self, path: str, data: bytes) -> None:
        """Make or replace a file."""
        with self._guard:
            self.files[path] = bytes(data)

    def create(self, path: str, data: bytes) -> bool:
        """Make a file if there is none."""
        with self._guard:
            if path in self.files:
                return False
            self.files[path] = bytes(data)
            return True

    def list(self, prefix: str) -> list[str]:
        """Return the paths that begin with ``prefix``, sorted."""
        with self._guard:
            return sorted(path for path in self.files if path.startswith(prefix))

    def delete(self, path: str) -> None:
        """Remove a file."""
        with self._guard:
            self.files.pop(path, None)
