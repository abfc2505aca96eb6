"""Functions that begin a stream: ``scan_*``, ``scan`` by URL, and ``concat``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.connectors import registry
from penstock.connectors.contract import SourceSpec
from penstock.deferred import Deferred
from penstock.errors import PlanError, user_line
from penstock.instants import Duration
from penstock.plan.sources import Scan, Union
from penstock.stream import Stream

if TYPE_CHECKING:
    from penstock.connectors.batches import config as batches
    from penstock.connectors.durable import config as keeping
    from penstock.connectors.formats import schemas
    from penstock.connectors.formats.contract import Format
    from penstock.connectors.generators import config as generators
    from penstock.connectors.handover import config as handover
    from penstock.connectors.topics import config as topics
else:
    batches = Deferred("penstock.connectors.batches.config")
    keeping = Deferred("penstock.connectors.durable.config")
    schemas = Deferred("penstock.connectors.formats.schemas")
    generators = Deferred("penstock.connectors.generators.config")
    handover = Deferred("penstock.connectors.handover.config")
    topics = Deferred("penstock.connectors.topics.config")

SchemaLike = Mapping[str, Any] | pl.Schema


def from_source(
    spec: SourceSpec,
    *,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
) -> Stream:
    """Begin a stream at any source specification; ``epoch_rows`` fixes how many rows make an epoch.

    A source that cannot be replayed goes through a topic first, in a run with a checkpoint on a local
    disk, inside its folder; ``durable`` names another folder, True insists on one, False does without
    (what arrived since the last checkpoint is lost in a crash). ``durable_max_bytes`` (``"1GiB"``):
    while more waits there, the source is not read.
    """
    if durable is not None or durable_max_bytes is not None:
        spec = keeping.durable(spec, durable, durable_max_bytes)
    if epoch_rows is not None and (not isinstance(epoch_rows, int) or epoch_rows < 1):
        raise PlanError(f"epoch_rows must be a positive integer, not {epoch_rows!r}", step="scan")
    return Stream(Scan(spec=spec, epoch_rows=epoch_rows, line=user_line()))


def scan(
    url: str,
    *,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Begin a stream at a URL: ``scan("tail:access.log", format="combined_log")``.

    A plain path is a file whose extension tells the format. ``durable`` is as in ``from_source``.
    """
    spec = registry.source(url, **options)
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_topic(
    path: str | Path,
    format: str | Format | None = None,  # noqa: A002
    schema: SchemaLike | None = None,
    *,
    partitions: Iterable[int] | None = None,
    start: str | datetime | Mapping[int, int] = "earliest",
    stop: str = "never",
    metadata: str | Iterable[str] | None = None,
    on_trimmed: str = "fail",
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read an embedded durable topic, exactly once with a checkpoint.

    Columns: those of a typed topic; of a raw one ``key``, ``value``, ``timestamp``, ``offset`` and
    ``partition``, or what the ``format`` decodes from ``value``. A topic that a changelog was
    written to is a changelog. ``start``: ``"earliest"``,
    ``"latest"``, an instant, or ``{partition: offset}``. ``stop``: ``"never"``, or ``"at end"``: at
    the records that are there when it starts. ``metadata``: columns to add (``key``, ``timestamp``,
    ``headers``, ``offset``, ``partition``). ``on_trimmed``: ``"fail"`` or ``"skip"`` where retention
    has dropped what was to be read.
    """
    spec = topics.topic(
        str(path),
        format,
        schema,
        partitions=partitions,
        start=start,
        stop=stop,
        metadata=metadata,
        on_trimmed=on_trimmed,
        **options,
    )
    return from_source(spec, epoch_rows=epoch_rows)


def scan_rate(
    rows_per_second: float | None = None,
    *,
    total: int | None = None,
    start: datetime | None = None,
    interval: Duration | None = None,
    epoch_rows: int | None = None,
) -> Stream:
    """Generate rows ``offset`` (0, 1, ...) and ``timestamp`` (UTC) at a rate; None: at full speed.

    It ends after ``total`` rows, if given. ``timestamp`` is ``start`` (default: now) plus ``offset``
    times ``interval`` (default: what the rate says, a microsecond at full speed).

    >>> import penstock as ps
    >>> ps.scan_rate(total=3).collect()["offset"].to_list()
    [0, 1, 2]
    """
    spec = generators.rate(rows_per_second, total=total, start=start, interval=interval)
    return from_source(spec, epoch_rows=epoch_rows)


def scan_ticks(interval: Duration) -> Stream:
    """Generate a row each ``interval`` of processing time; ticks that are overdue are one row.

    Columns: ``tick`` (how many intervals have passed), ``timestamp`` (UTC, when it was due).
    """
    return from_source(generators.ticks(interval))


def scan_batches(
    frames: batches.Batches,
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
    given = None if schema is None else schemas.checked_schema(name, dict(schema))
    stream = from_source(batches.BatchesSpec(frames, given, name))
    return stream if event_time is None else stream.with_watermark(event_time, lateness)


def history_then_live(
    history: Stream,
    live: Stream,
    on: str,
    *,
    at: datetime | date | None = None,
    epoch_rows: int | None = None,
) -> Stream:
    """Read history to its end, then go on with a live source, each row of the two once.

    ``history`` (files, a query that ends) and ``live`` (a topic, a followed file, a socket with
    ``durable="folder"``) are scans with the same columns; what is to be done with the rows comes
    afterwards. ``at``: rows whose ``on`` is before it are taken from ``history``, the others from
    ``live``; without it the newest row of ``history`` decides. A checkpoint knows how far it came.

    >>> import penstock as ps, polars as pl
    >>> from datetime import date
    >>> days = [pl.DataFrame({"day": [date(2024, 1, d) for d in ds]}) for ds in ([1, 2], [2, 3])]
    >>> old, new = (ps.scan_batches([frame]) for frame in days)
    >>> ps.history_then_live(old, new, on="day").collect()["day"].dt.day().to_list()
    [1, 2, 3]
    """
    old, new = _scanned(history, "history"), _scanned(live, "live")
    return from_source(handover.HandoverSpec(old, new, on, at), epoch_rows=epoch_rows)


def _scanned(stream: Stream, name: str) -> SourceSpec:
    node = stream.node if isinstance(stream, Stream) else None
    if not isinstance(node, Scan) or node.epoch_rows is not None:
        raise PlanError(
            f"{name} is not a plain scan",
            step="history_then_live",
            value=name,
            hint="give the scans as they are, without epoch_rows; filter, cast and declare the "
            "watermark on what comes back",
        )
    return node.spec


def concat(streams: Iterable[Stream]) -> Stream:
    """Put the rows of several streams with the same columns into one.

    >>> import penstock as ps, polars as pl
    >>> one = ps.scan_batches([pl.DataFrame({"a": [1]})])
    >>> ps.concat([one, one]).collect().height
    2
    """
    if isinstance(streams, Stream):
        raise PlanError("one stream is given", step="concat", hint="write ps.concat([one, other])")
    given = tuple(streams)
    for stream in given:
        if not isinstance(stream, Stream):
            raise PlanError(
                f"a {type(stream).__name__} is not a Stream",
                step="concat",
                hint="make it one with ps.scan_batches([frame])",
            )
    parts = tuple(stream.node for stream in given)
    if not parts:
        raise PlanError("no streams given", step="concat")
    return Stream(Union(parts=parts, line=user_line()))
