"""Polars frames as the CSV that PostgreSQL's COPY reads, written by Polars itself.

In it an unquoted empty field is NULL and ``""`` is the empty string; every string is quoted, since
a lone ``\\.`` would end the data.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl

from penstock.connectors.json_text import json_text

_SLICE_ROWS = 131_072
"""Rows encoded at a time: a few tens of megabytes of text."""


def csv_blocks(frame: pl.DataFrame) -> Iterator[bytes]:
    """Yield ``frame`` as CSV without a header, in blocks."""
    encoded = frame.lazy().select(_encode(name, dtype) for name, dtype in frame.schema.items())
    for start in range(0, frame.height, _SLICE_ROWS):
        block = io.BytesIO()
        encoded.slice(start, _SLICE_ROWS).collect().write_csv(
            block,
            include_header=False,
            quote_style="non_numeric",
            datetime_format="%Y-%m-%d %H:%M:%S%.6f",
        )
        yield block.getvalue()


def _encode(name: str, dtype: pl.DataType) -> pl.Expr:
    """Turn a column into one that Polars writes as PostgreSQL reads it."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return column.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%d %H:%M:%S%.6f+00")
    if isinstance(dtype, pl.Duration):
        return pl.concat_str(
            column.dt.total_microseconds().cast(pl.String), pl.lit(" microseconds")
        ).alias(name)
    if isinstance(dtype, pl.Binary):
        return pl.concat_str(pl.lit("\\x"), column.bin.encode("hex")).alias(name)
    if isinstance(dtype, pl.Float16):
        return column.cast(pl.Float32)
    if dtype.is_nested():
        return json_text(name)
    return column
