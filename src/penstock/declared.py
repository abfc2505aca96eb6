"""Python values held to the declared type of their column."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl

_PLAIN: dict[Any, type] = {
    pl.String: str,
    pl.Boolean: bool,
    pl.Float64: float,
    pl.Binary: bytes,
    pl.Date: date,
}
_WHOLE: dict[Any, tuple[int, int]] = {
    pl.Int8: (-(2**7), 2**7),
    pl.Int16: (-(2**15), 2**15),
    pl.Int32: (-(2**31), 2**31),
    pl.Int64: (-(2**63), 2**63),
    pl.UInt8: (0, 2**8),
    pl.UInt16: (0, 2**16),
    pl.UInt32: (0, 2**32),
    pl.UInt64: (0, 2**64),
}


def held(name: str, value: Any, dtype: pl.DataType) -> Any:
    """Return a value as its column gives it back, e.g. a date in a Datetime column as a datetime.

    Raises ``TypeError`` naming the column and both types if the column cannot hold it.
    """
    kind, declared = type(value), type(dtype)
    if value is None or kind is _PLAIN.get(declared):
        return value
    if declared in _WHOLE and kind is int:
        low, above = _WHOLE[declared]
        if low <= value < above:
            return value
    elif kind is datetime and _is_held_as_it_is(value, dtype):
        return value
    elif kind is not bool or declared is pl.Boolean:
        try:
            return pl.Series([value], dtype=dtype, strict=True).to_list()[0]
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            pass
    raise TypeError(f"column {name!r} is declared {dtype}, got {kind.__name__} {value!r}")


def _is_held_as_it_is(value: datetime, dtype: pl.DataType) -> bool:
    return dtype == pl.Datetime("us") and value.tzinfo is None
