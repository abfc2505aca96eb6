"""An embedded topic as source and sink."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import polars as pl

from penstock.columns import WEIGHT, is_reserved
from penstock.connectors.contract import Accepts, Guarantee, Sink, Source
from penstock.connectors.decoding import Decoder
from penstock.connectors.formats import registry
from penstock.connectors.formats.contract import Format
from penstock.connectors.options import Start, Stop, check_start, choice, duration, names
from penstock.connectors.probing import writable_folder
from penstock.connectors.topics.sink import TopicSink
from penstock.connectors.topics.source import TopicSource
from penstock.errors import ConfigError
from penstock.instants import Duration
from penstock.topics import Durability, Retention, Topic
from penstock.topics.records import RAW_SCHEMA, VALUE
from penstock.topics.settings import MAX_PARTITIONS

OFFSET, PARTITION = "offset", "partition"
METADATA = pl.Schema(
    {
        "key": pl.Binary(),
        "timestamp": pl.Datetime("us", "UTC"),
        "headers": RAW_SCHEMA["headers"],
        OFFSET: pl.Int64(),
        PARTITION: pl.UInt32(),
    }
)
_RAW_DEFAULT = ("key", "timestamp", OFFSET, PARTITION)


class Trimmed(enum.Enum):
    """What to do when retention has dropped records that were still to be read."""

    FAIL = "fail"
    SKIP = "skip"


class TopicFacts:
    """What is true of a topic whether it is read or written: a base of both specs."""

    path: str

    @property
    def name(self) -> str:
        """``topic PATH``."""
        return f"topic {self.path}"


@dataclass(frozen=True)
class TopicSourceSpec(TopicFacts):
    """Reads a topic: all of its partitions or some, one of them per poll, in turn.

    Columns: of a typed topic, its own; of a raw topic, ``key``, ``value``, ``timestamp``,
    ``offset`` and ``partition``; with a ``format``, the columns decoded from ``value``. In the
    first and last case ``metadata`` adds any of ``key``, ``timestamp``, ``headers`` (raw topics
    only), ``offset``, ``partition``; for a raw topic it replaces the columns beside ``value``.

    A typed topic with the column ``_weight``, as a sink writes it from a changelog, is a changelog.

    ``start``: ``Start``, an instant with time zone (records at or after it), or offsets by
    partition (partitions not named: from the earliest). Position: ``{"topic": identity, "offsets":
    {"0": next offset, ...}, "turn": partition served last}``, and ``"stop"`` offsets for
    ``Stop.AT_END``.

    Undecodable and null values are dead letters with the position ``topic PATH[partition]:offset``.
    """

    path: str
    partitions: tuple[int, ...] | None = None
    start: Start | datetime | Mapping[int, int] | tuple[tuple[int, int], ...] = Start.EARLIEST
    stop: Stop = Stop.NEVER
    format: Decoder | None = None
    metadata: tuple[str, ...] | None = None
    on_trimmed: Trimmed = Trimmed.FAIL

    def __post_init__(self) -> None:
        if isinstance(self.start, Mapping):  # held as pairs, so that the spec can be hashed
            object.__setattr__(self, "start", tuple(sorted(self.start.items())))
        check_start(self.start, self.name)
        if self.partitions is not None and not self.partitions:
            raise ConfigError("no partition is named", step=self.name, value=self.partitions)
        for column in self.metadata or ():
            if column not in METADATA:
                raise ConfigError(
                    f"records have no {column!r}",
                    step=self.name,
                    value=column,
                    alternatives=METADATA.names(),
                )

    @cached_property
    def schema(self) -> pl.Schema:
        """Columns of every frame; opens the topic once."""
        with Topic.open(self.path) as topic:
            self._check_partitions(topic)
            return self._columns(topic)

    @property
    def changelog(self) -> bool:
        """Whether the topic holds changes: it is typed, with a column ``_weight``."""
        return WEIGHT in self.schema

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns beside the value, in order."""
        wanted = self.metadata
        if wanted is None:
            with Topic.open(self.path) as topic:
                wanted = _RAW_DEFAULT if topic.schema is None and self.format is None else ()
        return tuple(name for name in METADATA if name in wanted)

    def _columns(self, topic: Topic) -> pl.Schema:
        extra = {name: METADATA[name] for name in self.extra_columns}
        if topic.schema is None:
            if self.format is None:
                ordered = [VALUE, *extra]
                if "key" in extra:
                    ordered = ["key", VALUE, *(name for name in extra if name != "key")]
                return pl.Schema({name: extra.get(name, pl.Binary()) for name in ordered})
            columns = self.format.schema
        else:
            self._check_typed(extra)
            columns = topic.schema
        for name in extra:
            if name in columns:
                raise ConfigError(
                    f"the rows have a column {name!r} already; it cannot be metadata too",
                    step=self.name,
                    value=name,
                )
        weight = {WEIGHT: columns[WEIGHT]} if WEIGHT in columns else {}
        rest = {name: dtype for name, dtype in columns.items() if name != WEIGHT}
        return pl.Schema({**rest, **extra, **weight})

    def _check_typed(self, extra: Mapping[str, pl.DataType]) -> None:
        if self.format is not None:
            raise ConfigError(
                "a typed topic holds rows already; it takes no format",
                step=self.name,
                value=self.format.name,
                hint="leave format out",
            )
        for name in extra:
            if name not in (OFFSET, PARTITION):
                raise ConfigError(
                    f"records of a typed topic have no {name!r}",
                    step=self.name,
                    value=name,
                    alternatives=(OFFSET, PARTITION),
                )

    def _check_partitions(self, topic: Topic) -> None:
        named = [*(self.partitions or ())]
        if isinstance(self.start, tuple):
            named += [number for number, _ in self.start]
        for number in named:
            if not 0 <= number < topic.partitions:
                raise ConfigError(
                    f"there is no partition {number}; the topic has {topic.partitions}",
                    step=self.name,
                    value=number,
                )

    @property
    def bounded(self) -> bool:
        """Whether it stops at the end."""
        return self.stop is Stop.AT_END

    @property
    def replayable(self) -> bool:
        """Always: offsets can be read again while retention keeps them."""
        return True

    @property
    def partitioned(self) -> bool:
        """Always, though a topic may have one partition."""
        return True

    @property
    def frame_is_epoch(self) -> bool:
        """Never."""
        return False

    def probe(self) -> str:
        """Look whether the topic is there."""
        with Topic.open(self.path) as found:
            return f"{found.partitions} partitions"

    def open(self) -> Source:
        """Open the topic."""
        schema = self.schema
        return TopicSource(
            Topic.open(self.path),
            name=self.name,
            schema=schema,
            extra=self.extra_columns,
            decoder=self.format,
            partitions=self.partitions,
            start=self._start_offsets,
            stops=self.stop is Stop.AT_END,
            skips_trimmed=self.on_trimmed is Trimmed.SKIP,
        )

    def _start_offsets(self, topic: Topic) -> Mapping[int, int]:
        if isinstance(self.start, datetime):
            return topic.offsets_at(self.start)
        if isinstance(self.start, Mapping | tuple):
            return {**topic.start_offsets(), **dict(self.start)}
        return topic.start_offsets() if self.start is Start.EARLIEST else topic.end_offsets()


@dataclass(frozen=True)
class TopicSinkSpec(TopicFacts):
    """Appends rows to a topic, each epoch once; the topic is created by the first frame.

    A new topic is typed with the columns of the stream; those in ``partition_by`` choose the
    partition (otherwise whole frames go to partitions in turn). An existing topic must have those
    columns; a raw one takes the columns ``value`` and, if they are there, ``key``, ``timestamp``,
    ``headers``. Of a changelog the weight is kept, as the Int64 column ``weight_column``, the last;
    under its own name, the default, the topic is read back as a changelog, under another as rows.
    A new topic for a changelog without ``partition_by`` has one partition: a deletion must not be
    read before its insertion. With ``partition_by``, name columns of the key.
    """

    path: str
    partition_by: tuple[str, ...] = ()
    partitions: int = 4
    timestamp: str | None = None
    retention: Retention | None = None
    weight_column: str = WEIGHT
    durability: Durability = Durability.SYNC
    immediate: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.partitions, int) or not 1 <= self.partitions <= MAX_PARTITIONS:
            raise ConfigError(
                f"partitions must be 1 to {MAX_PARTITIONS}, not {self.partitions!r}",
                step=self.name,
                value=self.partitions,
            )
        if is_reserved(self.weight_column) and self.weight_column != WEIGHT:
            raise ConfigError(
                f"the weight cannot be kept as {self.weight_column!r}, a name of the engine's own",
                step=self.name,
                value=self.weight_column,
            )

    @property
    def guarantee(self) -> Guarantee:
        """Exactly once: the epoch is in the transaction of the rows."""
        return Guarantee.AT_LEAST_ONCE if self.immediate else Guarantee.EXACTLY_ONCE

    @property
    def accepts(self) -> Accepts:
        """Any stream."""
        return Accepts.CHANGES

    @property
    def key(self) -> tuple[str, ...]:
        """None: it appends."""
        return ()

    def validate(self, schema: pl.Schema) -> None:
        """Check the options and, if the topic exists, its columns."""
        for column in (*self.partition_by, *([self.timestamp] if self.timestamp else [])):
            if column not in schema:
                raise ConfigError(
                    f"there is no column {column!r}",
                    step=self.name,
                    value=column,
                    alternatives=schema.names(),
                )
        if Topic.exists(self.path):
            with Topic.open(self.path) as topic:
                self.check(topic, schema)

    def check(self, topic: Topic, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of ``schema`` do not fit into ``topic``."""
        if topic.schema is None:
            wrong = [name for name in schema if name not in RAW_SCHEMA]
            if wrong or VALUE not in schema:
                raise ConfigError(
                    "a raw topic takes the columns value, key, timestamp, headers",
                    step=self.name,
                    value=wrong[0] if wrong else VALUE,
                    hint="select them, or write to a topic of another name",
                )
            return
        held = {name: dtype for name, dtype in topic.schema.items() if name != self.weight_column}
        given = {name: dtype for name, dtype in schema.items() if name not in (WEIGHT,)}
        given.pop(self.weight_column, None)
        if held != given:
            raise ConfigError(
                f"the topic holds {held}, the stream has {given}",
                step=self.name,
                hint="cast the stream, or write to a topic of another name",
            )

    def probe(self) -> str:
        """Look whether the topic is there, or may be made."""
        if Topic.exists(self.path):
            with Topic.open(self.path) as found:
                return f"{found.partitions} partitions"
        return writable_folder(self.path, self.name)

    def open(self) -> Sink:
        """Return the sink; ``begin`` opens the topic."""
        return TopicSink(
            self.path,
            name=self.name,
            partition_by=self.partition_by,
            partitions=self.partitions,
            timestamp=self.timestamp,
            retention=self.retention,
            weight_column=self.weight_column,
            durability=self.durability,
            immediate=self.immediate,
        )


def topic(
    path: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: Mapping[str, Any] | None = None,
    *,
    partitions: Iterable[int] | None = None,
    start: Start | str | datetime | Mapping[int, int] = Start.EARLIEST,
    stop: Stop | str = Stop.NEVER,
    metadata: str | Iterable[str] | None = None,
    on_trimmed: Trimmed | str = Trimmed.FAIL,
    **options: Any,
) -> TopicSourceSpec:
    """Describe a topic to read; ``options`` go to the format.

    ``start``: ``"earliest"``, ``"latest"``, an instant with time zone, or offsets by partition.
    ``stop``: ``"never"`` or ``"at end"``. ``on_trimmed``: ``"fail"`` or ``"skip"``.
    """
    step = f"topic {path}"
    return TopicSourceSpec(
        path,
        None if partitions is None else tuple(partitions),
        start
        if isinstance(start, datetime | Mapping)
        else choice(Start, start, step=step, option="start"),
        choice(Stop, stop, step=step, option="stop"),
        registry.of_value(format, schema, step=step, **options),
        None if metadata is None else names(metadata),
        choice(Trimmed, on_trimmed, step=step, option="on_trimmed"),
    )


def topic_sink(
    path: str,
    *,
    partition_by: str | Iterable[str] = (),
    partitions: int = 4,
    timestamp: str | None = None,
    retention: Retention | Duration | None = None,
    retention_bytes: int | None = None,
    weight_column: str = WEIGHT,
    durability: Durability | str = Durability.SYNC,
    immediate: bool = False,
) -> TopicSinkSpec:
    """Describe a topic to append to; what an existing one fixes already stays as it is.

    ``retention``: how long records are kept, ``retention_bytes``: how much. ``durability``:
    ``"sync"`` or ``"os"``.
    """
    step = f"topic {path}"
    if not isinstance(retention, Retention) and (retention, retention_bytes) != (None, None):
        age = None if retention is None else duration(retention, step=step, option="retention")
        retention = Retention(age, retention_bytes)
    assert isinstance(retention, Retention | None)
    return TopicSinkSpec(
        path,
        names(partition_by),
        partitions,
        timestamp,
        retention,
        weight_column,
        choice(Durability, durability, step=step, option="durability"),
        immediate,
    )
