"""What a topic holds: the columns of raw records, and the check of typed ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from penstock.errors import ConfigError

KEY, VALUE, TIMESTAMP, HEADERS = "key", "value", "timestamp", "headers"
INSTANT = pl.Datetime("us", "UTC")

RAW_SCHEMA = pl.Schema(
    {
        KEY: pl.Binary(),  # null: no key; such rows are spread over the partitions
        VALUE: pl.Binary(),  # null: a tombstone, or no value
        TIMESTAMP: INSTANT,  # null or absent: the moment of the append
        HEADERS: pl.List(pl.Struct({"name": pl.String(), "value": pl.Binary()})),  # null: none
    }
)
_REQUIRED_RAW = VALUE


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive records of one partition; the first of them has ``offset``."""

    partition: int
    offset: int
    frame: pl.DataFrame

    @property
    def next_offset(self) -> int:
        """Where to read on."""
        return self.offset + self.frame.height

    def with_offsets(self) -> pl.DataFrame:
        """Return the frame with the columns ``offset`` (Int64) and ``partition`` (UInt32) added."""
        offsets = pl.int_range(self.offset, self.next_offset, dtype=pl.Int64, eager=True)
        return self.frame.with_columns(
            offset=offsets, partition=pl.lit(self.partition, dtype=pl.UInt32)
        )


def raw_records(frame: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Bring ``frame`` to `RAW_SCHEMA`: absent columns are null, absent timestamps are ``now``.

    ``value`` is required; ``key`` and ``value`` may be String and are stored as their UTF-8 bytes.
    """
    if _REQUIRED_RAW not in frame.columns:
        raise ConfigError(
            "records of a raw topic need a column 'value'",
            value=_REQUIRED_RAW,
            alternatives=frame.columns,
            hint="name the column 'value', or create the topic with schema= to store any frame",
        )
    unknown = [name for name in frame.columns if name not in RAW_SCHEMA]
    if unknown:
        raise ConfigError(
            f"a raw topic has no column {unknown[0]!r}",
            value=unknown[0],
            alternatives=RAW_SCHEMA.names(),
            hint="drop it, or create the topic with schema= to store any frame",
        )
    if frame.schema == RAW_SCHEMA and not frame[TIMESTAMP].null_count():
        return frame
    return pl.DataFrame([_raw_column(frame, name, now) for name in RAW_SCHEMA])


def _raw_column(frame: pl.DataFrame, name: str, now: datetime) -> pl.Series:
    wanted = RAW_SCHEMA[name]
    if name not in frame.columns:
        absent = pl.Series(name, [now if name == TIMESTAMP else None], dtype=wanted)
        return absent.new_from_index(0, frame.height)
    column = frame[name]
    if column.dtype != wanted:
        if not _convertible(column.dtype, wanted):
            raise ConfigError(
                f"column {name!r} of a raw topic is {wanted}, not {column.dtype}", value=name
            )
        column = column.cast(wanted)
    if name == TIMESTAMP and column.null_count():
        column = column.to_frame().select(pl.col(name).fill_null(pl.lit(now, INSTANT))).to_series()
    return column


def _convertible(given: pl.DataType, wanted: pl.DataType) -> bool:
    if given == pl.Null:
        return True
    if wanted == pl.Binary:
        return given == pl.String
    return wanted == INSTANT and isinstance(given, pl.Datetime) and given.time_zone is not None


def typed_records(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return ``frame`` with the columns in the order of ``schema``; refuse any other schema."""
    if frame.schema == schema:
        return frame
    for name, dtype in schema.items():
        if name not in frame.columns:
            raise ConfigError(
                f"the topic's column {name!r} is missing",
                value=name,
                alternatives=frame.columns,
            )
        if frame.schema[name] != dtype:
            raise ConfigError(
                f"column {name!r} is {frame.schema[name]}, but {dtype} in the topic",
                value=name,
                hint=f"cast it: .with_columns(pl.col({name!r}).cast(...))",
            )
    extra = [name for name in frame.columns if name not in schema]
    if extra:
        raise ConfigError(
            f"the topic has no column {extra[0]!r}", value=extra[0], alternatives=schema.names()
        )
    return frame.select(schema.names())
