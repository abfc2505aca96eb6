"""A folder on a disk that may lose whatever was not forced to it.

The calls by which files are forced, renamed, linked and removed are crash points. When the run has
died, ``lose`` makes of the folder what a power cut may leave of it:

* a file written since it was last forced is cut anywhere, or filled up with zeros
* of the changes to a folder since that was last forced (files made, renamed, removed), the latest
  are undone: any number of them, in each folder by itself

Files of SQLite are left alone: it forces them in calls of its own that are not seen here.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import CrashPoints

_SQLITE = (".db", ".db-wal", ".db-shm", "lock", "lock-next")


@dataclass
class Change:
    """Something done to the entries of a folder, and how it is undone."""

    told: str
    undo: Callable[[], None]


@dataclass
class Disk:
    """Watches a folder."""

    root: Path
    grave: Path
    points: CrashPoints
    forced: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Size and time of change of files when they were forced to the disk, by inode."""
    known: dict[Path, set[str]] = field(default_factory=dict)
    """Names in each folder that were seen, so that new ones are noticed."""
    changes: dict[Path, list[Change]] = field(default_factory=dict)
    """What was done to each folder since it was forced, oldest first."""

    def __post_init__(self) -> None:
        self.grave.mkdir(exist_ok=True)
        for path in self.root.rglob("*"):
            self.known.setdefault(path.parent, set()).add(path.name)
            if path.is_file():
                self._force(path.stat())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the calls of this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "replace", "link", "unlink", "remove", "fsync"):
                patch.setattr(os, name, self._watched(name, getattr(os, name)))
            yield

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            path = self._path(args[0])
            if not self._mine(path):
                return call(*args, **options)
            place = str(path.relative_to(self.root))
            self.points.reach(f"disk.{name}.before", place)
            done = getattr(self, f"_{name}")(call, *args, **options)
            self.points.reach(f"disk.{name}.after", place)
            return done

        return watched

    def _path(self, given: Any) -> Path:
        if isinstance(given, int):
            return Path(f"/proc/self/fd/{given}").readlink()
        return Path(os.fspath(given)).absolute()

    def _mine(self, path: Path) -> bool:
        inside = path == self.root or path.is_relative_to(self.root)
        return inside and not path.name.endswith(_SQLITE)

    def _fsync(self, call: Callable[..., Any], handle: int) -> None:
        call(handle)
        found, path = os.fstat(handle), self._path(handle)
        if stat.S_ISDIR(found.st_mode):
            self.changes.pop(path, None)
            self.known[path] = _names(path)
        else:
            self._force(found)

    def _force(self, found: os.stat_result) -> None:
        self.forced[found.st_ino] = (found.st_size, found.st_mtime_ns)

    def _rename(self, call: Callable[..., Any], source: Any, target: Any) -> None:
        source, target = self._path(source), self._path(target)
        self._notice(source.parent)
        self._notice(target.parent)
        replaced = self._buried(target)
        call(source, target)
        self.known[source.parent].discard(source.name)
        self.known[target.parent].add(target.name)

        def undo() -> None:
            if target.exists():
                shutil.move(target, source)
                if replaced is not None:
                    shutil.copy2(replaced, target)

        self._changed(target.parent, f"{source.name} -> {target.name}", undo)

    _replace = _rename

    def _link(self, call: Callable[..., Any], source: Any, target: Any) -> None:
        source, target = self._path(source), self._path(target)
        self._notice(target.parent)
        call(source, target)
        self.known[target.parent].add(target.name)
        self._changed(target.parent, f"link {target.name}", lambda: _gone(target))

    def _unlink(self, call: Callable[..., Any], path: Any) -> None:
        path = self._path(path)
        self._notice(path.parent)
        buried = self._buried(path)
        call(path)
        self.known[path.parent].discard(path.name)

        def undo() -> None:
            if buried is not None and path.parent.is_dir():
                shutil.copy2(buried, path)

        self._changed(path.parent, f"remove {path.name}", undo)

    _remove = _unlink

    def _buried(self, path: Path) -> Path | None:
        """Keep what a file holds, to bring it back."""
        if not path.is_file():
            return None
        kept = self.grave / f"{len(list(self.grave.iterdir()))}"
        shutil.copy2(path, kept)
        return kept

    def _notice(self, folder: Path) -> None:
        """Note the entries that were made by calls that are not watched."""
        known = self.known.setdefault(folder, set())
        for name in sorted(_names(folder) - known):
            path = folder / name
            if not self._mine(path) or _holds_sqlite(path):
                continue
            known.add(name)
            self._changed(folder, f"make {name}", lambda path=path: _gone(path))  # type: ignore[misc]

    def _changed(self, folder: Path, told: str, undo: Callable[[], None]) -> None:
        self.changes.setdefault(folder, []).append(Change(told, undo))

    def lose(self, rng: random.Random) -> list[str]:
        """Make of the folder what a power cut may leave; tell what was lost."""
        told = self._cut_files(rng)
        for folder in sorted({path.parent for path in self.root.rglob("*")}):
            if folder.is_dir():
                self._notice(folder)
        for folder in sorted(self.changes):
            changes = self.changes[folder]
            for _ in range(rng.randint(0, len(changes))):
                change = changes.pop()
                change.undo()
                told.append(f"undone: {change.told}")
        return told

    def _cut_files(self, rng: random.Random) -> list[str]:
        told = []
        for path in sorted(self.root.rglob("*")):
            if not path.is_file() or not self._mine(path):
                continue
            found = path.stat()
            size = found.st_size
            if self.forced.get(found.st_ino) == (size, found.st_mtime_ns):
                continue
            left = rng.randint(0, size)
            data = path.read_bytes()[:left]
            path.write_bytes(data.ljust(size, b"\0") if rng.random() < 0.5 else data)
            told.append(f"{path.name} cut to {left} of {size}")
        return told


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def _gone(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _holds_sqlite(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.db"))
