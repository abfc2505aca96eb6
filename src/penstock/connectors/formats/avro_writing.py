"""Rows as Avro records, one value each, many at once.

Polars writes whole containers. A column more, the same random bytes in each row, tells where in
the container's block a record ends.
"""

from __future__ import annotations

import io
import os
from typing import Any

import polars as pl

from penstock.connectors.formats.avro import varint

_END = "_penstock_end"
_MARK_BYTES = 8
_SLICE_ROWS = 65_536
_NARROW = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)


def records(rows: pl.DataFrame, head: bytes) -> pl.Series:
    """Return each row as bytes, with ``head`` in front; the schema is ``avro_schema.schema_of``."""
    columns = [_stored(pl.col(name), dtype).alias(name) for name, dtype in rows.schema.items()]
    found = [
        each
        for part in rows.iter_slices(_SLICE_ROWS)
        if part.height
        for each in _split(part.select(columns), head)
    ]
    return pl.Series("value", found, dtype=pl.Binary)


def _split(rows: pl.DataFrame, head: bytes) -> list[bytes]:
    while True:
        mark = os.urandom(_MARK_BYTES)
        into = io.BytesIO()
        rows.with_columns(pl.lit(mark).alias(_END)).rechunk().write_avro(into)
        end = varint(1) + varint(_MARK_BYTES) + mark  # the second type of a union, its length
        parts = _block(into.getvalue()).split(end)
        if len(parts) == rows.height + 1:  # else the bytes of a row are like the mark
            return [head + part for part in parts[:-1]]


def _block(data: bytes) -> bytes:
    """Return what is in the blocks of a container that is not compressed."""
    at = 4  # behind the magic bytes
    count, at = _number(data, at)
    while count:
        for _ in range(2 * count):
            size, at = _number(data, at)
            at += size
        count, at = _number(data, at)
    sync = 16
    at += sync
    blocks = []
    while at < len(data):
        _, at = _number(data, at)
        size, at = _number(data, at)
        blocks.append(data[at : at + size])
        at += size + sync
    return b"".join(blocks)


def _number(data: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return found >> 1 ^ -(found & 1), at


def _stored(column: pl.Expr, dtype: Any) -> pl.Expr:
    """Return the column as Polars can write it, of the same bytes."""
    if isinstance(dtype, pl.Time):
        return column.cast(pl.Int64) // 1000
    return column.cast(_layout(dtype)) if _layout(dtype) != dtype else column


def _layout(dtype: Any) -> Any:
    if isinstance(dtype, pl.Struct):
        return pl.Struct({each.name: _layout(each.dtype) for each in dtype.fields})
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_layout(dtype.inner))
    if isinstance(dtype, _NARROW):
        return pl.Int32()
    if isinstance(dtype, pl.UInt32 | pl.Datetime | pl.Duration):
        return pl.Int64()
    return pl.String() if isinstance(dtype, pl.Enum | pl.Categorical) else dtype
