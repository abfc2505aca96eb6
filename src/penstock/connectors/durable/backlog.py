"""What was appended to a journal and not handed over yet, in order.

The latest frames are kept in memory too, so that a reader that keeps up reads nothing back::

    journal  [ 0 .. 99 ][ 100 .. 199 ][ 200 .. 249 ]   end 250
    recent              ( 100 .. 199 )( 200 .. 249 )
    next           ^ 50: read from the journal up to 100, then from memory
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import polars as pl

from penstock.topics.journal import Journal, Kind
from penstock.topics.records import Records

_RECENT_ROWS = 1 << 19
"""Rows kept in memory: half a second and more at full speed. Beyond, the journal is read."""

_RECENT_FRAMES = 4096
"""Frames kept in memory: one of a single row takes a kilobyte and more."""

_READ_ROWS = 65_536
"""At least a whole stored batch, so that small polls do not decode it again each time."""


@dataclass
class Backlog:
    """One kind of records of a journal, from ``next`` to ``end``."""

    journal: Journal
    kind: Kind
    next: int
    end: int
    _recent: deque[Records] = field(default_factory=deque)
    _recent_rows: int = 0

    @property
    def rows(self) -> int:
        """How many wait."""
        return self.end - self.next

    def added(self, frame: pl.DataFrame) -> None:
        """Note that ``frame`` was appended."""
        room = self._recent_rows < _RECENT_ROWS and len(self._recent) < _RECENT_FRAMES
        if frame.height and room:
            self._recent.append(Records(self.kind, self.end, frame))
            self._recent_rows += frame.height
        self.end += frame.height

    def missing(self, wanted: int) -> int:
        """Return how many rows must be read from the journal before memory goes on."""
        if not wanted or not self.rows:
            return 0
        head = self._recent[0].offset if self._recent else self.end
        return head - self.next

    def fetched(self, records: Records) -> None:
        """Take what was read from the journal."""
        self._recent.appendleft(records)
        self._recent_rows += records.frame.height

    def take(self, wanted: int) -> list[pl.DataFrame]:
        """Take up to ``wanted`` rows out of memory, those that come next."""
        taken: list[pl.DataFrame] = []
        while wanted and self._recent and self._recent[0].offset == self.next:
            head = self._recent.popleft()
            frame = head.frame
            if frame.height > wanted:
                frame = frame.head(wanted)
                rest = Records(self.kind, self.next + wanted, head.frame.slice(wanted))
                self._recent.appendleft(rest)
            wanted -= frame.height
            self.next += frame.height
            self._recent_rows -= frame.height
            taken.append(frame)
        return taken

    def put_back(self, frame: pl.DataFrame) -> None:
        """Have the last rows that were taken come next again."""
        self.next -= frame.height
        self.fetched(Records(self.kind, self.next, frame))

    def read(self, missing: int) -> Records:
        """Read the next rows from the journal; changes nothing, so that no lock is needed."""
        records = self.journal.read(self.kind, self.next, min(missing, _READ_ROWS))
        return Records(self.kind, records.offset, records.frame.head(missing))
