"""RabbitMQ as source and sink: queues and streams, and the guarantee."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Keeper, Sink, Source
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.messaging.facts import HEADERS, INSTANT, MessageRows, rows_options
from penstock.connectors.messaging.outgoing import Outgoing, Target, outgoing
from penstock.connectors.messaging.server import Server, connecting, server, split_path
from penstock.connectors.messaging.source import MessageSource
from penstock.connectors.options import Start, check_start, choice
from penstock.connectors.rabbitmq.connection import Broker
from penstock.connectors.rabbitmq.sink import RabbitSink, Writing
from penstock.connectors.rabbitmq.source import Reading, connect
from penstock.errors import ConfigError

PORT, TLS_PORT = 5672, 5671
_FORM = "write amqp://host:5672/queue"


class Kind(enum.Enum):
    """What holds the messages."""

    QUEUE = "queue"
    """A message is gone once it is acknowledged."""
    STREAM = "stream"
    """Messages stay, each at its offset."""


@dataclass(frozen=True)
class RabbitSourceSpec(MessageRows):
    """Reads a queue, acknowledged once the rows are kept; or a stream by offsets, exactly once.

    Columns: what ``format`` decodes, and those of ``metadata``: ``topic`` (the routing key), ``id``,
    ``timestamp``, ``headers``, ``offset`` (of streams). Without a format ``value`` and ``topic``.

    Dead letters have the position ``rabbitmq QUEUE``, of a stream ``rabbitmq STREAM OFFSET``.
    """

    server: Server = field(default_factory=lambda: Server("localhost", PORT))
    queue: str = ""
    kind: Kind = Kind.QUEUE
    vhost: str = "/"
    start: Start | datetime | int = Start.EARLIEST
    keeper: Keeper = Keeper.NOBODY

    columns: ClassVar[pl.Schema] = pl.Schema(
        {
            "value": pl.Binary(),
            "topic": pl.String(),
            "id": pl.String(),
            "timestamp": INSTANT,
            "headers": HEADERS,
            "offset": pl.Int64(),
        }
    )
    raw_metadata: ClassVar[tuple[str, ...]] = ("topic",)

    def __post_init__(self) -> None:
        if not self.queue:
            raise ConfigError("no queue is named", step=self.name, hint=_FORM)
        check_start(self.start, self.name)
        asked = self.start is not Start.EARLIEST or "offset" in self.extra_columns
        if self.kind is Kind.QUEUE and asked:
            raise ConfigError(
                "a queue has no offsets: it is read from where it is",
                step=self.name,
                value=self.start,
                hint='leave start= and "offset" out, or give kind="stream"',
            )
        _ = self.schema

    @property
    def name(self) -> str:
        """``rabbitmq QUEUE@HOST:PORT``."""
        return f"rabbitmq {self.queue}@{self.server}"

    @property
    def replayable(self) -> bool:
        """Of a stream: offsets can be read again while it keeps its messages."""
        return self.kind is Kind.STREAM

    def kept_by(self, keeper: Keeper) -> RabbitSourceSpec:
        """Return it as a run has it."""
        return replace(self, keeper=keeper)

    def probe(self) -> str:
        """Connect, and look for the queue."""
        broker = Broker(self.server, self.vhost, self.name)
        try:
            broker.find(self.queue)
        finally:
            broker.close()
        return f"the {self.kind.value} is there"

    def open(self) -> Source:
        """Return the live source; the first poll connects."""
        is_stream = self.kind is Kind.STREAM
        reading = Reading(
            self.name,
            self.server,
            self.vhost,
            self.queue,
            is_stream,
            self.start,
            self.keeper,
            (*self.extra_columns, "topic", *(("offset",) if is_stream else ())),
        )
        where = [pl.lit(f"rabbitmq {self.queue}"), *([pl.col("offset")] if is_stream else [])]
        place = pl.concat_str(pl.col("topic").str.head(0), *where, separator=" ").str.strip_chars()
        return MessageSource(
            partial(connect, reading),
            name=self.name,
            schema=self.schema,
            rows=self.record_rows(lambda frame: frame.select(place).to_series()),
            patience_s=self.server.timeout_s,
        )


@dataclass(frozen=True, slots=True)
class RabbitSinkSpec:
    """Publishes to a queue, a stream or an exchange: at least once, each message with an id.

    Without ``exchange`` the queue or stream is created if it is not there. With a key rows are upserts
    under the header ``penstock-key``, deletions messages without body.
    """

    server: Server
    outgoing: Outgoing
    kind: Kind = Kind.QUEUE
    exchange: str = ""
    vhost: str = "/"
    immediate: bool = False

    def __post_init__(self) -> None:
        if not self.exchange and (self.outgoing.target.columns or not self.outgoing.target.text):
            raise ConfigError(
                "name one queue, or an exchange whose routing keys have {column} in them",
                step=self.name,
                value=self.outgoing.target.text,
                hint="give exchange=",
            )

    @property
    def name(self) -> str:
        """``rabbitmq QUEUE@HOST:PORT``."""
        return f"rabbitmq {self.outgoing.target.text}@{self.server}"

    @property
    def guarantee(self) -> Guarantee:
        """At least once."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Changes by key, any changes as Debezium, otherwise rows."""
        return self.outgoing.accepts

    @property
    def key(self) -> tuple[str, ...]:
        """Key columns."""
        return self.outgoing.encoding.key

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        self.outgoing.check(schema)

    def probe(self) -> str:
        """Connect."""
        Broker(self.server, self.vhost, self.name).close()
        return "it answers"

    def open(self) -> Sink:
        """Return the live sink; ``begin`` connects."""
        created = {"x-queue-type": "stream"} if self.kind is Kind.STREAM else {}
        return RabbitSink(
            Writing(
                self.name,
                self.server,
                self.vhost,
                self.outgoing,
                self.exchange,
                None if self.exchange else created,
            )
        )


@connecting
def rabbitmq(
    host: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None = None,
    *,
    queue: str | None = None,
    kind: Kind | str = Kind.QUEUE,
    metadata: str | Iterable[str] | None = None,
    start: Start | str | datetime | int = Start.EARLIEST,
    vhost: str = "/",
    access: dict[str, Any],
    **options: Any,
) -> RabbitSourceSpec:
    """Describe a queue or stream to read: ``rabbitmq("localhost:5672/orders", "json", {...})``."""
    where, found = (host, queue) if queue is not None else split_path(host, "rabbitmq", _FORM)
    step = f"rabbitmq {found}"
    if not isinstance(start, datetime | int):
        start = choice(Start, start, step=step, option="start")
    return RabbitSourceSpec(
        **rows_options(format, schema, metadata, options, step),
        server=server(where, step, (PORT, TLS_PORT), **access),
        queue=found,
        kind=choice(Kind, kind, step=step, option="kind"),
        vhost=vhost,
        start=start,
    )


@connecting
def rabbitmq_sink(
    host: str,
    *,
    queue: str | None = None,
    kind: Kind | str = Kind.QUEUE,
    exchange: str = "",
    format: str = "json",  # noqa: A002
    key: str | Iterable[str] = (),
    headers: str | None = None,
    immediate: bool = False,
    vhost: str = "/",
    access: dict[str, Any],
) -> RabbitSinkSpec:
    """Describe a queue to write: ``rabbitmq_sink("localhost:5672/totals")``; or an exchange.

    ``queue``: the queue or stream; with ``exchange`` the routing key, in which ``{column}`` stands for a
    value.
    """
    where, found = (host, queue) if queue is not None else split_path(host, "rabbitmq", _FORM)
    step = f"rabbitmq {found}"
    return RabbitSinkSpec(
        server(where, step, (PORT, TLS_PORT), **access),
        outgoing(step, Target(found), format, key, headers),
        choice(Kind, kind, step=step, option="kind"),
        exchange,
        vhost,
        immediate,
    )
