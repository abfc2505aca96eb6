"""What a topic forgets: the oldest batches, in bounded steps inside the transactions of writers.

Either by its retention (age, size), or because its reader has said how far it will never go back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from penstock.deferred import sqlite3
from penstock.errors import ConfigError

_STEP_BATCHES = 1024
_STEP_BYTES = 32 << 20
"""A step deletes at most this much, so that an append is held up by some 10 ms at most."""
_TRIM_EVERY_S = 0.1
_TRIM_EVERY_BYTES = 8 << 20
"""A writer looks for what is outside after so much time or so many bytes."""
_GIVE_BACK_PAGES = 256
_GIVE_BACK_FROM = 1024
"""Free pages are used again by later appends; only a file that is a quarter empty is shrunk."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much a topic keeps; None keeps all.

    ``age`` counts from the append, not from the records' timestamps, so that history which is
    written today is kept as long as what happens today. ``size_bytes`` counts stored payloads over
    all partitions. Whole batches are dropped, oldest first, once a newer append finds them outside.
    """

    age: timedelta | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.age is not None and self.age <= timedelta(0):
            raise ConfigError("retention age must be positive", value=self.age)
        if self.size_bytes is not None and self.size_bytes <= 0:
            raise ConfigError("retention size must be positive", value=self.size_bytes)


class Trimmer:
    """Has one writer do what the retention asks, now and then."""

    def __init__(self) -> None:
        self._trimmed_at = 0.0
        self._untrimmed_bytes = 0

    def wrote(self, written: int, connection: sqlite3.Connection, keep: Retention) -> None:
        """Count bytes that were written in a transaction, and trim in it if it is time."""
        if keep.age is None and keep.size_bytes is None:
            return
        self._untrimmed_bytes += written
        now = time.monotonic()
        if self._untrimmed_bytes < _TRIM_EVERY_BYTES and now - self._trimmed_at < _TRIM_EVERY_S:
            return
        self._trimmed_at, self._untrimmed_bytes = now, 0
        trim_step(connection, keep, clock_us())


def clock_us() -> int:
    """Return the time of day, in microseconds."""
    return time.time_ns() // 1000


def trim_step(connection: sqlite3.Connection, retention: Retention, now_us: int) -> bool:
    """Drop what is outside, up to one step's worth; True if more may be left.

    The newest batch always stays, so that one append larger than the limit can be read.
    """
    doomed = _doomed(connection, retention, now_us)
    if doomed:
        connection.execute("DELETE FROM batches WHERE id <= ?", (doomed[-1][0],))
        for _, partition, end, size in doomed:
            connection.execute(
                'UPDATE partitions SET "start" = ?, bytes = bytes - ? WHERE "partition" = ?',
                (end, size, partition),
            )
    return give_back(connection) or bool(doomed)


def forget_step(connection: sqlite3.Connection, offsets: Iterable[tuple[int, int]]) -> bool:
    """Drop the batches that lie wholly below ``offsets``, up to one step's worth for each partition.

    Returns whether more may be left. What stays begins with the batch that holds the offset.
    """
    more = False
    for partition, offset in offsets:
        doomed, size, cut = 0, 0, None
        for base, records, stored in connection.execute(
            'SELECT base, records, bytes FROM batches WHERE "partition" = ? AND base + records <= ?'
            " ORDER BY base LIMIT ?",
            (partition, offset, _STEP_BATCHES),
        ):
            doomed, size, cut = doomed + 1, size + stored, base + records
            if size >= _STEP_BYTES:
                break
        if cut is None:
            continue
        connection.execute(
            'DELETE FROM batches WHERE "partition" = ? AND base < ?', (partition, cut)
        )
        connection.execute(
            'UPDATE partitions SET "start" = ?, bytes = bytes - ? WHERE "partition" = ?',
            (cut, size, partition),
        )
        more = more or doomed == _STEP_BATCHES or size >= _STEP_BYTES
    return more


def _doomed(
    connection: sqlite3.Connection, retention: Retention, now_us: int
) -> list[tuple[int, int, int, int]]:
    total = connection.execute("SELECT sum(bytes) FROM partitions").fetchone()[0]
    newest = connection.execute("SELECT max(id) FROM batches").fetchone()[0]
    limit = retention.size_bytes
    age = retention.age
    oldest_us = None if age is None else now_us - age // timedelta(microseconds=1)
    doomed: list[tuple[int, int, int, int]] = []
    dropped = 0
    for number, partition, end, size, appended_us in connection.execute(
        'SELECT id, "partition", base + records, bytes, appended_us FROM batches'
        " ORDER BY id LIMIT ?",
        (_STEP_BATCHES,),
    ):
        expired = oldest_us is not None and appended_us < oldest_us
        surplus = limit is not None and total - dropped > limit
        if number == newest or dropped >= _STEP_BYTES or not (expired or surplus):
            break
        doomed.append((number, partition, end, size))
        dropped += size
    return doomed


def give_back(connection: sqlite3.Connection) -> bool:
    """Shrink a file that is mostly empty by one step; True if it did."""
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    if free <= _GIVE_BACK_FROM or free * 4 <= pages:
        return False
    for _ in range(_GIVE_BACK_PAGES):  # Python's driver takes one step of this pragma per call
        connection.execute("PRAGMA incremental_vacuum(1)")
    return True
