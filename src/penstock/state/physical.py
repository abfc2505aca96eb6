"""Between Polars columns of fixed width and NumPy arrays, exactly and cheaply.

``Series.to_physical`` and friends cost 30 us each (they build a lazy query); ``cast`` costs 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import Mask

_INTEGERS: dict[type[pl.DataType], type[pl.DataType]] = {
    dtype: dtype
    for dtype in (
        pl.Int8,
        pl.Int16,
        pl.Int32,
        pl.Int64,
        pl.UInt8,
        pl.UInt16,
        pl.UInt32,
        pl.UInt64,
        pl.Float32,
        pl.Float64,
    )
}
_CASTS: dict[type[pl.DataType], type[pl.DataType]] = {
    pl.Boolean: pl.UInt8,
    pl.Date: pl.Int32,
    pl.Time: pl.Int64,
    pl.Datetime: pl.Int64,
    pl.Duration: pl.Int64,
}
_PHYSICAL = _INTEGERS | _CASTS
_NUMPY: dict[type[pl.DataType], npt.DTypeLike] = {
    pl.Int8: np.int8,
    pl.Int16: np.int16,
    pl.Int32: np.int32,
    pl.Int64: np.int64,
    pl.UInt8: np.uint8,
    pl.UInt16: np.uint16,
    pl.UInt32: np.uint32,
    pl.UInt64: np.uint64,
    pl.Float32: np.float32,
    pl.Float64: np.float64,
}


def physical_type(dtype: pl.DataType) -> type[pl.DataType] | None:
    """Return the Polars type whose NumPy array can hold ``dtype``, None if there is none."""
    return _PHYSICAL.get(dtype.base_type())


def numpy_type(dtype: pl.DataType) -> npt.DTypeLike:
    """Return the NumPy type that holds a fixed-width ``dtype``."""
    return _NUMPY[_PHYSICAL[dtype.base_type()]]


def to_numpy(series: pl.Series, dtype: pl.DataType) -> tuple[npt.NDArray[Any], Mask | None]:
    """Return the physical values (0 where null) and, if any is null, where they are not."""
    base = dtype.base_type()
    target = _CASTS.get(base)
    if target is not None:
        series = series.cast(target)
    if not series.null_count():
        return series.to_numpy(), None
    valid = series.is_not_null().to_numpy()
    filled = series.clone()
    filled.scatter(np.flatnonzero(~valid), 0)
    return filled.to_numpy(), valid


def to_series(
    name: str, values: npt.NDArray[Any], valid: Mask | None, dtype: pl.DataType
) -> pl.Series:
    """Return a column of ``dtype`` from physical values, null where not ``valid``."""
    series = pl.Series(name, values)
    if dtype.base_type() in _CASTS:
        series = series.cast(dtype)
    if valid is not None and not valid.all():
        series.scatter(np.flatnonzero(~valid), None)
    return series
