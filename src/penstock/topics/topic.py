"""The embedded topic: a durable, partitioned log of records in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from penstock.deferred import sqlite3
from penstock.errors import ConfigError, ConnectorError
from penstock.topics import blobs
from penstock.topics.batches import Batch, Batches
from penstock.topics.blobs import Compression
from penstock.topics.producers import record, take_over
from penstock.topics.records import RAW_SCHEMA, Records
from penstock.topics.refusals import no_offset, no_partition
from penstock.topics.retention import (
    Retention,
    Trimmer,
    clock_us,
    forget_step,
    give_back,
    trim_step,
)
from penstock.topics.routing import Router
from penstock.topics.settings import Settings, new_settings
from penstock.topics.store import Durability, Store, save
from penstock.topics.wakeup import bell_of


class Topic:
    """A durable, partitioned log in a folder, for several readers, writers and processes at once.

    Each partition is a sequence of records numbered by offset from 0. Records go in and out as
    Polars frames. A *raw* topic holds ``key``, ``value`` (Binary), ``timestamp`` (Datetime us, UTC)
    and ``headers``; a topic with a ``schema`` holds frames of exactly that schema.

    What is acknowledged (``append`` has returned) survives ``kill -9`` and, with
    ``Durability.SYNC``, a power cut; an append is there wholly or not at all, over all partitions.
    A ``Topic`` may be used from several threads. It must be on a local disk.

    >>> import polars as pl, tempfile
    >>> topic = Topic.create(tempfile.mkdtemp() + "/clicks", partitions=2)
    >>> topic.append(pl.DataFrame({"key": [b"a", b"a"], "value": [b"1", b"2"]}), partition=0)
    {0: range(0, 2)}
    >>> topic.read(0, offset=1).frame["value"].to_list()
    [b'2']
    >>> topic.close()
    """

    def __init__(self, store: Store, settings: Settings, folder: Path) -> None:
        self._store = store
        self._settings = settings
        self.path = folder
        head = settings.schema_head
        self.schema: pl.Schema | None = None if head is None else blobs.schema_of(head)
        self.partitions = settings.partitions
        self._batches = Batches(store, settings)
        self._bell = bell_of(store.path)
        self._router = Router(settings, self.schema)
        self._trimmer = Trimmer()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        partitions: int = 4,
        schema: pl.Schema | Mapping[str, pl.DataType] | None = None,
        timestamp: str | None = None,
        key: str | Sequence[str] = (),
        retention: Retention | None = None,
        compression: Compression = "lz4",
    ) -> Topic:
        """Create a topic in the folder ``path``; refuse if there is one already.

        ``schema`` makes it typed; then ``timestamp`` may name its event-time column (for
        ``offsets_at``) and ``key`` the columns whose hash chooses the partition.
        """
        topic, created = cls._make(
            Path(path), partitions, schema, timestamp, key, retention, compression
        )
        if not created:
            topic.close()
            raise ConfigError(
                f"there is a topic in {path} already",
                value=str(path),
                hint="use Topic.open(path), or Topic.ensure(path, ...) to open or create it",
            )
        return topic

    @classmethod
    def open(cls, path: str | Path) -> Topic:
        """Open the topic in the folder ``path``."""
        store = Store(Path(path))
        try:
            return cls(store, store.load(), Path(path))
        except BaseException:
            store.close()
            raise

    @staticmethod
    def exists(path: str | Path) -> bool:
        """Tell whether the folder ``path`` holds a topic, or something that stands in its place."""
        store = Store(Path(path))
        try:
            return store.occupied()
        finally:
            store.close()

    @classmethod
    def ensure(
        cls,
        path: str | Path,
        *,
        partitions: int = 4,
        schema: pl.Schema | Mapping[str, pl.DataType] | None = None,
        timestamp: str | None = None,
        key: str | Sequence[str] = (),
        retention: Retention | None = None,
        compression: Compression = "lz4",
    ) -> Topic:
        """Open the topic in ``path``, or create it; one of another schema is refused.

        Of an existing topic the number of partitions, key and retention stay as they are.
        """
        topic, created = cls._make(
            Path(path), partitions, schema, timestamp, key, retention, compression
        )
        if not created and topic.schema != (None if schema is None else pl.Schema(schema)):
            topic.close()
            raise ConfigError(
                f"the topic in {path} has the schema {topic.schema or 'of raw records'}",
                value=str(path),
                hint="use another folder, or cast the stream to that schema",
            )
        return topic

    @classmethod
    def _make(
        cls,
        folder: Path,
        partitions: int,
        schema: pl.Schema | Mapping[str, pl.DataType] | None,
        timestamp: str | None,
        key: str | Sequence[str],
        retention: Retention | None,
        compression: Compression,
    ) -> tuple[Topic, bool]:
        settings = new_settings(partitions, schema, timestamp, key, retention, compression)
        store = Store(folder)
        try:
            created = store.create(settings)
            return cls(store, store.load(), folder), created
        except BaseException:
            store.close()
            raise

    def append(
        self,
        frame: pl.DataFrame,
        *,
        partition: int | None = None,
        durability: Durability = Durability.SYNC,
    ) -> dict[int, range]:
        """Append ``frame`` in one transaction and return the offsets it got, per partition.

        Without ``partition`` the hash of the key columns chooses one per row (see
        ``partitioning``); rows without a key go together to one partition, another each time.
        """
        encoded = self._encode(frame, partition)
        with self._store.writing(durability) as connection:
            offsets = self._batches.insert(connection, encoded)
            written = sum(len(batch.blob.payload) for batch in encoded)
            self._trimmer.wrote(written, connection, self.retention)
        self._bell.ring()
        return offsets

    def append_once(
        self,
        producer_id: str,
        epoch: int,
        token: int,
        frames: Iterable[pl.DataFrame],
        *,
        partition: int | None = None,
        durability: Durability = Durability.SYNC,
    ) -> dict[int, range] | None:
        """Append all ``frames`` as ``epoch`` of a producer, once; None if it is there already.

        The epoch and the fencing token are stored in the transaction of the rows. Epochs must
        rise; an epoch not above the last one is skipped. A token lower than one already seen
        raises ``FencedError``: a newer run of that producer has begun.
        """
        with self._store.writing(durability) as connection:
            last = take_over(connection, producer_id, token, self._store.step)
            if last is not None and epoch <= last:
                return None
            offsets = self._append(connection, frames, partition)
            record(connection, producer_id, epoch)
        self._bell.ring()
        return offsets

    def append_fenced(
        self,
        producer_id: str,
        token: int,
        frames: Iterable[pl.DataFrame],
        *,
        durability: Durability = Durability.SYNC,
    ) -> dict[int, range]:
        """Append ``frames`` in one transaction, whatever epoch they are of.

        ``FencedError`` if a newer run of the producer has begun, as in ``append_once``.
        """
        with self._store.writing(durability) as connection:
            take_over(connection, producer_id, token, self._store.step)
            offsets = self._append(connection, frames, None)
        self._bell.ring()
        return offsets

    def append_all(
        self,
        frames: Iterable[pl.DataFrame],
        *,
        partition: int | None = None,
        durability: Durability = Durability.SYNC,
    ) -> dict[int, range]:
        """Append ``frames`` one after another in one transaction; writers wait for its end."""
        with self._store.writing(durability) as connection:
            offsets = self._append(connection, frames, partition)
        self._bell.ring()
        return offsets

    def _append(
        self, connection: sqlite3.Connection, frames: Iterable[pl.DataFrame], partition: int | None
    ) -> dict[int, range]:
        offsets: dict[int, range] = {}
        written = 0
        for frame in frames:
            encoded = self._encode(frame, partition)
            _extend(offsets, self._batches.insert(connection, encoded))
            written += sum(len(batch.blob.payload) for batch in encoded)
        self._trimmer.wrote(written, connection, self.retention)
        return offsets

    def fence(self, producer_id: str, token: int) -> int | None:
        """Shut out runs of the producer with a lower token; return its last epoch, if any."""
        with self._store.writing(Durability.SYNC) as connection:
            return take_over(connection, producer_id, token, self._store.step)

    def read(
        self, partition: int, offset: int, max_rows: int = 65_536, *, max_bytes: int = 64 << 20
    ) -> Records:
        """Return up to ``max_rows`` records from ``offset`` on; none at the end of the partition.

        Stops early after ``max_bytes`` of stored bytes, but brings at least one batch. Offsets
        that retention has dropped, and offsets beyond the end, raise ``ConnectorError``.
        """
        self._check_partition(partition)
        found = self._batches.read(partition, offset, max_rows, max_bytes)
        if found is None:
            self._check_offset(partition, offset)
            return Records(partition, offset, pl.DataFrame(schema=self.record_schema))
        return Records(partition, offset, found)

    @property
    def record_schema(self) -> pl.Schema:
        """Columns of the frames that ``read`` returns."""
        return RAW_SCHEMA if self.schema is None else self.schema

    @property
    def identity(self) -> str:
        """Tells this topic from any other, also from a later one in the same folder."""
        return self._settings.identity

    @property
    def retention(self) -> Retention:
        """What the topic keeps."""
        return self._settings.retention

    def end_offsets(self) -> dict[int, int]:
        """Return, per partition, the offset that the next record will get."""
        return self._bounds("end")

    def start_offsets(self) -> dict[int, int]:
        """Return, per partition, the offset of the oldest record still kept."""
        return self._bounds("start")

    def offsets_at(self, instant: datetime) -> dict[int, int]:
        """Return, per partition, the first offset whose timestamp is at or after ``instant``.

        The end offset where there is none. In a typed topic without a ``timestamp`` column the time
        of the append counts.
        """
        if instant.tzinfo is None:
            raise ConfigError("an instant needs a time zone", value=instant)
        ends = self.end_offsets()
        return {
            number: self._batches.offset_at(number, instant.astimezone(UTC), end)
            for number, end in ends.items()
        }

    def wait(self, offsets: Mapping[int, int], timeout_s: float) -> bool:
        """Wait until a partition has a record at or behind its offset in ``offsets``.

        Returns True at once when there is one, False after the time-out or when the topic is
        closed. Appends of this process wake it at once, those of others within a few milliseconds.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while not self._store.closed:
                rings, moved = self._bell.rings, self._store.changes()
                ends = self.end_offsets()
                if any(ends[number] > offset for number, offset in offsets.items()):
                    return True
                if not self._bell.heard(rings, moved, deadline):
                    return False
        except ConnectorError:
            if not self._store.closed:
                raise
        return False

    def trim(self, offsets: Mapping[int, int] | None = None) -> None:
        """Drop the records below ``offsets``, in whole batches; without them, those outside the retention.

        For a topic whose only reader knows how far it will never go back; any other reader gets an
        error, as where retention was faster. A partition keeps the batch that holds its offset.
        Writers do what the retention asks bit by bit by themselves.
        """
        for partition, offset in (offsets or {}).items():
            self._check_partition(partition)
            if offset > self.end_offsets()[partition]:
                self._check_offset(partition, offset)
        more = True
        while more:
            with self._store.writing(Durability.OS) as connection:
                if offsets is None:
                    more = trim_step(connection, self.retention, clock_us())
                else:
                    more = forget_step(connection, offsets.items()) or give_back(connection)

    def set_retention(self, retention: Retention) -> None:
        """Change what is kept, for every process that opens the topic from now on."""
        with self._store.writing(Durability.SYNC) as connection:
            self._settings = self._settings.with_retention(retention)
            save(connection, self._settings)

    def close(self) -> None:
        """Release the files and wake every ``wait``. May be called from any thread, and twice."""
        self._store.closed = True
        self._bell.ring()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        kind = "raw" if self.schema is None else f"typed, columns {', '.join(self.schema.names())}"
        return f"Topic({str(self.path)!r}, {self.partitions} partitions, {kind})"

    def _encode(self, frame: pl.DataFrame, partition: int | None) -> list[Batch]:
        if partition is not None:
            self._check_partition(partition)
        return self._batches.encode(self._router.route(frame, partition))

    def _bounds(self, column: str) -> dict[int, int]:
        with self._store.reading() as connection:
            rows = connection.execute(f'SELECT "partition", "{column}" FROM partitions')  # noqa: S608
            return dict(rows.fetchall())

    def _check_partition(self, partition: int) -> None:
        if not 0 <= partition < self.partitions:
            raise no_partition(partition, self.partitions, self._store.step)

    def _check_offset(self, partition: int, offset: int) -> None:
        start, end = self.start_offsets()[partition], self.end_offsets()[partition]
        if not start <= offset <= end:
            raise no_offset(partition, offset, start, end, self._store.step)


def _extend(offsets: dict[int, range], more: dict[int, range]) -> None:
    for number, span in more.items():
        before = offsets.get(number, span)
        offsets[number] = range(before.start, span.stop)
