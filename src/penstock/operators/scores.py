"""Scores: a column as integers that sort as its values do."""

from __future__ import annotations

import numpy as np
import polars as pl

from penstock.state.arrays import Ids

WORST = 2**63 - 1
BEST = -(2**63)
_ALMOST = 2
_USABLE_BITS = 63
_SIGN = np.uint64(1 << 63)


def is_exact(values: Ids) -> np.ndarray:
    """Tell which scores stand for one value only; those at the ends are shared with null."""
    exact: np.ndarray = (values > BEST + _ALMOST) & (values < WORST - _ALMOST)
    return exact


def has_scores(dtype: pl.DataType) -> bool:
    """Tell whether the values of a type fit into a score."""
    if isinstance(dtype, (pl.Int128, pl.UInt128, pl.Decimal, pl.Categorical)):
        return False
    return dtype.is_numeric() or dtype.is_temporal() or isinstance(dtype, (pl.Boolean, pl.Enum))


def scores(series: pl.Series, *, descending: bool, nulls_last: bool) -> Ids:
    """Return one Int64 a value, the first in order having the least.

    ``3, null, 7`` descending, nulls last -> ``~3, WORST, ~7``; NaN is above all numbers, as in
    Polars. Values next to the ends of Int64 are moved a little to leave them to null.
    """
    nulls = series.is_null()
    physical = series.to_physical()
    if physical.dtype.is_float():
        values = _of_floats(physical.cast(pl.Float64).fill_null(0.0).to_numpy())
    elif physical.dtype == pl.UInt64:
        values = (physical.fill_null(0).to_numpy() ^ _SIGN).view(np.int64)
    else:
        values = physical.cast(pl.Int64).fill_null(0).to_numpy()
    values = ~values if descending else values
    values = np.clip(values, BEST + 1, WORST - 1)
    if nulls.any():
        values = np.where(nulls.to_numpy(), WORST if nulls_last else BEST, values)
    return values


def packed_order(groups: Ids, values: Ids) -> Ids | None:
    """Return the positions by group, then by value, then as they are; None if they need too much.

    Group, value and position are put into one integer where they fit: sorting 90,000 of these takes
    1 ms, sorting by several columns 13.
    """
    if not len(groups):
        return np.empty(0, dtype=np.int64)
    least = int(values.min())
    value_bits = (int(values.max()) - least).bit_length()
    place_bits = (len(groups) - 1).bit_length()
    if int(groups.max()).bit_length() + value_bits + place_bits > _USABLE_BITS:
        return None
    packed = (groups << value_bits) | (values - least)
    packed = (packed << place_bits) | np.arange(len(groups))
    packed.sort()
    order: Ids = packed & ((1 << place_bits) - 1)
    return order


def _of_floats(values: np.ndarray) -> Ids:
    """Order the bits of floats: those of negative ones the other way round."""
    canonical = np.where(np.isnan(values), np.nan, values + 0.0)
    bits: Ids = canonical.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(WORST), bits)
