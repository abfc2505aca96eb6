"""Copies of Series that share no memory with where they came from.

Slices, filters, gathers and even a rechunking concat of text in Polars 2.1 keep the whole text
buffers of their origin alive: ten rows kept from each batch would keep every batch.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from polars._typing import PolarsDataType


def owned(values: pl.Series) -> pl.Series:
    """Return an equal Series, of one chunk, in memory of its own."""
    if values.dtype == pl.String:
        return values + ""  # writes new text, at 20 ns a row; an IPC round trip takes 120
    if _holds_views(values.dtype):
        buffer = io.BytesIO()
        values.to_frame().write_ipc_stream(buffer)
        buffer.seek(0)
        return pl.read_ipc_stream(buffer).to_series(0).rechunk()
    return values[np.arange(len(values))]


def _holds_views(dtype: PolarsDataType) -> bool:
    """Tell whether text or bytes lie somewhere in values of ``dtype``."""
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_views(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return any(_holds_views(field.dtype) for field in dtype.fields)
    return dtype in (pl.String, pl.Binary)
