"""Functions that begin a stream at files: read once, followed, or as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors.contract import MAX_LINE_BYTES
from penstock.deferred import Deferred
from penstock.instants import Duration
from penstock.scans import from_source
from penstock.stream import Stream

if TYPE_CHECKING:
    from penstock.connectors.files import config as files
    from penstock.connectors.formats.contract import Format
else:
    files = Deferred("penstock.connectors.files.config")

Paths = str | Path | Iterable[str | Path]
SchemaLike = Mapping[str, Any] | pl.Schema


def scan_csv(
    source: Paths,
    schema: SchemaLike | None = None,
    *,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read CSV files (path, glob or list; compressed too). Rows that do not fit are dead letters.

    ``options``: ``header`` (default True), ``separator``, ``quote``, ``null_values``. Without
    ``schema`` the types are guessed from the first lines; instants are read as UTC.
    """
    return from_source(files.files(source, "csv", schema, **options), epoch_rows=epoch_rows)


def scan_ndjson(
    source: Paths,
    schema: SchemaLike | None = None,
    *,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read files of one JSON object a line. Lines that do not fit are dead letters."""
    return from_source(files.files(source, "json", schema, **options), epoch_rows=epoch_rows)


def scan_parquet(
    source: Paths, *, columns: Iterable[str] | None = None, epoch_rows: int | None = None
) -> Stream:
    """Read Parquet files, row group by row group; ``columns`` reads only these."""
    return from_source(files.files(source, "parquet", columns=columns), epoch_rows=epoch_rows)


def scan_ipc(
    source: Paths, *, columns: Iterable[str] | None = None, epoch_rows: int | None = None
) -> Stream:
    """Read Arrow IPC files."""
    return from_source(files.files(source, "ipc", columns=columns), epoch_rows=epoch_rows)


def scan_text(
    source: Paths,
    format: str = "text",  # noqa: A002
    *,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read text files line by line: column ``text``, or the columns of a log ``format``."""
    return from_source(files.files(source, format, **options), epoch_rows=epoch_rows)


def scan_tail(
    path: str | Path,
    format: str | Format | None = None,  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    start: str = "beginning",
    interval: Duration = "10ms",
    max_line_bytes: int = MAX_LINE_BYTES,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Follow a log file through rotation, truncation and partial lines; it never ends.

    ``start``: ``"beginning"`` or ``"end"`` (without a checkpoint). ``interval``: how often the file
    is looked at. Columns are those of the ``format`` (``combined_log``, ``json`` with ``schema``,
    ...; default: by the extension), whose options follow. What cannot be decoded, and a line longer
    than ``max_line_bytes``, is a dead letter. Raises ``ConfigError`` for wrong options.

    >>> import penstock as ps
    >>> ps.scan_tail("access.log", format="combined_log").columns[:3]
    ['client', 'identity', 'user']
    """
    spec = files.tail(
        path,
        format,
        schema,
        start=start,
        interval=interval,
        max_line_bytes=max_line_bytes,
        **options,
    )
    return from_source(spec, epoch_rows=epoch_rows)


def scan_folder(
    pattern: str | Path,
    format: str | Format | None = None,  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    columns: Iterable[str] | None = None,
    settle: Duration = "1s",
    max_line_bytes: int = MAX_LINE_BYTES,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read the files that are put into a folder (or match a glob), each once; it never ends.

    A file is read when it has not changed for ``settle``. ``columns`` (Parquet, Arrow) reads only
    these. Without ``schema`` the columns are guessed from a file that is there already.
    """
    spec = files.folder(
        pattern,
        format,
        schema,
        columns=columns,
        settle=settle,
        max_line_bytes=max_line_bytes,
        **options,
    )
    return from_source(spec, epoch_rows=epoch_rows)
