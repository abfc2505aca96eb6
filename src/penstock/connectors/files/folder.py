"""A folder that files are put into: each is read once, when it is complete.

A file is complete when its size and time of change have stayed the same for ``settle`` (at once if
its last change is older than that when it is first seen). Files come in the order of their last
change (``ctime``, then path): a file renamed into place changes at that moment, a growing file with
each write, so this is the order in which they become complete, and the same again on a replay.

A file that was read is known by its path until it leaves the folder; so the position is as large as
the list of files there. Move or delete files that are done with, if there are very many.
"""

from __future__ import annotations

import glob
import os
import time
from pathlib import Path
from threading import Event, Lock

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.files.content import Content, Reader
from penstock.errors import ConnectorError

Seen = tuple[int, int, float]
"""Size, time of change in ns, and when (monotonic) it was first seen like that."""


class FolderSource(OnePartition):
    """Reads the files that a glob pattern finds, for ever.

    Position: ``{"file": path or None, "offset", "line", "done": [paths still in the folder]}``.
    """

    def __init__(self, pattern: str, content: Content, *, settle_s: float) -> None:
        self._pattern, self._content, self._settle_s = pattern, content, settle_s
        self._interval_s = min(max(settle_s / 4, 0.01), 0.25)
        self._closed = Event()
        self._lock = Lock()  # close() waits for the poll that it ends
        self._done: frozenset[str] = frozenset()
        self._listed: list[str] = []
        self._waiting: dict[str, Seen] = {}
        self._ready: list[str] = []
        self._file: str | None = None
        self._reader: Reader | None = None
        self._start: tuple[int, int | None] = (0, 1)

    def seek(self, position: Position | None) -> None:
        """Go on with the file of the position, then with those that are not done."""
        self._leave()
        self._waiting, self._ready = {}, []
        self._start, self._done, self._listed = (0, 1), frozenset(), []
        if position is None:
            return
        assert isinstance(position, dict)
        self._listed = list(position["done"])
        self._done = frozenset(self._listed)
        self._file = position["file"]
        self._start = (position["offset"], position["line"])

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return rows of the file at hand, or of the next complete one."""
        with self._lock:
            return self._poll(max_rows, time.monotonic() + timeout_s)

    def _poll(self, max_rows: int, deadline: float) -> Polled:
        while not self._closed.is_set():
            polled = self._take(max_rows)
            if polled is not None:
                return polled
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._closed.wait(min(self._interval_s, left))
        quiet = self._file is None and not self._waiting and not self._ready
        return Polled(self._content.schema.to_frame(), self._position(), caught_up=quiet)

    def _take(self, max_rows: int) -> Polled | None:
        while self._file is not None or self._next():
            if self._vanished():
                self._finish()
                continue
            piece = self._opened().take(max_rows)
            if piece is not None:
                return Polled(piece.frame, self._position(), dead=piece.dead)
            self._finish()
        return None

    def _vanished(self) -> bool:
        """Tell whether the file was taken away after it was seen, before anything was read of it."""
        if self._reader is not None or self._start[0]:
            return False
        try:
            self._opened()
        except ConnectorError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return True
            raise
        return False

    def _opened(self) -> Reader:
        assert self._file is not None
        if self._reader is None:
            self._reader = self._content.reader(self._file)
            self._reader.begin(*self._start)
        return self._reader

    def _finish(self) -> None:
        assert self._file is not None
        self._done |= {self._file}
        self._leave()
        self._start = (0, 1)
        self._listed = sorted(self._done)

    def _next(self) -> bool:
        """Choose the next complete file."""
        if not self._ready:
            self._look()
        while self._ready:
            path = self._ready.pop(0)
            if Path(path).exists():
                self._file = path
                return True
        return False

    def _look(self) -> None:
        """List the folder: note what is new, what has settled, and what has left."""
        found = set(glob.glob(self._pattern, recursive=True))  # noqa: PTH207 - absolute patterns
        if self._done - found:
            self._done &= found
            self._listed = sorted(self._done)
        now, complete = time.monotonic(), []
        waiting: dict[str, Seen] = {}
        for path in found - self._done:
            try:
                stat = Path(path).stat()
            except OSError:
                continue
            if not os.path.isfile(path):  # noqa: PTH113 - cheaper than a second Path
                continue
            seen = self._seen(path, stat, now)
            if now - seen[2] >= self._settle_s:
                complete.append((stat.st_ctime_ns, path))
            else:
                waiting[path] = seen
        self._waiting = waiting
        self._ready = [path for _, path in sorted(complete)]

    def _seen(self, path: str, stat: os.stat_result, now: float) -> Seen:
        last = self._waiting.get(path)
        if last is not None and last[:2] == (stat.st_size, stat.st_ctime_ns):
            return last
        age_s = time.time() - stat.st_ctime if last is None else 0.0
        return (stat.st_size, stat.st_ctime_ns, now - max(age_s, 0.0))

    def _position(self) -> Position:
        offset, line = self._start
        if self._reader is not None:
            offset, line = self._reader.offset, self._reader.line
        return {"file": self._file, "offset": offset, "line": line, "done": self._listed}

    def acknowledge(self, position: Position) -> None:
        """Files need no acknowledgement."""

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader, self._file = None, None

    def close(self) -> None:
        """End a waiting poll and close the file."""
        self._closed.set()
        with self._lock:
            self._leave()
