"""Batches of a topic in its store: encoding, inserting, reading, finding by time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter

import polars as pl

from penstock.deferred import sqlite3
from penstock.topics import blobs
from penstock.topics.blobs import Blob
from penstock.topics.settings import Settings
from penstock.topics.store import Store

_BATCH_ROWS = 65_536
_BATCH_BYTES = 16 << 20
"""Larger frames are cut, so that a reader of few rows never decodes much more than it wants."""

_FIND = """
    SELECT base, records, layout, crc, payload FROM batches
    WHERE "partition" = :partition AND base + records > :offset AND base >= (
        SELECT max(base) FROM batches WHERE "partition" = :partition AND base <= :offset)
    ORDER BY base
"""
_INSERT = """
    INSERT INTO batches("partition", base, records, first_us, last_us, appended_us, bytes, layout,
                        crc, payload) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on its way into the store; its offsets are not known yet."""

    partition: int
    records: int
    first_us: int
    last_us: int
    blob: Blob


class Batches:
    """The table of batches of one topic."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._layouts: dict[bytes, int] = {}
        self._heads: dict[int, bytes] = {}

    def encode(self, parts: Iterable[tuple[int, pl.DataFrame]]) -> list[Batch]:
        """Cut and encode frames, each with its partition."""
        return [
            self._encode(partition, piece)
            for partition, frame in parts
            if frame.height
            for piece in frame.iter_slices(_slice_rows(frame))
        ]

    def _encode(self, partition: int, frame: pl.DataFrame) -> Batch:
        first_us, last_us = self._span(frame)
        blob = blobs.encode(frame, self._settings.compression)
        return Batch(partition, frame.height, first_us, last_us, blob)

    def _span(self, frame: pl.DataFrame) -> tuple[int, int]:
        now = time.time_ns() // 1000
        if self._settings.timestamp is None:
            return now, now
        instants = _microseconds(frame[self._settings.timestamp])
        first, last = instants.min(), instants.max()
        return (first if isinstance(first, int) else now, last if isinstance(last, int) else now)

    def insert(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> dict[int, range]:
        """Write ``batches`` at the ends of their partitions, in the running transaction."""
        now = time.time_ns() // 1000
        offsets: dict[int, range] = {}
        for partition, group in groupby(batches, key=lambda batch: batch.partition):
            first: int = connection.execute(
                'SELECT "end" FROM partitions WHERE "partition" = ?', (partition,)
            ).fetchone()[0]
            base, size = first, 0
            for batch in group:
                self._insert(connection, batch, base, now)
                base += batch.records
                size += len(batch.blob.payload)
            connection.execute(
                'UPDATE partitions SET "end" = ?, bytes = bytes + ? WHERE "partition" = ?',
                (base, size, partition),
            )
            offsets[partition] = range(first, base)
        return offsets

    def _insert(self, connection: sqlite3.Connection, batch: Batch, base: int, now: int) -> None:
        layout = self._layout_id(connection, batch.blob.head)
        connection.execute(
            _INSERT,
            (
                batch.partition,
                base,
                batch.records,
                batch.first_us,
                batch.last_us,
                now,
                len(batch.blob.payload),
                layout,
                batch.blob.crc,
                batch.blob.payload,
            ),
        )

    def _layout_id(self, connection: sqlite3.Connection, head: bytes) -> int:
        """Return the number of ``head``; only numbers that are committed are remembered."""
        known = self._layouts.get(head)
        if known is not None:
            return known
        find = "SELECT id FROM layouts WHERE head = ?"
        with self._store.reading() as reader:  # does not see what may yet be taken back
            committed = reader.execute(find, (head,)).fetchone()
        if committed is not None:
            self._layouts[head] = committed[0]
            return int(committed[0])
        connection.execute("INSERT OR IGNORE INTO layouts(head) VALUES(?)", (head,))
        return int(connection.execute(find, (head,)).fetchone()[0])

    def read(
        self, partition: int, offset: int, max_rows: int, max_bytes: int
    ) -> pl.DataFrame | None:
        """Return records from ``offset`` on, or None where no batch holds it."""
        found = self._fetch(partition, offset, max_rows, max_bytes)
        if not found or not found[0][0] <= offset < found[-1][0] + found[-1][1]:
            return None
        frames = []
        for layout, group in groupby(found, key=itemgetter(2)):
            payloads = []
            for base, _, _, crc, payload in group:
                blobs.check(payload, crc, f"partition {partition} offset {base}")
                payloads.append(payload)
            frames.append(blobs.decode(self._head(layout), payloads))
        frame = frames[0] if len(frames) == 1 else pl.concat(frames)
        return frame.slice(offset - found[0][0], max_rows)

    def _fetch(
        self, partition: int, offset: int, max_rows: int, max_bytes: int
    ) -> list[tuple[int, int, int, int, bytes]]:
        found: list[tuple[int, int, int, int, bytes]] = []
        size = 0
        with self._store.reading() as connection:
            cursor = connection.execute(_FIND, {"partition": partition, "offset": offset})
            for row in cursor:
                found.append(row)
                size += len(row[4])
                if row[0] + row[1] - offset >= max_rows or size >= max_bytes:
                    break
            cursor.close()  # ends the read, so that checkpoints of the WAL are not held back
        return found

    def _head(self, layout: int) -> bytes:
        if layout not in self._heads:
            with self._store.reading() as connection:
                row = connection.execute("SELECT head FROM layouts WHERE id = ?", (layout,))
                self._heads[layout] = row.fetchone()[0]
        return self._heads[layout]

    def offset_at(self, partition: int, instant: datetime, end: int) -> int:
        """Return the first offset at or after ``instant``, or ``end``."""
        wanted = _epoch_us(instant)
        with self._store.reading() as connection:
            row = connection.execute(
                'SELECT base, records, first_us FROM batches WHERE "partition" = ? AND last_us >= ?'
                " ORDER BY base LIMIT 1",
                (partition, wanted),
            ).fetchone()
        if row is None:
            return end
        base, records, first_us = row
        if self._settings.timestamp is None or first_us >= wanted:
            return int(base)
        frame = self.read(partition, base, records, 1)
        if frame is None:  # retention has dropped it in the meantime
            return end
        reached = _microseconds(frame[self._settings.timestamp]) >= wanted
        return int(base) + int(reached.arg_max() or 0)


def _microseconds(column: pl.Series) -> pl.Series:
    if column.dtype.time_unit != "us":  # type: ignore[attr-defined]  # checked at creation
        column = column.dt.cast_time_unit("us")
    return column.cast(pl.Int64)


def _epoch_us(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _slice_rows(frame: pl.DataFrame) -> int:
    row_bytes = max(1, int(frame.estimated_size()) // frame.height)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))
