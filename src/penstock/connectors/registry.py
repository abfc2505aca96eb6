"""Connectors by URL: ``source("tail:access.log", format="combined_log")``.

A URL begins with a scheme of ``SOURCES`` or ``SINKS``, or is a plain path, which means ``file:`` of
a source and ``files:`` of a sink. To add a connector, add its line: the scheme, and
``module:function`` of the function that takes what follows the scheme and ``//`` (those of
``WHOLE_URL`` and of others: for ``scheme://...`` the whole URL) and the options, and returns a spec.
Packages of others add theirs as entry points: groups ``penstock.sources``, ``penstock.sinks``.
A module is imported when its scheme is first used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.connectors.contract import SinkSpec, SourceSpec
from penstock.connectors.options import check_options
from penstock.deferred import metadata
from penstock.errors import ConfigError

SOURCES: dict[str, str] = {
    "amqp": "penstock.connectors.rabbitmq.config:rabbitmq",
    "file": "penstock.connectors.files.config:files",
    "folder": "penstock.connectors.files.config:folder",
    "http": "penstock.connectors.http.config:http",
    "http-server": "penstock.connectors.http_server.config:http_server",
    "https": "penstock.connectors.http.config:http",
    "kafka": "penstock.connectors.kafka.config:kafka",
    "mqtt": "penstock.connectors.mqtt.config:mqtt",
    "nats": "penstock.connectors.nats.config:nats",
    "rabbitmq": "penstock.connectors.rabbitmq.config:rabbitmq",
    "rate": "penstock.connectors.generators.config:rate",
    "sse": "penstock.connectors.http.config:sse",
    "redis": "penstock.connectors.redis.config:redis",
    "tail": "penstock.connectors.files.config:tail",
    "tcp": "penstock.connectors.sockets.config:tcp_listen",
    "tcp-connect": "penstock.connectors.sockets.config:tcp_connect",
    "ticks": "penstock.connectors.generators.config:ticks",
    "topic": "penstock.connectors.topics.config:topic",
    "udp": "penstock.connectors.sockets.config:udp",
    "websocket": "penstock.connectors.websocket.config:websocket",
    "websocket-server": "penstock.connectors.websocket.config:websocket_server",
    "ws": "penstock.connectors.websocket.config:websocket",
    "wss": "penstock.connectors.websocket.config:websocket",
}

SINKS: dict[str, str] = {
    "amqp": "penstock.connectors.rabbitmq.config:rabbitmq_sink",
    "console": "penstock.connectors.console.config:console_sink",
    "duckdb": "penstock.connectors.duckdb.config:duckdb_sink",
    "files": "penstock.connectors.file_sink.config:files_sink",
    "http": "penstock.connectors.http.sink_config:http_sink",
    "https": "penstock.connectors.http.sink_config:http_sink",
    "kafka": "penstock.connectors.kafka.config:kafka_sink",
    "mqtt": "penstock.connectors.mqtt.config:mqtt_sink",
    "nats": "penstock.connectors.nats.config:nats_sink",
    "postgres": "penstock.connectors.postgres.config:postgres_sink",
    "postgresql": "penstock.connectors.postgres.config:postgres_sink",
    "rabbitmq": "penstock.connectors.rabbitmq.config:rabbitmq_sink",
    "redis": "penstock.connectors.redis.config:redis_sink",
    "sqlite": "penstock.connectors.sqlite.config:sqlite_sink",
    "topic": "penstock.connectors.topics.config:topic_sink",
    "websocket-server": "penstock.connectors.websocket.sink_config:websocket_server_sink",
}

WHOLE_URL = ("http", "https", "postgres", "postgresql", "ws", "wss")
"""Schemes whose URL means something to the driver."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):", re.IGNORECASE)  # two letters: "C:\\x" is a path


def source(url: str, **options: Any) -> SourceSpec:
    """Describe the source that a URL names.

    ``source("orders/*.csv", separator=";")``, ``source("tail:access.log", format="combined_log")``.
    Raises ``ConfigError`` for an unknown scheme or option.
    """
    spec = _build("source", "file", SOURCES, url, options)
    assert isinstance(spec, SourceSpec)
    return spec


def sink(url: str, **options: Any) -> SinkSpec:
    """Describe the sink that a URL names, as ``source`` does."""
    spec = _build("sink", "files", SINKS, url, options)
    assert isinstance(spec, SinkSpec)
    return spec


def source_function(connector: str) -> Callable[..., object]:
    """Return the function that describes sources of a connector, by its scheme."""
    return _builder("source", SOURCES, _known(connector, SOURCES))


def sink_function(connector: str) -> Callable[..., object]:
    """Return the function that describes sinks of a connector, by its scheme."""
    return _builder("sink", SINKS, _known(connector, SINKS))


def _known(connector: str, table: Mapping[str, str]) -> str:
    """Return the scheme that is meant: ``http_server`` is ``http-server``, as a URL has to say it."""
    scheme = connector.lower()
    plain = scheme.replace("_", "-")
    return plain if plain in table else scheme


def scheme_of(url: str, default: str) -> str:
    """Return the scheme of a URL, ``default`` of a plain path."""
    match = _SCHEME.match(url)
    return match[1].lower() if match else default


def _build(
    kind: str, default: str, table: Mapping[str, str], url: str, options: dict[str, Any]
) -> object:
    match = _SCHEME.match(url)
    scheme, rest = scheme_of(url, default), url[match.end() :] if match else url
    builder = _builder(kind, table, scheme)
    check_options(scheme, builder, options, given=1)
    whole = scheme not in table or scheme in WHOLE_URL
    return builder(url if whole and rest.startswith("//") else rest.removeprefix("//"), **options)


def _builder(kind: str, table: Mapping[str, str], scheme: str) -> Callable[..., object]:
    if scheme in table:
        module, function = table[scheme].split(":")
        found: Callable[..., object] = getattr(importlib.import_module(module), function)
        return found
    others = metadata.entry_points(group=f"penstock.{kind}s")
    for entry in others.select(name=scheme):
        loaded: Callable[..., object] = entry.load()
        return loaded
    raise ConfigError(
        f"there is no {kind} {scheme!r}",  # not the URL: it may hold a password
        step=kind,
        value=scheme,
        alternatives=sorted({*table, *others.names}),
    )
