"""What a file sink is told: the folder, the format, and when a file is full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from penstock.columns import is_reserved
from penstock.connectors.contract import Accepts, Guarantee
from penstock.connectors.file_sink.formats import FileFormat, check, compression_of
from penstock.connectors.file_sink.partitions import can_partition
from penstock.connectors.file_sink.rolling import Rolling
from penstock.connectors.file_sink.sink import FilesSink
from penstock.connectors.options import choice, duration, names
from penstock.connectors.probing import writable_folder
from penstock.errors import ConfigError
from penstock.instants import Duration

_DEFAULT_BYTES = 128 * 1024 * 1024
"""What readers of Parquet like best, and little enough to be put together in memory."""


@dataclass(frozen=True, slots=True)
class FilesSinkSpec:
    """Rows into files ``part-<epoch>-<sequence>.<ext>`` of a folder, each complete or absent.

    A file is full after ``roll_rows`` rows, about ``roll_bytes`` bytes (as uncompressed Arrow
    data) or ``roll_after`` from its first row, looked at each second; whatever comes first. All three
    None: a file (per partition) each epoch. ``partition_by`` columns become folders ``k=v`` and
    are left out of the files. Rows of a part that is not full wait, committed, in the hidden folder
    ``.penstock``; a stop files them. Exactly once with a checkpoint; without one, rows that wait
    are lost in a crash. Read it with a pattern: ``pl.scan_parquet("out/**/*.parquet")``.

    ``compression``: CSV, NDJSON, text: gzip, zstd (added to the extension); Parquet: zstd (the
    default), lz4, snappy, gzip, brotli, uncompressed; Arrow: lz4, zstd.

    >>> FilesSinkSpec("out", FileFormat.PARQUET, partition_by=("day",)).name
    'parquet out'
    """

    path: str | Path
    format: FileFormat
    partition_by: tuple[str, ...] = ()
    roll_rows: int | None = None
    roll_bytes: int | None = _DEFAULT_BYTES
    roll_after: timedelta | None = timedelta(minutes=1)
    compression: str | None = None

    def __post_init__(self) -> None:
        compression_of(self.format, self.compression, self.name)
        for limit in ("roll_rows", "roll_bytes", "roll_after"):
            value = getattr(self, limit)
            if value is not None and value <= (timedelta(0) if limit == "roll_after" else 0):
                raise ConfigError(f"{limit} must be more than zero", step=self.name, value=value)
        if isinstance(self.partition_by, str):
            raise ConfigError(
                "partition_by must be a tuple of column names",
                step=self.name,
                value=self.partition_by,
                hint=f"partition_by=({self.partition_by!r},)",
            )
        if len(set(self.partition_by)) != len(self.partition_by):
            raise ConfigError(
                f"a column is named twice in partition_by={self.partition_by}",
                step=self.name,
                value=self.partition_by,
            )

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return f"{self.format.value} {self.path}"

    @property
    def guarantee(self) -> Guarantee:
        """Exactly once: an epoch is one replaced ledger."""
        return Guarantee.EXACTLY_ONCE

    @property
    def accepts(self) -> Accepts:
        """Append-only rows."""
        return Accepts.APPEND

    @property
    def key(self) -> tuple[str, ...]:
        """Files have no key."""
        return ()

    @property
    def immediate(self) -> bool:
        """Output waits for the checkpoint."""
        return False

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        for name in schema:
            if is_reserved(name):
                raise ConfigError(
                    f"the column name {name!r} cannot be used", step=self.name, value=name
                )
        for name in self.partition_by:
            if name not in schema:
                raise ConfigError(
                    f"partition column {name!r} is not among the columns",
                    step=self.name,
                    value=name,
                    alternatives=schema.names(),
                )
            if not can_partition(schema[name]):
                raise ConfigError(
                    f"partition column {name!r} is {schema[name]}, which makes no folder names",
                    step=self.name,
                    value=name,
                    hint="partition by strings, integers, booleans, dates or instants",
                )
        rest = {name: dtype for name, dtype in schema.items() if name not in self.partition_by}
        if not rest:
            raise ConfigError(
                "no column is left to write",
                step=self.name,
                value=self.partition_by,
                hint="partition by fewer columns",
            )
        check(pl.Schema(rest), self.format, self.name)

    def probe(self) -> str:
        """Look whether the folder may be written."""
        return writable_folder(self.path, self.name)

    def open(self) -> FilesSink:
        """Return the live sink."""
        compression = compression_of(self.format, self.compression, self.name)
        rolling = Rolling(self.roll_rows, self.roll_bytes, self.roll_after)
        if (self.roll_rows, self.roll_bytes, self.roll_after) == (None, None, None):
            rolling = Rolling(None, None, timedelta(0))
        return FilesSink(
            self.name, Path(self.path), self.format, compression, self.partition_by, rolling
        )


def files_sink(
    folder: str | Path,
    format: FileFormat | str = FileFormat.PARQUET,  # noqa: A002 - the word that users know
    *,
    partition_by: str | Iterable[str] = (),
    roll_rows: int | None = None,
    roll_bytes: int | None = _DEFAULT_BYTES,
    roll_after: Duration | None = timedelta(minutes=1),
    compression: str | None = None,
) -> FilesSinkSpec:
    """Describe a folder to write files into; formats: parquet, csv, ndjson, ipc, text."""
    known = {"json": "ndjson", "jsonl": "ndjson", "pq": "parquet", "feather": "ipc"}
    name = known.get(format, format) if isinstance(format, str) else format
    step = f"files {folder}"
    after = None if roll_after is None else duration(roll_after, step=step, option="roll_after")
    return FilesSinkSpec(
        folder,
        choice(FileFormat, name, step=step, option="format"),
        names(partition_by),
        roll_rows,
        roll_bytes,
        after,
        compression,
    )
