"""MQTT as source and sink: topics of a broker, their format, and the guarantee."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, ClassVar

import polars as pl

from penstock.connectors.contract import Accepts, Guarantee, Keeper, Sink, Source
from penstock.connectors.formats.contract import Format
from penstock.connectors.formats.schemas import SchemaLike
from penstock.connectors.messaging.facts import HEADERS, MessageRows, rows_options
from penstock.connectors.messaging.outgoing import Outgoing, Target, outgoing
from penstock.connectors.messaging.server import Server, connecting, server, split_path
from penstock.connectors.messaging.source import MessageSource
from penstock.connectors.mqtt.packets import V5, V311
from penstock.connectors.mqtt.session import Client, Session
from penstock.connectors.mqtt.sink import MqttSink, Writing
from penstock.connectors.mqtt.source import Connector, Reading, random_name
from penstock.connectors.options import choice, duration, names
from penstock.errors import ConfigError
from penstock.instants import Duration

PORT, TLS_PORT = 1883, 8883
EXPIRY = timedelta(days=1)
"""How long the broker keeps the messages of a pipeline that is not there."""
KEEP_ALIVE = timedelta(minutes=1)
MAX_MESSAGE_BYTES = 16 << 20
_FORM = "write mqtt://host:1883/a/topic"
_WILDCARDS = "#+"


class Version(enum.Enum):
    """Versions of the protocol."""

    AUTO = "auto"
    """5, or 3.1.1 if the broker speaks only that."""
    V311 = "3.1.1"
    V5 = "5"


_LEVELS = {Version.AUTO: None, Version.V311: V311, Version.V5: V5}


@dataclass(frozen=True)
class MqttSourceSpec(MessageRows):
    """Subscribes to topics of an MQTT broker; cannot be replayed, so it goes through a topic of ours.

    Columns: those of ``format``, and of ``metadata``: ``topic``, ``qos``, ``retain``, ``headers`` (user
    properties of version 5). Without a format ``value`` and ``topic``. The broker keeps the session of
    ``client`` for ``expiry`` while nobody reads, and is answered once the rows are kept.

    Dead letters have the position ``mqtt TOPIC``.
    """

    server: Server = field(default_factory=lambda: Server("localhost", PORT))
    topics: tuple[str, ...] = ()
    qos: int = 1
    client: str | None = None
    version: Version = Version.AUTO
    expiry: timedelta = EXPIRY
    keep_alive: timedelta = KEEP_ALIVE
    max_message_bytes: int = MAX_MESSAGE_BYTES
    keeper: Keeper = Keeper.NOBODY

    columns: ClassVar[pl.Schema] = pl.Schema(
        {
            "value": pl.Binary(),
            "topic": pl.String(),
            "qos": pl.UInt8(),
            "retain": pl.Boolean(),
            "headers": HEADERS,
        }
    )
    raw_metadata: ClassVar[tuple[str, ...]] = ("topic",)

    def __post_init__(self) -> None:
        if not self.topics:
            raise ConfigError("no topic is named", step=self.name, hint=_FORM)
        for topic in self.topics:
            _check_filter(topic, self.name)
        _check_qos(self.qos, self.name)
        _check_positive("max_message_bytes", self.max_message_bytes, self.name)
        _ = self.schema

    @property
    def name(self) -> str:
        """``mqtt TOPIC@HOST:PORT``."""
        return f"mqtt {','.join(self.topics)}@{self.server}"

    @property
    def replayable(self) -> bool:
        """Never: what was answered is gone."""
        return False

    def kept_by(self, keeper: Keeper) -> MqttSourceSpec:
        """Return it as a run has it: a session that lasts needs somebody who keeps its messages."""
        return replace(self, keeper=keeper)

    def _client(self) -> Client:
        passing = self.keeper is Keeper.NOBODY and self.client is None
        return Client(
            random_name() if passing else self.client or self._default_client,
            clean=passing,
            expiry_s=int(self.expiry.total_seconds()),
            keep_alive_s=int(self.keep_alive.total_seconds()),
            max_packet_bytes=self.max_message_bytes,
            version=_LEVELS[self.version],
        )

    @property
    def _default_client(self) -> str:
        """The same in each run of a pipeline."""
        told = "\n".join((str(self.server), self.server.user or "", *self.topics))
        return f"penstock-{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def probe(self) -> str:
        """Connect under a name of its own, so that the session stays where it is."""
        return _probed(replace(self._client(), name=random_name(), clean=True), self)

    def open(self) -> Source:
        """Return the live source; the first poll connects."""
        topic = pl.lit("") if self.format is None else pl.col("topic")
        reading = Reading(
            self.name,
            self.server,
            self._client(),
            self.topics,
            self.qos,
            self.keeper,
            (*self.extra_columns, "topic"),
        )
        return MessageSource(
            Connector(reading),
            name=self.name,
            schema=self.schema,
            rows=self.record_rows(lambda f: f.select(pl.format("mqtt {}", topic)).to_series()),
            patience_s=self.server.timeout_s,
        )


@dataclass(frozen=True, slots=True)
class MqttSinkSpec:
    """Publishes messages: at least once, with QoS 1 or 2; with QoS 0 the broker confirms nothing.

    ``outgoing`` says what and where to. With a key rows are upserts, deletions messages without
    payload; ``retain`` makes the newest of each topic the one that later subscribers get.
    """

    server: Server
    outgoing: Outgoing
    qos: int = 1
    retain: bool = False
    client: str | None = None
    version: Version = Version.AUTO
    keep_alive: timedelta = KEEP_ALIVE
    immediate: bool = False

    def __post_init__(self) -> None:
        _check_qos(self.qos, self.name)
        topic = self.outgoing.target.text
        if not topic or any(letter in topic for letter in (*_WILDCARDS, "\0")):
            raise ConfigError(
                f"{topic!r} is no topic to write to",
                step=self.name,
                value=topic,
                hint='name one without + and #; {column} stands for a value: "totals/{user}"',
            )

    @property
    def name(self) -> str:
        """``mqtt TOPIC@HOST:PORT``."""
        return f"mqtt {self.outgoing.target.text}@{self.server}"

    @property
    def guarantee(self) -> Guarantee:
        """At least once, if the broker confirms."""
        return Guarantee.AT_LEAST_ONCE if self.qos else Guarantee.AT_MOST_ONCE

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

    def _client(self, name: str | None) -> Client:
        return Client(
            name or random_name(),
            clean=True,
            expiry_s=0,
            keep_alive_s=int(self.keep_alive.total_seconds()),
            max_packet_bytes=MAX_MESSAGE_BYTES,
            version=_LEVELS[self.version],
        )

    def probe(self) -> str:
        """Connect."""
        return _probed(self._client(None), self)

    def open(self) -> Sink:
        """Return the live sink; ``begin`` connects."""
        client = self._client(self.client)
        return MqttSink(
            Writing(self.name, self.server, client, self.outgoing, self.qos, self.retain)
        )


def _probed(client: Client, spec: MqttSourceSpec | MqttSinkSpec) -> str:
    session = Session(spec.server, client, spec.name)
    session.close()
    return f"it answers, MQTT {'5' if session.version == V5 else '3.1.1'}"


@connecting
def mqtt(
    broker: str,
    format: str | Format | None = None,  # noqa: A002 - the word that users know
    schema: SchemaLike | None = None,
    *,
    topic: str | Iterable[str] | None = None,
    metadata: str | Iterable[str] | None = None,
    qos: int = 1,
    client: str | None = None,
    version: Version | str = Version.AUTO,
    expiry: Duration = EXPIRY,
    keep_alive: Duration = KEEP_ALIVE,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    access: dict[str, Any],
    **options: Any,
) -> MqttSourceSpec:
    """Describe topics to read: ``mqtt("host:1883/sensors/+/temperature", "json", {...})``.

    ``broker``: ``[user:password@]host[:port]/topic``; or without the topic, with ``topic=`` one or
    several filters.
    """
    where, found = (broker, topic) if topic is not None else split_path(broker, "mqtt", _FORM)
    topics = names(found)
    step = f"mqtt {','.join(topics)}"
    return MqttSourceSpec(
        **rows_options(format, schema, metadata, options, step),
        server=server(where, step, (PORT, TLS_PORT), **access),
        topics=topics,
        qos=qos,
        client=client,
        version=_version(version, step),
        expiry=duration(expiry, step=step, option="expiry"),
        keep_alive=duration(keep_alive, step=step, option="keep_alive"),
        max_message_bytes=max_message_bytes,
    )


@connecting
def mqtt_sink(
    broker: str,
    *,
    topic: str | None = None,
    format: str = "json",  # noqa: A002
    key: str | Iterable[str] = (),
    headers: str | None = None,
    qos: int = 1,
    retain: bool = False,
    client: str | None = None,
    version: Version | str = Version.AUTO,
    keep_alive: Duration = KEEP_ALIVE,
    immediate: bool = False,
    access: dict[str, Any],
) -> MqttSinkSpec:
    """Describe a topic to write: ``mqtt_sink("host:1883/totals/{user}", key="user", retain=True)``."""
    where, found = (broker, topic) if topic is not None else split_path(broker, "mqtt", _FORM)
    step = f"mqtt {found}"
    return MqttSinkSpec(
        server(where, step, (PORT, TLS_PORT), **access),
        outgoing(step, Target(found, "+#\0"), format, key, headers),
        qos,
        retain,
        client,
        _version(version, step),
        duration(keep_alive, step=step, option="keep_alive"),
        immediate,
    )


def _version(value: Version | str, step: str) -> Version:
    return choice(Version, value, step=step, option="version")


def _check_filter(topic: str, step: str) -> None:
    """Raise ``ConfigError`` for a filter that the standard refuses (4.7)."""
    levels = topic.split("/")
    fits = all(level in _WILDCARDS or not set(level) & set(_WILDCARDS) for level in levels)
    fits = fits and "#" not in levels[:-1] and bool(topic) and "\0" not in topic
    if not fits:
        raise ConfigError(
            f"{topic!r} is no topic filter",
            step=step,
            value=topic,
            hint="+ stands for a whole level, # for all that follow: sensors/+/temperature, sensors/#",
        )


def _check_qos(qos: int, step: str) -> None:
    if isinstance(qos, bool) or qos not in (0, 1, 2):
        raise ConfigError(f"qos is 0, 1 or 2, not {qos!r}", step=step, value=qos)


def _check_positive(option: str, value: int, step: str) -> None:
    if value <= 0:
        raise ConfigError(f"{option} must be positive", step=step, value=value)
