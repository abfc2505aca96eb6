"""Redis as source and sink: streams, and hashes by key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Keeper, Sink, Source
from penstock.connectors.file_sink import formats as files
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.messaging.facts import HEADERS, INSTANT, MessageRows, rows_options
from penstock.connectors.messaging.outgoing import Target, outgoing
from penstock.connectors.messaging.server import Server, connecting, server, split_path
from penstock.connectors.messaging.source import MessageSource
from penstock.connectors.options import Start, Stop, check_start, choice, names
from penstock.connectors.redis.connection import ping
from penstock.connectors.redis.sink import Appending, RedisSink, Upserting, Way, Writing
from penstock.connectors.redis.source import Connector, Reading
from penstock.errors import ConfigError

PORT = 6379
EPOCHS_KEY = "penstock:epochs"
_FORM = "write redis://host:6379/stream"
_ID = re.compile(r"\d+(-\d+)?")


@dataclass(frozen=True)
class RedisSourceSpec(MessageRows):
    """Reads the entries of a stream, by their ids: exactly once while the stream keeps them.

    Columns: what ``format`` decodes from ``value_field``, and those of ``metadata``: ``id``,
    ``timestamp`` (of the id), ``topic`` (the stream), ``headers`` (the other fields). Without a format
    ``value``, ``id`` and ``headers``.

    With a ``group`` Redis keeps the place, and divides entries among its members; they are acknowledged
    once they are kept, through a topic of ours.

    Dead letters have the position ``redis STREAM ID``.
    """

    server: Server = field(default_factory=lambda: Server("localhost", PORT))
    stream: str = ""
    db: int = 0
    value_field: str = "value"
    start: Start | datetime | str = Start.EARLIEST
    stop: Stop = Stop.NEVER
    group: str | None = None
    consumer: str = "penstock"
    keeper: Keeper = Keeper.NOBODY

    columns: ClassVar[pl.Schema] = pl.Schema(
        {
            "value": pl.Binary(),
            "id": pl.String(),
            "timestamp": INSTANT,
            "topic": pl.String(),
            "headers": HEADERS,
        }
    )
    raw_metadata: ClassVar[tuple[str, ...]] = ("id", "headers")

    def __post_init__(self) -> None:
        if not self.stream:
            raise ConfigError("no stream is named", step=self.name, hint=_FORM)
        check_start(self.start, self.name)
        if self.group is not None and self.stop is Stop.AT_END:
            raise ConfigError(
                "a group has no end of its own",
                step=self.name,
                value=self.group,
                hint="leave group= out to read to the end of what is there",
            )
        _ = self.schema

    @property
    def name(self) -> str:
        """``redis STREAM@HOST:PORT``."""
        return f"redis {self.stream}@{self.server}"

    @property
    def bounded(self) -> bool:
        """Whether it stops at the end."""
        return self.stop is Stop.AT_END

    @property
    def replayable(self) -> bool:
        """Without a group: ids can be read again while the stream keeps its entries."""
        return self.group is None

    def kept_by(self, keeper: Keeper) -> RedisSourceSpec:
        """Return it as a run has it."""
        return replace(self, keeper=keeper)

    def probe(self) -> str:
        """Log in, and leave."""
        return ping(self.server, self.db, self.name)

    def open(self) -> Source:
        """Return the live source; the first poll connects."""
        reading = Reading(
            self.name,
            self.server,
            self.db,
            self.stream,
            self.value_field.encode(),
            self.start,
            self.bounded,
            self.group,
            self.consumer,
            self.keeper,
            (*self.extra_columns, "id"),
        )
        where = pl.format(f"redis {self.stream.replace('{', '{{')} {{}}", "id")
        return MessageSource(
            Connector(reading),
            name=self.name,
            schema=self.schema,
            rows=self.record_rows(lambda frame: frame.select(where).to_series()),
            patience_s=self.server.timeout_s,
        )


@dataclass(frozen=True, slots=True)
class RedisSinkSpec:
    """Appends to a stream, or with a key sets and deletes hashes; each epoch is one transaction."""

    server: Server
    way: Way
    db: int = 0
    epochs_key: str = EPOCHS_KEY
    immediate: bool = False

    def __post_init__(self) -> None:
        if not self._target.text:
            raise ConfigError("no stream and no hash is named", step="redis", hint=_FORM)

    @property
    def _target(self) -> Target:
        return self.way.target if isinstance(self.way, Upserting) else self.way.outgoing.target

    @property
    def name(self) -> str:
        """``redis NAME@HOST:PORT``."""
        return f"redis {self._target.text}@{self.server}"

    @property
    def guarantee(self) -> Guarantee:
        """Exactly once by transactions."""
        return Guarantee.AT_LEAST_ONCE if self.immediate else Guarantee.EXACTLY_ONCE

    @property
    def accepts(self) -> Accepts:
        """Changes by key of hashes; any changes as Debezium, otherwise rows."""
        way = self.way
        return Accepts.UPSERT if isinstance(way, Upserting) else way.outgoing.accepts

    @property
    def key(self) -> tuple[str, ...]:
        """Key columns."""
        return self.way.key if isinstance(self.way, Upserting) else ()

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema cannot be written."""
        if not isinstance(self.way, Upserting):
            self.way.outgoing.check(schema)
            return
        for name in (*self.way.key, *self.way.target.columns):
            if name not in schema:
                raise ConfigError(
                    f"there is no column {name!r}",
                    step=self.name,
                    value=name,
                    alternatives=schema.names(),
                )
        texts = pl.Schema({n: d for n, d in schema.items() if d != pl.Binary})
        files.check(texts, files.FileFormat.NDJSON, self.name)

    def probe(self) -> str:
        """Log in, and leave."""
        return ping(self.server, self.db, self.name)

    def open(self) -> Sink:
        """Return the live sink; ``begin`` connects."""
        return RedisSink(Writing(self.name, self.server, self.db, self.way, self.epochs_key))


@connecting
def redis(
    host: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None = None,
    *,
    stream: str | None = None,
    metadata: str | Iterable[str] | None = None,
    value_field: str = "value",
    start: Start | str | datetime = Start.EARLIEST,
    stop: Stop | str = Stop.NEVER,
    group: str | None = None,
    consumer: str = "penstock",
    db: int = 0,
    access: dict[str, Any],
    **options: Any,
) -> RedisSourceSpec:
    """Describe a stream to read: ``redis("localhost:6379/orders", "json", {...})``.

    ``host``: ``[user:password@]host[:port]/stream``; or without the stream, with ``stream=``.
    """
    where, found = (host, stream) if stream is not None else split_path(host, "redis", _FORM)
    step = f"redis {found}"
    return RedisSourceSpec(
        **rows_options(format, schema, metadata, options, step),
        server=server(where, step, (PORT, PORT), **access),
        stream=found,
        db=db,
        value_field=value_field,
        start=_start(start, step),
        stop=choice(Stop, stop, step=step, option="stop"),
        group=group,
        consumer=consumer,
    )


@connecting
def redis_sink(
    host: str,
    *,
    name: str | None = None,
    key: str | Iterable[str] = (),
    format: str = "json",  # noqa: A002
    value_field: str = "value",
    max_entries: int | None = None,
    epochs_key: str = EPOCHS_KEY,
    immediate: bool = False,
    db: int = 0,
    access: dict[str, Any],
) -> RedisSinkSpec:
    """Describe a stream, or with ``key`` hashes, to write: ``redis_sink("h/totals", key="user")``.

    ``name``: of the stream; of the hashes with ``{column}`` for values, ``totals`` is ``totals:{user}``.
    """
    where, found = (host, name) if name is not None else split_path(host, "redis", _FORM)
    step, keys = f"redis {found}", names(key)
    way: Way
    if keys:
        text = found if Target(found).columns else ":".join((found, *(f"{{{k}}}" for k in keys)))
        _check_names_all(Target(text), keys, step)
        way = Upserting(step, Target(text, ":" if len(keys) > 1 else ""), keys)
    else:
        way = Appending(outgoing(step, Target(found), format, ()), value_field, max_entries)
    return RedisSinkSpec(
        server(where, step, (PORT, PORT), **access),
        way,
        db,
        epochs_key,
        immediate,
    )


def _check_names_all(target: Target, keys: tuple[str, ...], step: str) -> None:
    if set(target.columns) != set(keys):
        raise ConfigError(
            f"the name {target.text!r} has to tell the keys {', '.join(keys)} apart, and no more",
            step=step,
            value=target.text,
            hint="name each key column once: " + ":".join(f"{{{k}}}" for k in keys),
        )


def _start(start: Start | str | datetime, step: str) -> Start | str | datetime:
    if isinstance(start, str) and _ID.fullmatch(start):
        return start
    return start if isinstance(start, datetime) else choice(Start, start, step=step, option="start")
