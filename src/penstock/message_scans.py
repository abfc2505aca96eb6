"""Functions that begin a stream at a message broker: Kafka, MQTT, Redis, NATS, RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.deferred import Deferred
from penstock.scans import from_source
from penstock.stream import Stream

if TYPE_CHECKING:
    from penstock.connectors.formats import schemas
    from penstock.connectors.formats.contract import Format
    from penstock.connectors.kafka import config as kafka
    from penstock.connectors.mqtt import config as mqtt
    from penstock.connectors.nats import config as nats
    from penstock.connectors.rabbitmq import config as rabbitmq
    from penstock.connectors.redis import config as redis
else:
    kafka = Deferred("penstock.connectors.kafka.config")
    mqtt = Deferred("penstock.connectors.mqtt.config")
    nats = Deferred("penstock.connectors.nats.config")
    rabbitmq = Deferred("penstock.connectors.rabbitmq.config")
    redis = Deferred("penstock.connectors.redis.config")


def scan_kafka(
    servers: str,
    topic: str | Iterable[str],
    format: str | Format | None = None,  # noqa: A002
    schema: schemas.SchemaLike | None = None,
    *,
    start: str | datetime | Mapping[Any, Any] = "earliest",
    stop: str = "never",
    metadata: str | Iterable[str] | None = None,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read topics of a Kafka cluster, exactly once with a checkpoint. Needs the extra ``kafka``.

    ``servers``: ``host:port`` of some brokers, with commas between. ``topic``: one or several, or
    patterns that begin with ``^``. Columns: what the ``format`` decodes from the value, or, without
    one, ``key``, ``value``, ``timestamp``, ``offset`` and ``partition``; ``metadata`` adds any of
    ``key``, ``timestamp``, ``headers``, ``topic``, ``offset``, ``partition``.

    ``start``: ``"earliest"``, ``"latest"``, an instant, or offsets (``{0: 17}``, of several topics
    ``{"orders": {0: 17}}``). ``stop``: ``"never"``, or ``"at end"``: at the messages that are there
    when it starts. More ``options`` (security, tombstones, what was deleted before it was read, the
    group for monitoring) are those of ``docs/connectors/kafka.md``.
    """
    spec = kafka.kafka(
        servers,
        format,
        schema,
        topic=topic,
        start=start,
        stop=stop,
        metadata=metadata,
        **options,
    )
    return from_source(spec, epoch_rows=epoch_rows)


def scan_mqtt(
    broker: str,
    topic: str | Iterable[str],
    format: str | Format | None = None,  # noqa: A002
    schema: schemas.SchemaLike | None = None,
    *,
    metadata: str | Iterable[str] | None = None,
    qos: int = 1,
    client: str | None = None,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Subscribe to topics of an MQTT broker (5 or 3.1.1); it never ends.

    ``broker``: ``host:port``. ``topic``: one or several filters: ``sensors/+/temperature``,
    ``sensors/#``, ``$share/group/sensors/#``. Columns: what the ``format`` decodes from the payload, or,
    without one, ``value`` and ``topic``; ``metadata`` adds any of ``topic``, ``qos``, ``retain``,
    ``headers``. In a run with a checkpoint the broker is answered once the rows are kept (``durable`` as
    in ``scan_tcp``), and keeps the session of ``client`` while nobody reads: nothing is lost, and with
    ``qos=2`` nothing doubled. More ``options`` (security, version, expiry of the session) are those of
    ``docs/connectors/mqtt.md``.

    >>> import penstock as ps
    >>> ps.scan_mqtt("localhost", "sensors/#", "json", {"degrees": float}, metadata="topic").columns
    ['degrees', 'topic']
    """
    spec = mqtt.mqtt(
        broker, format, schema, topic=topic, metadata=metadata, qos=qos, client=client, **options
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_redis(
    host: str,
    stream: str,
    format: str | Format | None = None,  # noqa: A002
    schema: schemas.SchemaLike | None = None,
    *,
    start: str | datetime = "earliest",
    stop: str = "never",
    group: str | None = None,
    metadata: str | Iterable[str] | None = None,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Read a stream of Redis, exactly once with a checkpoint. Needs the extra ``redis``.

    Columns: what the ``format`` decodes from the field ``value``, or, without one, ``value``, ``id`` and
    ``headers`` (the other fields); ``metadata`` adds any of ``id``, ``timestamp``, ``topic``, ``headers``.
    ``start``: ``"earliest"``, ``"latest"``, an instant, or the id to go on after. ``stop``: ``"never"``, or
    ``"at end"``. With a ``group`` its members divide the entries, which are acknowledged once they are
    kept (``durable`` as in ``scan_tcp``). More ``options`` are those of ``docs/connectors/redis.md``.
    """
    spec = redis.redis(
        host,
        format,
        schema,
        stream=stream,
        start=start,
        stop=stop,
        group=group,
        metadata=metadata,
        **options,
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )


def scan_nats(
    host: str,
    stream: str,
    format: str | Format | None = None,  # noqa: A002
    schema: schemas.SchemaLike | None = None,
    *,
    subject: str | None = None,
    start: str | datetime | int = "earliest",
    stop: str = "never",
    metadata: str | Iterable[str] | None = None,
    epoch_rows: int | None = None,
    **options: Any,
) -> Stream:
    """Read a stream of NATS JetStream, exactly once with a checkpoint.

    ``subject`` reads only what fits (``orders.*``). Columns: what the ``format`` decodes, or, without
    one, ``value``, ``sequence`` and ``topic`` (the subject); ``metadata`` adds any of ``sequence``,
    ``timestamp``, ``topic``, ``headers``. ``start``: ``"earliest"``, ``"latest"``, an instant, or a
    sequence. ``stop``: ``"never"``, or ``"at end"``. More ``options`` are those of
    ``docs/connectors/nats.md``.
    """
    spec = nats.nats(
        host,
        format,
        schema,
        stream=stream,
        subject=subject,
        start=start,
        stop=stop,
        metadata=metadata,
        **options,
    )
    return from_source(spec, epoch_rows=epoch_rows)


def scan_rabbitmq(
    host: str,
    queue: str,
    format: str | Format | None = None,  # noqa: A002
    schema: schemas.SchemaLike | None = None,
    *,
    kind: str = "queue",
    start: str | datetime | int = "earliest",
    metadata: str | Iterable[str] | None = None,
    epoch_rows: int | None = None,
    durable: bool | str | Path | None = None,
    durable_max_bytes: int | str | None = None,
    **options: Any,
) -> Stream:
    """Read a queue or a stream of RabbitMQ; it never ends. Needs the extra ``rabbitmq``.

    ``kind="queue"``: messages are acknowledged once they are kept (``durable`` as in ``scan_tcp``).
    ``kind="stream"``: read by offsets, exactly once with a checkpoint; ``start``: ``"earliest"``,
    ``"latest"``, an instant or an offset. Columns: what the ``format`` decodes, or, without one,
    ``value`` and ``topic`` (the routing key); ``metadata`` adds any of ``topic``, ``id``, ``timestamp``,
    ``headers``, ``offset``. More ``options`` are those of ``docs/connectors/rabbitmq.md``.
    """
    spec = rabbitmq.rabbitmq(
        host, format, schema, queue=queue, kind=kind, start=start, metadata=metadata, **options
    )
    return from_source(
        spec, epoch_rows=epoch_rows, durable=durable, durable_max_bytes=durable_max_bytes
    )
