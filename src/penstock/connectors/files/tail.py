"""A log file that is followed while it grows, across rotation, truncation and deletion.

    path -> inode 7   rename, create    path.1 -> inode 7   read to its end first
                      ------------->    path   -> inode 9   read from its beginning

* A partial last line waits for its newline; when the file has been rotated away it is a row.
* A new file under the path is turned to once it holds something: until then the writer may still
  be writing to the old one.
* A file that is shorter than what was read of it, or begins with other bytes, was truncated
  (``copytruncate``): it is read from its beginning.
* A missing file is waited for.

The position names the file by device and inode and by a checksum of its beginning, so that after a
restart it is found again under ``path`` or a name it was rotated to (``path.*``, ``path-*``). If it
was rotated several times meanwhile, the files between are read in the order of their last change.
What was truncated, deleted or compressed while nobody read is gone.
"""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path
from threading import Event, Lock
from typing import Any, BinaryIO

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.files.lines import LineReader, Piece
from penstock.connectors.files.opening import COMPRESSED
from penstock.connectors.formats.contract import Format

HEAD_BYTES = 1024
"""How much of the beginning tells one file from another whose inode number was used again."""


class _Followed:
    """One open file: its identity and its reader."""

    def __init__(self, path: Path, name: str, form: Format, max_line_bytes: int) -> None:
        self.path = path
        self.file: BinaryIO = path.open("rb", buffering=0)
        stat = os.fstat(self.file.fileno())
        self.inode = [stat.st_dev, stat.st_ino]
        self.head = [0, 0]  # length and checksum of the beginning
        self.reader = LineReader(name, self.file, form, max_line_bytes=max_line_bytes, final=False)
        self.started = False

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    def start(self, offset: int, line: int | None) -> bool:
        """Put the reader at the offset, once the header (if the format has one) is there."""
        self.file.seek(0)
        self.started = self.reader.begin(offset, line)
        return self.started

    def note_head(self) -> None:
        if self.head[0] < HEAD_BYTES:
            begun = os.pread(self.file.fileno(), min(HEAD_BYTES, self.reader.reached), 0)
            self.head = [len(begun), zlib.crc32(begun)]

    def begins_with(self, head: list[int]) -> bool:
        begun = os.pread(self.file.fileno(), head[0], 0)
        return len(begun) == head[0] and zlib.crc32(begun) == head[1]

    def truncated(self) -> bool:
        size = self.size()
        grown = size > self.reader.reached
        return size < self.reader.reached or (grown and not self.begins_with(self.head))


class TailSource(OnePartition):
    """Follows one path.

    Position: ``{"path", "inode": [device, inode] or None, "head": [length, crc32], "offset",
    "line"}``; ``line`` is None where reading began at the end, so that lines have no number.
    """

    def __init__(
        self, path: str, form: Format, *, from_end: bool, interval_s: float, max_line_bytes: int
    ) -> None:
        self._path, self._form = Path(path), form
        self._from_end, self._interval_s, self._limit = from_end, interval_s, max_line_bytes
        self._closed = Event()
        self._lock = Lock()  # close() waits for the poll that it ends
        self._current: _Followed | None = None
        self._start: tuple[int, int | None] = (0, 1)
        self._catching_up = False

    def seek(self, position: Position | None) -> None:
        """Find the file of a position; None is the beginning or the end, as configured."""
        self._leave()
        self._start, self._catching_up = (0, 1), False
        if position is None:
            if self._from_end and self._path.exists():
                self._current = self._open(self._path)
                self._start = (_last_line_start(self._current.file), None)
            return
        assert isinstance(position, dict)
        if position["inode"] is not None:
            self._find(position)

    def _find(self, position: dict[str, Any]) -> None:
        for path in [self._path, *self._rotated()]:
            try:
                found = self._open(path)
            except OSError:
                continue
            same = found.inode == position["inode"] and found.size() >= position["offset"]
            if same and found.begins_with(position["head"]):
                self._current, self._start = found, (position["offset"], position["line"])
                self._catching_up = path != self._path
                return
            found.file.close()

    def _rotated(self) -> list[Path]:
        """Return the uncompressed files that this path may have been rotated to."""
        name = self._path.name
        return sorted(
            path
            for path in self._path.parent.glob("*")
            if path.name.startswith((f"{name}.", f"{name}-")) and path.suffix not in COMPRESSED
        )

    def _open(self, path: Path) -> _Followed:
        return _Followed(path, str(self._path), self._form, self._limit)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return new rows as soon as there are some (looked for every ``interval``)."""
        with self._lock:
            return self._poll(max_rows, time.monotonic() + timeout_s)

    def _poll(self, max_rows: int, deadline: float) -> Polled:
        while not self._closed.is_set():
            piece = self._take(max_rows)
            if piece is not None:
                return Polled(
                    piece.frame, self._position(), dead=piece.dead, caught_up=self._at_end()
                )
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._closed.wait(min(self._interval_s, left))
        return Polled(self._form.schema.to_frame(), self._position(), caught_up=True)

    def _at_end(self) -> bool:
        current = self._current
        return current is not None and current.size() <= current.reader.reached

    def _take(self, max_rows: int) -> Piece | None:
        """Return rows of the current file, or turn to the next."""
        while True:
            current = self._ready()
            if current is None:
                return None
            piece = current.reader.take(max_rows)
            current.note_head()
            if piece is not None:
                return piece
            following = self._following(current)
            if following is None:
                return None
            current.reader.finish()
            piece = current.reader.take(max_rows)
            if piece is not None:
                following.file.close()
                return piece
            self._leave()
            self._current, self._start = following, (0, 1)

    def _ready(self) -> _Followed | None:
        """Return the current file, opened, at its place, and begun again if it was truncated."""
        if self._current is None:
            try:
                self._current = self._open(self._path)
            except OSError:
                return None
        current = self._current
        if current.started and current.truncated():
            current.head = [0, 0]
            self._start, current.started = (0, 1), False
        if current.started or current.start(*self._start):
            return current
        return None

    def _following(self, current: _Followed) -> _Followed | None:
        """Return the file that comes after this one, if it holds something."""
        candidates = [self._path]
        if self._catching_up:
            candidates = [*self._younger(current), self._path]
        for path in candidates:
            try:
                found = self._open(path)
            except OSError:
                continue
            if found.inode != current.inode and found.size():
                self._catching_up = path != self._path
                return found
            found.file.close()
        return None

    def _younger(self, current: _Followed) -> list[Path]:
        """Return rotated files changed after this one, oldest first."""
        since = os.fstat(current.file.fileno()).st_mtime_ns
        changed = []
        for path in self._rotated():
            try:
                changed.append((path.stat().st_mtime_ns, path))
            except OSError:
                continue
        return [path for at, path in sorted(changed) if at > since]

    def _position(self) -> Position:
        current = self._current
        offset, line = self._start
        if current is not None and current.started:
            offset, line = current.reader.offset, current.reader.line
        return {
            "path": str(self._path),
            "inode": current.inode if current else None,
            "head": current.head if current else [0, 0],
            "offset": offset,
            "line": line,
        }

    def acknowledge(self, position: Position) -> None:
        """Log files need no acknowledgement."""

    def _leave(self) -> None:
        if self._current is not None:
            self._current.reader.close()
            self._current = None

    def close(self) -> None:
        """End a waiting poll and close the file."""
        self._closed.set()
        with self._lock:
            self._leave()


def _last_line_start(file: BinaryIO) -> int:
    """Return the offset after the last newline."""
    at = file.seek(0, os.SEEK_END)
    while at:
        start = max(0, at - 65536)
        file.seek(start)
        found = file.read(at - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
