"""Kafka as source and sink: topics of a cluster, their format, and the guarantee."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Sink, Source
from penstock.connectors.decoding import Decoder
from penstock.connectors.formats import registry as formats
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.kafka.cluster import Cluster, Place
from penstock.connectors.kafka.connection import Connection, connecting, connection, split_url
from penstock.connectors.kafka.encoding import Encoding, KeyFormat, ValueFormat
from penstock.connectors.kafka.ledger import EPOCHS_TOPIC
from penstock.connectors.kafka.messages import COLUMNS
from penstock.connectors.kafka.reading import OnLost, Reading, Tombstones
from penstock.connectors.kafka.sink import KafkaSink, Writing
from penstock.connectors.kafka.source import KafkaSource
from penstock.connectors.options import Start, Stop, check_start, choice, duration, names
from penstock.connectors.schema_registry import SchemaRegistry, registry_of
from penstock.errors import ConfigError
from penstock.instants import Duration

_RAW_DEFAULT = ("key", "timestamp", "offset", "partition")


class Isolation(enum.Enum):
    """Whether messages of open and aborted transactions are read."""

    READ_COMMITTED = "read_committed"
    READ_UNCOMMITTED = "read_uncommitted"


@dataclass(frozen=True)
class KafkaSourceSpec:
    """Reads topics of a Kafka cluster: all of their partitions, which it assigns to itself.

    Columns: with a ``format``, those decoded from the value, and those of ``metadata``: any of
    ``key``, ``timestamp``, ``headers``, ``topic``, ``offset``, ``partition``. Without one ``key``,
    ``value``, ``timestamp``, ``offset``, ``partition``, or ``value`` and those of ``metadata``.

    A topic that begins with ``^`` is a regular expression; topics and partitions made later are
    found within ``discover`` and read from their beginning. Offsets are in the checkpoint, so the
    source is replayable while the brokers keep the messages; those of committed checkpoints are
    also committed to ``group``, for monitoring only.

    Dead letters have the position ``kafka TOPIC[partition]:offset``.
    """

    connection: Connection
    topics: tuple[str, ...]
    format: Decoder | None = None
    start: Start | datetime | tuple[tuple[str, int, int], ...] = Start.EARLIEST
    stop: Stop = Stop.NEVER
    metadata: tuple[str, ...] | None = None
    on_lost: OnLost = OnLost.FAIL
    tombstones: Tombstones = Tombstones.DEAD_LETTER
    isolation: Isolation = Isolation.READ_COMMITTED
    group: str | None = "penstock"
    discover: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if not self.topics or not all(self.topics):
            raise ConfigError("no topic is named", step=self.name, value=self.topics)
        check_start(self.start, self.name)
        _ = self.schema

    @property
    def name(self) -> str:
        """``kafka TOPIC@HOST:PORT``."""
        return f"kafka {','.join(self.topics)}@{self.connection.servers}"

    @cached_property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns beside the value, in order."""
        wanted = self.metadata
        if wanted is None:
            wanted = _RAW_DEFAULT if self.format is None else ()
        known = [name for name in COLUMNS if name != "value"]
        for name in wanted:
            if name not in known:
                raise ConfigError(
                    f"messages have no {name!r}", step=self.name, value=name, alternatives=known
                )
        return tuple(name for name in known if name in wanted)

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame."""
        extra = self.extra_columns
        if self.format is None:
            return pl.Schema({n: d for n, d in COLUMNS.items() if n == "value" or n in extra})
        for name in extra:
            if name in self.format.schema:
                raise ConfigError(
                    f"the rows have a column {name!r} already; it cannot be metadata too",
                    step=self.name,
                    value=name,
                )
        return pl.Schema({**self.format.schema, **{name: COLUMNS[name] for name in extra}})

    @property
    def bounded(self) -> bool:
        """Whether it stops at the end."""
        return self.stop is Stop.AT_END

    @property
    def replayable(self) -> bool:
        """Always: offsets can be read again while the brokers keep them."""
        return True

    @property
    def partitioned(self) -> bool:
        """Always, though there may be one partition."""
        return True

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Reach the brokers, look for the topics; ask the schema registry, if there is one."""
        cluster = Cluster(self.connection, self.name)
        topics = cluster.topic_ids(self.topics)
        schemas = getattr(self.format, "registry", None)
        if schemas is not None:
            schemas.subjects()
        return f"{len(topics)} topics, {len(cluster.places(topics))} partitions"

    def open(self) -> Source:
        """Return the live source; ``seek`` connects."""
        start = self.start
        return KafkaSource(
            Reading(
                self.name,
                self.connection,
                self.topics,
                self.schema,
                self.format,
                self.extra_columns,
                {Place(topic, number): offset for topic, number, offset in start}
                if isinstance(start, tuple)
                else (start if isinstance(start, datetime) else start.value),
                self.bounded,
                self.on_lost,
                self.tombstones,
                self.isolation.value,
                self.group,
                self.discover.total_seconds(),
            )
        )


@dataclass(frozen=True)
class KafkaSinkSpec:
    """Writes messages to a topic, each epoch in one transaction with its number: exactly once.

    What a reader has to do for it: ``isolation.level=read_committed``. ``immediate`` writes without
    transactions before the checkpoint: sooner, at least once.

    ``key`` names columns: their values choose the partition as Java's clients do. With it the sink
    takes changes: a row is written under its key, a deletion is a message without value (upserts of
    a compacted topic). ``format="debezium"`` takes any changes, in partition 0 if there is no key.
    """

    connection: Connection
    topic: str
    format: ValueFormat = ValueFormat.JSON
    key: tuple[str, ...] = ()
    key_format: KeyFormat = KeyFormat.TEXT
    timestamp: str | None = None
    headers: str | None = None
    partitions: int = -1
    immediate: bool = False
    transaction_timeout: timedelta = timedelta(minutes=1)
    epochs_topic: str = EPOCHS_TOPIC
    registry: SchemaRegistry | None = None
    subject: str | None = None

    def __post_init__(self) -> None:
        if self.partitions != -1 and self.partitions < 1:
            raise ConfigError(
                f"partitions cannot be {self.partitions}", step=self.name, value=self.partitions
            )
        if len(self.key) > 1 and self.key_format is KeyFormat.TEXT:
            raise ConfigError(
                "a key of several columns cannot be text",
                step=self.name,
                value=self.key,
                hint='give key_format="json"',
            )
        if self.registry is not None and self.format is not ValueFormat.AVRO:
            raise ConfigError(
                "a schema registry is for Avro", step=self.name, hint='give format="avro"'
            )
        if self.format is ValueFormat.RAW and (self.key or self.timestamp or self.headers):
            raise ConfigError(
                "raw messages take key, timestamp and headers from columns of these names",
                step=self.name,
                hint="leave the options out",
            )

    @property
    def name(self) -> str:
        """``kafka TOPIC@HOST:PORT``."""
        return f"kafka {self.topic}@{self.connection.servers}"

    @property
    def guarantee(self) -> Guarantee:
        """Exactly once by transactions."""
        return Guarantee.AT_LEAST_ONCE if self.immediate else Guarantee.EXACTLY_ONCE

    @property
    def accepts(self) -> Accepts:
        """Changes by key, any changes as Debezium, otherwise rows."""
        if self.format is ValueFormat.DEBEZIUM:
            return Accepts.CHANGES
        return Accepts.UPSERT if self.key else Accepts.APPEND

    @property
    def _encoding(self) -> Encoding:
        return Encoding(
            self.name,
            self.format,
            self.key,
            self.key_format,
            self.timestamp,
            self.headers,
            self.registry,
            self.subject or f"{self.topic}-value",
        )

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        self._encoding.check(schema)

    def probe(self) -> str:
        """Reach the brokers and look for the topic; ask the schema registry, if there is one."""
        there = Cluster(self.connection, self.name).exists(self.topic)
        if self.registry is not None:
            self.registry.subjects()
        return "the topic is there" if there else "the topic will be made"

    def open(self) -> Sink:
        """Return the live sink; ``begin`` connects."""
        alone = self.format is ValueFormat.DEBEZIUM and not self.key
        return KafkaSink(
            Writing(
                self.name,
                self.connection,
                self.topic,
                self._encoding,
                self.partitions,
                0 if alone else -1,
                not self.immediate,
                self.transaction_timeout.total_seconds(),
                self.epochs_topic,
            )
        )


@connecting
def kafka(
    servers: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None = None,
    *,
    topic: str | Iterable[str] | None = None,
    start: Start | str | datetime | Mapping[Any, Any] = Start.EARLIEST,
    stop: Stop | str = Stop.NEVER,
    metadata: str | Iterable[str] | None = None,
    on_lost: OnLost | str = OnLost.FAIL,
    tombstones: Tombstones | str = Tombstones.DEAD_LETTER,
    isolation: Isolation | str = Isolation.READ_COMMITTED,
    group: str | None = "penstock",
    discover: Duration = "30s",
    access: Mapping[str, Any],
    **options: Any,
) -> KafkaSourceSpec:
    """Describe topics to read: ``kafka("host:9092/orders", "json", {...})``.

    ``servers``: ``[user:password@]host:port[,host:port]/topic``; or without the topic, with
    ``topic=`` one or several names, or patterns that begin with ``^``. ``access``: the options of
    ``connection``. Of a schema ``registry`` the subject is ``TOPIC-value`` if no other is named.
    """
    where, found = (servers, topic) if topic is not None else split_url(servers, "kafka")
    topics = names(found or ())
    step = f"kafka {','.join(topics)}"
    if options.get("registry") and len(topics) == 1:
        options = {"subject": f"{topics[0]}-value", **options}
    return KafkaSourceSpec(
        connection(where, step, **access),
        topics,
        formats.of_value(format, schema, step=step, **options),
        _start(start, topics, step),
        choice(Stop, stop, step=step, option="stop"),
        None if metadata is None else names(metadata),
        choice(OnLost, on_lost, step=step, option="on_lost"),
        choice(Tombstones, tombstones, step=step, option="tombstones"),
        choice(Isolation, isolation, step=step, option="isolation"),
        group,
        duration(discover, step=step, option="discover"),
    )


@connecting
def kafka_sink(
    servers: str,
    *,
    topic: str | None = None,
    format: ValueFormat | str = ValueFormat.JSON,  # noqa: A002
    key: str | Iterable[str] = (),
    key_format: KeyFormat | str | None = None,
    timestamp: str | None = None,
    headers: str | None = None,
    partitions: int = -1,
    immediate: bool = False,
    transaction_timeout: Duration = "1m",
    epochs_topic: str = EPOCHS_TOPIC,
    registry: str | SchemaRegistry | None = None,
    subject: str | None = None,
    access: Mapping[str, Any],
) -> KafkaSinkSpec:
    """Describe a topic to write: ``kafka_sink("host:9092/totals", key="user")``.

    ``servers`` as in ``kafka``. A topic that is not there is created, with ``partitions`` (default: as
    many as the broker says). ``key_format``: ``"text"``, the default of one column, or ``"json"``.
    """
    where, found = (servers, topic) if topic is not None else split_url(servers, "kafka")
    step = f"kafka {found}"
    key = names(key)
    if key_format is None:
        key_format = KeyFormat.JSON if len(key) > 1 else KeyFormat.TEXT
    return KafkaSinkSpec(
        connection(where, step, **access),
        found,
        choice(ValueFormat, format, step=step, option="format"),
        key,
        choice(KeyFormat, key_format, step=step, option="key_format"),
        timestamp,
        headers,
        partitions,
        immediate,
        duration(transaction_timeout, step=step, option="transaction_timeout"),
        epochs_topic,
        None if registry is None else registry_of(registry),
        subject,
    )


def _start(
    start: Start | str | datetime | Mapping[Any, Any], topics: tuple[str, ...], step: str
) -> Start | datetime | tuple[tuple[str, int, int], ...]:
    """Offsets: ``{partition: offset}`` of the one topic, or ``{topic: {partition: offset}}``."""
    if isinstance(start, datetime):
        return start
    if not isinstance(start, Mapping):
        return choice(Start, start, step=step, option="start")
    by_topic = start
    if not all(isinstance(found, Mapping) for found in start.values()):
        if len(topics) != 1:
            raise ConfigError(
                "offsets of several topics are given by topic",
                step=step,
                value=start,
                hint='start={"orders": {0: 17}}',
            )
        by_topic = {topics[0]: start}
    return tuple(
        sorted((t, int(p), int(o)) for t, found in by_topic.items() for p, o in found.items())
    )
