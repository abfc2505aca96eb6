"""What the thread that keeps arrivals and the one that hands them over share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from penstock.connectors.durable.backlog import Backlog
from penstock.topics.journal import Journal, Kind

_MARKS = 256
"""How many marks there are at about the most: each frees its part of the bytes that may wait."""


@dataclass(frozen=True, slots=True)
class Mark:
    """The end of one append: what is known of the source once everything before it was read."""

    rows: int
    dead: int
    stored_bytes: int
    during: frozenset[int]  # partitions that brought rows, or might have, in this append
    after: frozenset[int]  # partitions that might still bring some afterwards


class Shelf:
    """Two backlogs, the marks of their appends, and what is known of the source within."""

    def __init__(self, journal: Journal, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._backlogs = {kind: Backlog(journal, kind, 0, 0) for kind in Kind}
        self._marks: deque[Mark] = deque()
        self._unread_bytes = 0
        self._partitions: frozenset[int] = frozenset()
        self._caught_up = False
        self._ended = False
        self._error: BaseException | None = None
        self._closed = False

    # Before the threads run

    def begin(self, offsets: Mapping[Kind, int], ends: Mapping[Kind, int], mark: Mark) -> None:
        """Start to read at ``offsets``; ``mark`` is the last append of the run before."""
        with self._changed:
            for kind, backlog in self._backlogs.items():
                backlog.next, backlog.end = offsets[kind], ends[kind]
            self._partitions = mark.during | mark.after
            self._unread_bytes = mark.stored_bytes
            self._marks.append(mark)
            self._pass()

    # By the thread that keeps

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait while too much is unread; False if it still is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._unread_bytes <= self._max_bytes or self._closed, timeout_s
            )

    def wait_for_close(self, timeout_s: float) -> None:
        """Wait for the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, timeout_s)

    def busy(self) -> None:
        """Say that rows are on their way."""
        self._caught_up = False

    def put(self, rows: pl.DataFrame, dead: pl.DataFrame | None, mark: Mark) -> None:
        """Offer what was appended; the ends in ``mark`` are ignored and set here."""
        with self._changed:
            self._backlogs[Kind.ROWS].added(rows)
            if dead is not None:
                self._backlogs[Kind.DEAD_LETTERS].added(dead)
            self._unread_bytes += mark.stored_bytes
            ends = self.ends
            self._mark(replace(mark, rows=ends[Kind.ROWS], dead=ends[Kind.DEAD_LETTERS]))
            self._pass()
            self._changed.notify_all()

    def tell(self, after: frozenset[int], *, caught_up: bool, ended: bool) -> None:
        """Say how the source within stands after everything that was put."""
        with self._changed:
            if self._marks:
                self._marks[-1] = replace(self._marks[-1], after=after)
            else:
                self._partitions = after
            self._caught_up, self._ended = caught_up, ended
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Have the next poll raise."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    # By the thread that hands over

    def wait(self, timeout_s: float) -> None:
        """Wait until something can be handed over, or never will be; raise what went wrong."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.unread or self._ended or self._error or self._closed, timeout_s
            )
            if self._error is not None and not self._closed:
                raise self._error

    def take(self, kind: Kind, wanted: int) -> list[pl.DataFrame]:
        """Take up to ``wanted`` records of a kind, from memory, else from the journal."""
        backlog = self._backlogs[kind]
        with self._changed:
            missing = backlog.missing(wanted)
        if missing:
            records = backlog.read(missing)
            with self._changed:
                backlog.fetched(records)
        with self._changed:
            return backlog.take(wanted)

    def put_back(self, rows: pl.DataFrame) -> None:
        """Take back the last of the rows that were taken."""
        with self._changed:
            self._backlogs[Kind.ROWS].put_back(rows)

    def pass_marks(self) -> None:
        """Note how far everything was taken, once nothing will be put back."""
        with self._changed:
            self._pass()

    @property
    def unread(self) -> int:
        """Rows and dead letters that wait."""
        return sum(backlog.rows for backlog in self._backlogs.values())

    @property
    def offsets(self) -> dict[Kind, int]:
        """Where the next take begins."""
        return {kind: backlog.next for kind, backlog in self._backlogs.items()}

    @property
    def ends(self) -> dict[Kind, int]:
        """Where the next append goes."""
        return {kind: backlog.end for kind, backlog in self._backlogs.items()}

    @property
    def caught_up(self) -> bool:
        """Whether everything that is there was handed over."""
        return (self._caught_up or self._ended) and not self.unread

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come."""
        return self._ended and not self.unread

    def partitions(self) -> Iterable[int]:
        """Return those that may still bring rows, after what was taken."""
        with self._changed:
            found = self._partitions
            if self._marks:
                found |= self._marks[0].during | self._marks[0].after
            return sorted(found)

    def close(self) -> None:
        """Wake everybody, for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    def _mark(self, mark: Mark) -> None:
        """Add a mark, or extend the last: a reader that is far behind needs no one for each append."""
        last = self._marks[-1] if len(self._marks) > 1 else None
        alike = last and (last.during, last.after) == (mark.during, mark.after)
        if last and alike and last.stored_bytes * _MARKS < self._max_bytes:
            mark = replace(mark, stored_bytes=last.stored_bytes + mark.stored_bytes)
            self._marks.pop()
        self._marks.append(mark)

    def _pass(self) -> None:
        """Drop the marks that everything before was taken of."""
        rows, dead = (self._backlogs[kind].next for kind in Kind)
        while self._marks and rows >= self._marks[0].rows and dead >= self._marks[0].dead:
            mark = self._marks.popleft()
            self._unread_bytes -= mark.stored_bytes
            self._partitions = mark.after
            self._changed.notify_all()
