"""What is fixed when a topic is created, and the check of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
import polars as pl

from penstock.errors import ConfigError
from penstock.topics.blobs import Compression, schema_head
from penstock.topics.records import KEY, TIMESTAMP
from penstock.topics.retention import Retention

MAX_PARTITIONS = 4096
"""Offsets of all partitions are read at every wake-up: 4096 of them take about a millisecond."""


class Settings(msgspec.Struct, frozen=True):
    """What the topic's file says of the topic; only the retention ever changes."""

    identity: str  # tells a topic from another one created later in the same folder
    partitions: int
    schema_head: bytes | None  # None: raw records
    timestamp: str | None
    key: tuple[str, ...]
    compression: Compression
    retention_age_s: float | None
    retention_bytes: int | None

    @property
    def retention(self) -> Retention:
        """What the topic keeps."""
        age = self.retention_age_s
        return Retention(None if age is None else timedelta(seconds=age), self.retention_bytes)

    def with_retention(self, retention: Retention) -> Settings:
        """Return the same settings with another retention."""
        return msgspec.structs.replace(
            self,
            retention_age_s=None if retention.age is None else retention.age.total_seconds(),
            retention_bytes=retention.size_bytes,
        )


def new_settings(
    partitions: int,
    schema: Mapping[str, pl.DataType] | None,
    timestamp: str | None,
    key: str | Sequence[str],
    retention: Retention | None,
    compression: Compression,
) -> Settings:
    """Check the options of a topic to be created and return its settings."""
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise ConfigError(f"a topic has 1 to {MAX_PARTITIONS} partitions", value=partitions)
    if compression not in ("none", "lz4", "zstd"):
        raise ConfigError(
            f"there is no compression {compression!r}",
            value=compression,
            alternatives=("none", "lz4", "zstd"),
        )
    keys = (key,) if isinstance(key, str) else tuple(key)
    if schema is None:
        head, timestamp, keys = None, TIMESTAMP, (KEY,)
    else:
        head = _checked_head(pl.Schema(schema), timestamp, keys)
    settings = Settings(
        identity=uuid.uuid4().hex,
        partitions=partitions,
        schema_head=head,
        timestamp=timestamp,
        key=keys,
        compression=compression,
        retention_age_s=None,
        retention_bytes=None,
    )
    return settings.with_retention(retention or Retention())


def _checked_head(schema: pl.Schema, timestamp: str | None, keys: tuple[str, ...]) -> bytes:
    if not schema:
        raise ConfigError("the schema of a typed topic needs at least one column")
    for name in (*keys, *([] if timestamp is None else [timestamp])):
        if name not in schema:
            raise ConfigError(
                f"the schema has no column {name!r}", value=name, alternatives=schema.names()
            )
    if timestamp is not None and not isinstance(schema[timestamp], pl.Datetime):
        raise ConfigError(
            f"timestamp column {timestamp!r} is {schema[timestamp]}, not Datetime", value=timestamp
        )
    for name in keys:
        if schema[name].is_nested():
            raise ConfigError(f"key column {name!r} cannot be {schema[name]}", value=name)
    if any(dtype == pl.Object for dtype in schema.values()):
        raise ConfigError("a topic cannot hold columns of Python objects")
    return schema_head(schema)
