"""A list of finished files, read one after another."""

from __future__ import annotations

import glob
from pathlib import Path
from threading import Lock
from typing import Any

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.files.content import Content, Reader
from penstock.errors import CheckpointError


def matching(patterns: tuple[str, ...]) -> list[str]:
    """Return the files: names as given, globs in byte order of the path, none twice."""
    found: list[str] = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not Path(pattern).exists():
            names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
            found += sorted((n for n in names if Path(n).is_file()), key=str.encode)
        else:
            found.append(pattern)
    return list(dict.fromkeys(found))


class FilesSource(OnePartition):
    """Files in order. Position: ``{"file": path, "offset": bytes or rows, "line": n, "done": n}``.

    ``done`` counts the files before this one. ``file`` is None after the last.
    """

    def __init__(self, paths: tuple[str, ...], content: Content) -> None:
        self._files = matching(paths)
        self._content = content
        self._index = 0
        self._reader: Reader | None = None
        self._start: tuple[int, int | None] = (0, 1)
        self._sizes = [_size(file) for file in self._files]
        self.share: float | None = 0.0 if sum(self._sizes) else None
        self._closed = False
        self._lock = Lock()  # close() waits for the poll that it ends

    def seek(self, position: Position | None) -> None:
        """Go to a position."""
        self._leave()
        self._index, self._start = 0, (0, 1)
        if position is None:
            return
        assert isinstance(position, dict)
        self._index = self._index_of(position)
        self._start = (position["offset"], position["line"])

    def _index_of(self, position: dict[str, Any]) -> int:
        if position["file"] is None:
            return len(self._files)
        try:
            return self._files.index(position["file"])
        except ValueError:
            raise CheckpointError(
                f"the file {position['file']!r}, where reading stopped, is not there any more",
                step=f"{self._content.name} file",
                value=position["file"],
                hint="put it back, or start without the checkpoint",
            ) from None

    def poll(self, max_rows: int, timeout_s: float) -> Polled:  # noqa: ARG002 - files never wait
        """Return the next rows; they are all of one file."""
        with self._lock:
            return self._poll(max_rows)

    def _poll(self, max_rows: int) -> Polled:
        if self._closed:
            return Polled(self._content.schema.to_frame(), self._position())
        while self._index < len(self._files):
            piece = self._opened().take(max_rows)
            if piece is not None:
                self._note_share()
                return Polled(piece.frame, self._position(), dead=piece.dead)
            self._leave()
            self._index, self._start = self._index + 1, (0, 1)
        empty = self._content.schema.to_frame()
        return Polled(empty, self._position(), caught_up=True, ended=True)

    def _note_share(self) -> None:
        """Count bytes of the files: of this one, as many as the share of it that was read."""
        whole, reader = sum(self._sizes), self._reader
        if not whole or reader is None:
            return
        size = reader.size
        here = self._sizes[self._index] * min(1.0, reader.offset / size) if size else 0.0
        self.share = min(1.0, (sum(self._sizes[: self._index]) + here) / whole)

    def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = self._content.reader(self._files[self._index])
            self._reader.begin(*self._start)
        return self._reader

    def _position(self) -> Position:
        if self._index >= len(self._files):
            return {"file": None, "offset": 0, "line": 1, "done": len(self._files)}
        reader = self._reader
        offset, line = (reader.offset, reader.line) if reader else self._start
        return {
            "file": self._files[self._index],
            "offset": offset,
            "line": line,
            "done": self._index,
        }

    def acknowledge(self, position: Position) -> None:
        """Files need no acknowledgement."""

    def close(self) -> None:
        """Close the file that is open."""
        self._closed = True
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # opening it says what is wrong
        return 0
