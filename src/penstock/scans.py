"""Functions that begin a stream: ``scan_*``, ``scan`` by URL, and ``concat``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from penstock.connectors import registry
from penstock.connectors.batches.config import Batches, BatchesSpec
from penstock.connectors.contract import SourceSpec
from penstock.connectors.files import config as files
from penstock.connectors.generators.config import RateSpec, TickSpec
from penstock.connectors.topics.config import TopicSourceSpec
from penstock.errors import PlanError, user_line
from penstock.instants import Duration, duration_ns
from penstock.plan.sources import Scan, Union
from penstock.stream import Stream

Paths = str | Path | Iterable[str | Path]
SchemaLike = Mapping[str, Any] | pl.Schema


def from_source(spec: SourceSpec, *, epoch_rows: int | None = None) -> Stream:
    """Begin a stream at any source specification; ``epoch_rows`` fixes how many rows make an epoch."""
    if epoch_rows is not None and (not isinstance(epoch_rows, int) or epoch_rows < 1):
        raise PlanError(f"epoch_rows must be a positive integer, not {epoch_rows!r}", step="scan")
    return Stream(Scan(spec=spec, epoch_rows=epoch_rows, line=user_line()))


def scan(url: str, *, epoch_rows: int | None = None, **options: Any) -> Stream:
    """Begin a stream at a URL: ``scan("tail:access.log", format="combined_log")``.

    A plain path is a file whose extension tells the format.
    """
    return from_source(registry.source(url, **options), epoch_rows=epoch_rows)


def scan_csv(
    source: Paths,
    schema: SchemaLike | None = None,
    *,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read CSV files (path, glob or list; compressed too). Rows that do not fit are dead letters."""
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
    """Read text files line by line: column ``line``, or the columns of a log ``format``."""
    return from_source(files.files(source, format, **options), epoch_rows=epoch_rows)


def scan_tail(path: str | Path, format: str | None = None, **options: Any) -> Stream:  # noqa: A002
    """Follow a log file through rotation, truncation and partial lines."""
    return from_source(files.tail(path, format, **options))


def scan_folder(pattern: str | Path, format: str | None = None, **options: Any) -> Stream:  # noqa: A002
    """Read the files that are put into a folder, each once, when complete."""
    return from_source(files.folder(pattern, format, **options))


def scan_topic(path: str | Path, **options: Any) -> Stream:
    """Read an embedded durable topic."""
    return from_source(TopicSourceSpec(str(path), **options))


def scan_rate(rows_per_second: float | None = None, **options: Any) -> Stream:
    """Generate numbered, timestamped rows at a rate."""
    return from_source(RateSpec(rows_per_second, **options))


def scan_ticks(every: Duration, **options: Any) -> Stream:
    """Generate a row every so often by the processing-time clock."""
    interval = timedelta(microseconds=duration_ns(every, step="scan_ticks", option="every") / 1000)
    return from_source(TickSpec(interval, **options))


def scan_batches(
    frames: Batches,
    schema: SchemaLike | None = None,
    event_time: str | None = None,
    lateness: Duration = 0,
    *,
    name: str = "batches",
) -> Stream:
    """Read frames from Python: a list, an iterator or an async iterator; one frame is one epoch.

    With ``event_time`` the stream has a watermark on that column, ``lateness`` behind.

    >>> import penstock as ps, polars as pl
    >>> ps.scan_batches([pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [2]})]).collect()["a"].to_list()
    [1, 2]
    """
    given = None if schema is None else pl.Schema(schema)
    stream = from_source(BatchesSpec(frames, given, name))
    return stream if event_time is None else stream.with_watermark(event_time, lateness)


def concat(streams: Iterable[Stream]) -> Stream:
    """Put the rows of several streams with the same columns into one.

    >>> import penstock as ps, polars as pl
    >>> one = ps.scan_batches([pl.DataFrame({"a": [1]})])
    >>> ps.concat([one, one]).collect().height
    2
    """
    parts = tuple(stream.node for stream in streams)
    if not parts:
        raise PlanError("no streams given", step="concat")
    return Stream(Union(parts=parts, line=user_line()))
