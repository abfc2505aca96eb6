"""Where streams end: sinks, ``collect``, ``changes``, and what a stream looks like."""

from __future__ import annotations

import html
import inspect
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from penstock.columns import WEIGHT
from penstock.connectors import registry
from penstock.connectors.contract import SinkSpec
from penstock.deferred import Deferred
from penstock.errors import PlanError, user_line
from penstock.instants import Duration
from penstock.plan.explain import explain
from penstock.plan.ranking import final_order
from penstock.plan.sinks import SinkNode
from penstock.query import Query
from penstock.stream.base import StreamBase
from penstock.stream.following import Changes

if TYPE_CHECKING:
    from penstock.connectors.callback import config as callback
    from penstock.connectors.collect import config as collect
    from penstock.connectors.collect import sink as collected
    from penstock.connectors.console import config as console
    from penstock.connectors.duckdb import config as duckdb
    from penstock.connectors.file_sink import config as file_sink
    from penstock.connectors.http import sink_config as http
    from penstock.connectors.kafka import config as kafka
    from penstock.connectors.mqtt import config as mqtt
    from penstock.connectors.nats import config as nats
    from penstock.connectors.postgres import config as postgres
    from penstock.connectors.rabbitmq import config as rabbitmq
    from penstock.connectors.redis import config as redis
    from penstock.connectors.sqlite import config as sqlite
    from penstock.connectors.topics import config as topics
    from penstock.connectors.websocket import sink_config as websocket
    from penstock.topics import Retention
else:
    callback = Deferred("penstock.connectors.callback.config")
    collect = Deferred("penstock.connectors.collect.config")
    collected = Deferred("penstock.connectors.collect.sink")
    console = Deferred("penstock.connectors.console.config")
    duckdb = Deferred("penstock.connectors.duckdb.config")
    file_sink = Deferred("penstock.connectors.file_sink.config")
    http = Deferred("penstock.connectors.http.sink_config")
    kafka = Deferred("penstock.connectors.kafka.config")
    mqtt = Deferred("penstock.connectors.mqtt.config")
    nats = Deferred("penstock.connectors.nats.config")
    postgres = Deferred("penstock.connectors.postgres.config")
    rabbitmq = Deferred("penstock.connectors.rabbitmq.config")
    redis = Deferred("penstock.connectors.redis.config")
    sqlite = Deferred("penstock.connectors.sqlite.config")
    topics = Deferred("penstock.connectors.topics.config")
    websocket = Deferred("penstock.connectors.websocket.sink_config")

Key = str | Iterable[str]

_FILE_ENDINGS = (".parquet", ".csv", ".ndjson", ".jsonl", ".json", ".ipc", ".arrow", ".feather")


class Outputs(StreamBase):
    """Sinks, and ways to see what a stream gives."""

    __slots__ = ()

    def sink(self, target: str | SinkSpec, **options: Any) -> Query:
        """Write to a sink given by URL (``"sqlite:out.db"``, ``table=``...) or specification."""
        spec = registry.sink(target, **options) if isinstance(target, str) else target
        return Query(SinkNode(input=self._node, spec=spec, line=user_line()))

    def sink_sqlite(
        self, path: str | Path, table: str, *, key: Key = (), busy_timeout: Duration = "10s"
    ) -> Query:
        """Write to a table of a SQLite file; with ``key``, one row per key, replaced and deleted.

        The table is created if it is absent. Another process that holds the file is waited for up
        to ``busy_timeout``. Exactly once with a checkpoint.
        """
        return self.sink(sqlite.sqlite_sink(path, table, key=key, busy_timeout=busy_timeout))

    def sink_duckdb(self, path: str | Path, table: str, *, key: Key = ()) -> Query:
        """Write to a table of a DuckDB file, as ``sink_sqlite`` does. Needs the extra ``duckdb``."""
        return self.sink(duckdb.duckdb_sink(path, table, key=key))

    def sink_postgres(
        self, url: str, table: str, *, key: Key = (), schema: str | None = None
    ) -> Query:
        """Write to a PostgreSQL table, as ``sink_sqlite`` does. Needs the extra ``postgres``.

        ``url``: ``postgresql://user@host/db`` or ``host=... dbname=...``. ``schema``: where the
        table is, by default the first of the search path.
        """
        return self.sink(postgres.postgres_sink(url, table, key=key, schema=schema))

    def sink_kafka(
        self,
        servers: str,
        topic: str,
        *,
        format: str = "json",  # noqa: A002 - the word that users know
        key: Key = (),
        **options: Any,
    ) -> Query:
        """Write messages to a Kafka topic, exactly once with a checkpoint. Needs the extra ``kafka``.

        ``format``: ``"json"`` (the columns as an object), ``"debezium"`` (before, after, op: any
        changes) or ``"raw"`` (columns value, key, timestamp, headers). ``key``: columns whose values
        are the key of the message; with it changes are upserts, deletions messages without value.
        Each checkpoint's output is one transaction: readers need ``read_committed``. More
        ``options`` (security, headers, timestamp, partitions of a new topic) are those of
        ``docs/connectors/kafka.md``.
        """
        spec = kafka.kafka_sink(servers, topic=topic, format=format, key=key, **options)
        return self.sink(spec)

    def sink_http(
        self,
        url: str,
        *,
        format: str = "json",  # noqa: A002 - the word that users know
        batch_rows: int = 500,
        token: str | None = None,
        **options: Any,
    ) -> Query:
        """Post rows to an HTTP server, in batches, at least once. Needs the extra ``http``.

        Each request has an ``Idempotency-Key`` made of sink, epoch and rows, the same when it is sent
        again: a server that takes a key once has each row once. ``format``: ``"json"`` (an array),
        ``"ndjson"``, ``"csv"``, ``"row"`` (a request a row). Rows that are refused (400, 413, 422) are
        dead letters. More ``options`` (rate, retries, headers, TLS): ``docs/connectors/http.md``.
        """
        return self.sink(
            http.http_sink(url, format=format, batch_rows=batch_rows, token=token, **options)
        )

    def sink_websocket_server(
        self,
        address: str | int,
        *,
        slow: str = "drop",
        token: str | Iterable[str] = (),
        **options: Any,
    ) -> Query:
        """Send rows to all who are connected by WebSocket, at most once. Needs the extra ``websocket``.

        ``slow``: a client that reads too slowly is closed (``"drop"``) or misses messages (``"skip"``).
        More ``options``: ``docs/connectors/websocket.md``.
        """
        spec = websocket.websocket_server_sink(address, slow=slow, token=token, **options)
        return self.sink(spec)

    def sink_mqtt(
        self,
        broker: str,
        topic: str,
        *,
        format: str = "json",  # noqa: A002 - the word that users know
        key: Key = (),
        qos: int = 1,
        retain: bool = False,
        **options: Any,
    ) -> Query:
        """Publish messages to an MQTT broker, at least once (``qos=0``: nothing is confirmed).

        ``topic`` may name columns: ``"totals/{user}"``. ``format`` as in ``sink_kafka``. With a ``key``
        changes are upserts, deletions messages without payload; with ``retain`` the broker keeps the
        newest of each topic, so that it is a table by topic. More ``options`` (security, headers,
        version) are those of ``docs/connectors/mqtt.md``.
        """
        spec = mqtt.mqtt_sink(
            broker, topic=topic, format=format, key=key, qos=qos, retain=retain, **options
        )
        return self.sink(spec)

    def sink_redis(self, host: str, name: str, *, key: Key = (), **options: Any) -> Query:
        """Write to Redis, exactly once with a checkpoint. Needs the extra ``redis``.

        Without a ``key`` rows are appended to the stream ``name``, as JSON in the field ``value``. With
        one each is a hash ``name:KEY`` (or by a name of yours, ``"user:{id}"``) with a field for each
        column, set and deleted as the row changes. More ``options`` (format, number of entries kept,
        security) are those of ``docs/connectors/redis.md``.
        """
        return self.sink(redis.redis_sink(host, name=name, key=key, **options))

    def sink_nats(self, host: str, subject: str, *, key: Key = (), **options: Any) -> Query:
        """Publish to NATS JetStream, at least once; what comes again within its window is dropped.

        ``subject`` may name columns: ``"totals.{user}"``. With a ``key`` changes are upserts, deletions
        messages without payload. ``stream=`` is created if it is not there. More ``options`` (format,
        headers, window of duplicates, security) are those of ``docs/connectors/nats.md``.
        """
        return self.sink(nats.nats_sink(host, subject=subject, key=key, **options))

    def sink_rabbitmq(self, host: str, queue: str, *, key: Key = (), **options: Any) -> Query:
        """Publish to RabbitMQ, at least once, with ids. Needs the extra ``rabbitmq``.

        ``queue`` (with ``kind="stream"`` a stream) is created if it is not there; with ``exchange=`` it is
        the routing key, and may name columns: ``"totals.{user}"``. With a ``key`` changes are upserts,
        deletions messages without body. More ``options`` are those of ``docs/connectors/rabbitmq.md``.
        """
        return self.sink(rabbitmq.rabbitmq_sink(host, queue=queue, key=key, **options))

    def sink_files(
        self,
        folder: str | Path,
        format: str = "parquet",  # noqa: A002 - the word that users know
        *,
        partition_by: str | Iterable[str] = (),
        roll_rows: int | None = None,
        roll_bytes: int | None = 128 * 1024 * 1024,
        roll_after: Duration | None = "1m",
        compression: str | None = None,
    ) -> Query:
        """Write files into a folder, each whole or not at all, exactly once with a checkpoint.

        ``format``: parquet, csv, ndjson, ipc or text (one String column). A file is full after
        ``roll_rows`` rows, about ``roll_bytes`` bytes (as Arrow data) or ``roll_after`` from its
        first row, whichever comes first; all None: a file each checkpoint. Columns of
        ``partition_by`` become folders ``name=value``. ``compression``: csv, ndjson, text: gzip,
        zstd; parquet: zstd (default), lz4, snappy, gzip, brotli; ipc: lz4, zstd. Append-only.
        """
        spec = file_sink.files_sink(
            folder,
            format,
            partition_by=partition_by,
            roll_rows=roll_rows,
            roll_bytes=roll_bytes,
            roll_after=roll_after,
            compression=compression,
        )
        return self.sink(spec)

    def sink_parquet(self, folder: str | Path, **options: Any) -> Query:
        """Write Parquet files into a folder: ``sink_files``, with its options."""
        return self._sink_parts("sink_parquet", folder, "parquet", options)

    def sink_csv(self, folder: str | Path, **options: Any) -> Query:
        """Write CSV files into a folder: ``sink_files``, with its options."""
        return self._sink_parts("sink_csv", folder, "csv", options)

    def sink_ndjson(self, folder: str | Path, **options: Any) -> Query:
        """Write files of JSON lines into a folder: ``sink_files``, with its options."""
        return self._sink_parts("sink_ndjson", folder, "ndjson", options)

    def sink_ipc(self, folder: str | Path, **options: Any) -> Query:
        """Write Arrow files into a folder: ``sink_files``, with its options."""
        return self._sink_parts("sink_ipc", folder, "ipc", options)

    def _sink_parts(
        self, step: str, folder: str | Path, form: str, options: dict[str, Any]
    ) -> Query:
        if Path(folder).suffix in _FILE_ENDINGS:
            raise PlanError(
                f"{str(folder)!r} looks like a file; a stream has no end, so it is written as a "
                "folder of files",
                step=step,
                value=str(folder),
                hint=f'give a folder, .{step}("{Path(folder).with_suffix("")}"), and read it with '
                '"folder/**/*"',
            )
        known = list(inspect.signature(self.sink_files).parameters)[2:]
        for name in options:
            if name not in known:
                raise PlanError(f"no option {name!r}", step=step, value=name, alternatives=known)
        return self.sink_files(folder, form, **options)

    def sink_topic(
        self,
        path: str | Path,
        *,
        partition_by: str | Iterable[str] = (),
        partitions: int = 4,
        timestamp: str | None = None,
        retention: Retention | Duration | None = None,
        retention_bytes: int | None = None,
        weight_column: str = WEIGHT,
        durability: str = "sync",
        immediate: bool = False,
    ) -> Query:
        """Append to an embedded durable topic, from which ``scan_topic`` reads the same stream.

        Changes keep their weight in ``weight_column``; under another name than ``_weight`` they are
        read as plain rows. Without ``partition_by`` a new topic for changes has one partition; with
        it, name columns of the key, so that changes of a key stay in order.

        A new topic gets the columns of the stream and ``partitions``, chosen by the values of
        ``partition_by``; it forgets what is older than ``retention`` or beyond
        ``retention_bytes``. ``timestamp`` names the column that dates the records.
        ``durability``: ``"sync"`` (survives a power cut) or ``"os"`` (a killed process). With
        ``immediate`` rows are written before the checkpoint: sooner, but at least once.
        """
        spec = topics.topic_sink(
            str(path),
            partition_by=partition_by,
            partitions=partitions,
            timestamp=timestamp,
            retention=retention,
            retention_bytes=retention_bytes,
            weight_column=weight_column,
            durability=durability,
            immediate=immediate,
        )
        return self.sink(spec)

    def sink_console(self, title: str = "", *, key: Key = (), max_rows: int = 20) -> Query:
        """Show as a table on the terminal: the newest rows, or the living ones of a changelog.

        ``key``: columns that tell rows apart, so that a changed row keeps its place. Elsewhere than
        on a terminal each row is a line, with ``+`` or ``-`` in front for changes.
        """
        return self.sink(console.console_sink(title, key=key, max_rows=max_rows))

    def sink_callback(self, function: Callable[..., Any], *, every_epoch: bool = False) -> Query:
        """Call a Python function with each delta, or with ``(epoch, delta)`` if it takes two.

        With ``every_epoch``, once for each epoch that reaches it, even without rows.
        """
        return self.sink(callback.CallbackSinkSpec(function, every_epoch))

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
        into = collected.Collected()
        self.sink(collect.CollectSinkSpec(into)).start().wait()
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
        return Changes(self.sink_callback)

    def preview(self, rows: int = 10, *, timeout: float = 5.0) -> pl.DataFrame:
        """Return the first ``rows`` rows that come within ``timeout`` seconds, as a table."""
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise PlanError(f"rows must be a positive integer, not {rows!r}", step="preview")
        into = collected.Collected()
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
    query.join()
    enough.set()
