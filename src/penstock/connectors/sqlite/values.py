"""Polars columns as the Python values that SQLite stores: integers, floats, text, bytes, None.

Instants become ISO text with a fixed number of digits, so that text order is time order and
SQLite's own date functions read them.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from penstock.connectors.json_text import json_text

_FRACTION = {"ms": "%.3f", "us": "%.6f", "ns": "%.9f"}
_LARGEST_INTEGER = 2**63 - 1
_UINT64_DIGITS = 20


def rows(frame: pl.DataFrame) -> Iterator[tuple[object, ...]]:
    """Yield the rows of ``frame`` as tuples of values SQLite can store."""
    encoded = frame.select(_encode(name, dtype) for name, dtype in frame.schema.items())
    return zip(*(_values(column) for column in encoded), strict=True)


def _encode(name: str, dtype: pl.DataType) -> pl.Expr:
    """Turn a column into integers, floats, strings, booleans or binary."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        text = f"%Y-%m-%d %H:%M:%S{_FRACTION[dtype.time_unit]}"
        if dtype.time_zone is None:
            return column.dt.strftime(text)
        return column.dt.convert_time_zone("UTC").dt.strftime(f"{text}+00:00")
    if isinstance(dtype, pl.Time):
        return column.dt.strftime("%H:%M:%S%.9f")
    if isinstance(dtype, pl.Duration):
        return column.to_physical()
    if dtype.is_nested():
        return json_text(name)
    if isinstance(dtype, pl.Decimal) and dtype.scale == 0:
        return column
    if isinstance(dtype, pl.Date | pl.Decimal | pl.Int128 | pl.UInt128 | pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    return column


def _values(column: pl.Series) -> list[object]:
    """List a column, exchanging the few values that SQLite has no number for."""
    if isinstance(column.dtype, pl.Decimal):
        return _whole_numbers(column)
    values: list[object] = column.to_list()
    if column.dtype.is_float() and column.is_nan().any():
        return ["NaN" if value != value else value for value in values]
    if column.dtype == pl.UInt64 and (column > _LARGEST_INTEGER).any():
        return [
            str(value).zfill(_UINT64_DIGITS)
            if isinstance(value, int) and value > _LARGEST_INTEGER
            else value
            for value in values
        ]
    return values


def _whole_numbers(column: pl.Series) -> list[object]:
    """List decimals without a fraction: integers where SQLite's hold them, text beyond."""
    small = column.cast(pl.Int64, strict=False)
    numbers: list[object] = small.to_list()
    if small.null_count() == column.null_count():
        return numbers
    texts = column.cast(pl.String).to_list()
    return [text if number is None else number for number, text in zip(numbers, texts, strict=True)]
