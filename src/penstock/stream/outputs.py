"""Where streams end: sinks, ``collect``, ``changes``, and what a stream looks like."""

from __future__ import annotations

import html
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from penstock.connectors import registry
from penstock.connectors.callback.config import CallbackSinkSpec
from penstock.connectors.collect.config import CollectSinkSpec
from penstock.connectors.collect.sink import Collected
from penstock.connectors.console.config import ConsoleSinkSpec
from penstock.connectors.contract import SinkSpec
from penstock.connectors.duckdb.config import DuckdbSinkSpec
from penstock.connectors.file_sink.config import FilesSinkSpec
from penstock.connectors.file_sink.formats import FileFormat, named
from penstock.connectors.postgres.config import PostgresSinkSpec
from penstock.connectors.sqlite.config import SqliteSinkSpec
from penstock.connectors.topics.config import TopicSinkSpec
from penstock.deferred import asyncio
from penstock.errors import PlanError, user_line
from penstock.plan.explain import explain
from penstock.plan.ranking import final_order
from penstock.plan.sinks import SinkNode
from penstock.query import Query
from penstock.stream.base import StreamBase

_QUEUED_CHANGES = 16
"""Epochs that wait for a slow reader of ``changes()`` before the query waits too."""


class Outputs(StreamBase):
    """Sinks, and ways to see what a stream gives."""

    __slots__ = ()

    def sink(self, target: str | SinkSpec, **options: Any) -> Query:
        """Write to a sink given by URL (``"sqlite:out.db"``, ``table=``...) or specification."""
        spec = registry.sink(target, **options) if isinstance(target, str) else target
        return Query(SinkNode(input=self._node, spec=spec, line=user_line()))

    def sink_sqlite(self, path: str | Path, table: str, *, key: Any = (), **options: Any) -> Query:
        """Write to a table of a SQLite file; with ``key``, one row per key, replaced and deleted."""
        return self.sink(SqliteSinkSpec(path, table, _key(key), **options))

    def sink_duckdb(self, path: str | Path, table: str, *, key: Any = (), **options: Any) -> Query:
        """Write to a table of a DuckDB file. Needs the extra ``duckdb``."""
        return self.sink(DuckdbSinkSpec(path, table, _key(key), **options))

    def sink_postgres(self, url: str, table: str, *, key: Any = (), **options: Any) -> Query:
        """Write to a PostgreSQL table by COPY. Needs the extra ``postgres``."""
        return self.sink(PostgresSinkSpec(url, table, _key(key), **options))

    def sink_files(
        self,
        folder: str | Path,
        format: str | FileFormat = "parquet",  # noqa: A002 - the word that users know
        *,
        partition_by: Any = (),
        **options: Any,
    ) -> Query:
        """Write files into a folder, each whole or not at all.

        ``format``: ``"parquet"``, ``"csv"``, ``"ndjson"``, ``"ipc"`` or ``"text"``. When a file is
        full: ``roll_rows=``, ``roll_bytes=``, ``roll_after=`` (a ``timedelta``; one minute).
        """
        kind = named(format, f"files {folder}")
        return self.sink(FilesSinkSpec(folder, kind, _key(partition_by), **options))

    def sink_topic(self, path: str | Path, **options: Any) -> Query:
        """Append to an embedded durable topic."""
        return self.sink(TopicSinkSpec(str(path), **options))

    def sink_console(self, **options: Any) -> Query:
        """Show as a table on the terminal."""
        return self.sink(ConsoleSinkSpec(**options))

    def sink_callback(self, function: Callable[..., Any], **options: Any) -> Query:
        """Call a Python function with each delta, or with ``(epoch, delta)``."""
        return self.sink(CallbackSinkSpec(function, **options))

    def collect(self) -> pl.DataFrame:
        """Run to the end of all sources and return the final table. Needs sources that end.

        >>> import penstock as ps, polars as pl
        >>> ps.scan_batches([pl.DataFrame({"a": [1, 2]})]).select(pl.col("a").sum()).collect().item()
        3
        """
        if not self._node.properties.bounded:
            raise PlanError(
                "collect() needs sources that end",
                step="collect",
                hint="iterate over .changes(), take .preview(), or write to a sink",
            )
        into = Collected()
        self.sink(CollectSinkSpec(into)).start().wait()
        table = into.table(self.schema).select(self.columns)
        order = final_order(self._node)
        return table if order is None else order.sort(table)

    def changes(self) -> Changes:
        """Iterate over the deltas, one frame an epoch: ``for delta in ...`` or ``async for``.

        The query runs in the background while the loop lasts and waits for a slow reader. Frames of
        a changelog have ``_weight`` as last column.

        >>> import penstock as ps, polars as pl
        >>> [d.height for d in ps.scan_batches([pl.DataFrame({"a": [1, 2]})]).changes()]
        [2]
        """
        return Changes(self)

    def preview(self, rows: int = 10, *, timeout: float = 5.0) -> pl.DataFrame:
        """Return the first ``rows`` rows that come within ``timeout`` seconds, as a table."""
        into = Collected()
        enough = threading.Event()

        def gather(frame: pl.DataFrame) -> None:
            into.add(frame)
            if into.held_rows >= rows:
                enough.set()

        query = self.sink_callback(gather)
        query.start()
        enough_or_ended = threading.Thread(target=_until, args=(query, enough), daemon=True)
        enough_or_ended.start()
        enough.wait(timeout)
        query.stop()
        return into.table(self.schema).select(self.columns).head(rows)

    def explain(self) -> str:
        """Return the plan as text: steps, what is proven of each, and what its state costs."""
        return explain(self._node)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in self.schema.items())
        kind = "changes" if self.is_changelog else "append-only"
        return f"<Stream ({kind}) {columns}>\n{self.explain()}"

    def _repr_html_(self) -> str:
        head = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(dtype))}</td></tr>"
            for name, dtype in self.schema.items()
        )
        return (
            f"<table><tr><th>column</th><th>type</th></tr>{head}</table>"
            f"<pre>{html.escape(self.explain())}</pre>"
        )


def _until(query: Query, enough: threading.Event) -> None:
    query.wait()
    enough.set()


def _key(key: Any) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


class _End:
    """What the query's thread puts behind the last delta."""


class Changes:
    """The deltas of a stream; an iterator, an async iterator and a context manager.

    Leaving the loop early ends the query when the object is closed or collected.
    """

    def __init__(self, stream: Outputs) -> None:
        self._queue: queue.Queue[pl.DataFrame | _End] = queue.Queue(_QUEUED_CHANGES)
        self._closed = threading.Event()
        self._query = stream.sink_callback(self._put)
        self._started = False

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._query.start()
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        self._query.join()
        self._put_item(_End())

    def _put(self, frame: pl.DataFrame) -> None:
        self._put_item(frame)

    def _put_item(self, item: pl.DataFrame | _End) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return self

    def __next__(self) -> pl.DataFrame:
        self._start()
        item = self._queue.get()
        if isinstance(item, _End):
            self._queue.put(item)
            self._query.wait()
            raise StopIteration
        return item

    def __aiter__(self) -> AsyncIterator[pl.DataFrame]:
        return self

    async def __anext__(self) -> pl.DataFrame:
        self._start()
        item = await asyncio.to_thread(self._queue.get)
        if isinstance(item, _End):
            self._queue.put(item)
            self._query.wait()
            raise StopAsyncIteration
        return item

    def close(self) -> None:
        """End the query."""
        self._closed.set()
        if self._started:
            self._query.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._closed.set()
        if self._started:
            self._query.request_stop()
