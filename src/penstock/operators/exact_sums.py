"""Exact sums of floats, in whole numbers: order does not matter, and a deletion cancels.

A finite double is ``m * 2**e`` with a whole ``m`` below ``2**53``. Exponents are put in bins of 32,
``e = 32 * bin + r``, and ``m * 2**r`` (below ``2**84``) is added to the sum of the bin in 128 bits,
which leaves room for ``2**43`` terms. The sums of the bins are digits of one long number; it is
rounded once, at the end. (The idea: Neal, "Fast exact summation using small and large
superaccumulators", arXiv:1505.05571.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.operators.grouped_values import VALUE
from penstock.operators.tallies import AMOUNT

BIN = pl.Int16()
WIDE = pl.Int128()

_BITS = 32
_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MANTISSA = 53
_CARRY_DIGITS = 4
"""Digits above the highest bin: a 128-bit sum has no more of them."""
_CHUNK = 65_536
"""Groups rounded together: bounds the memory of their digits, 560 bytes each at the most."""

Digits = npt.NDArray[np.uint64]


def terms(values: pl.Series, weights: pl.Series) -> pl.DataFrame:
    """Return bin and term of each finite double times its weight, as ``VALUE`` and ``AMOUNT``."""
    mantissas, exponents = np.frexp(values.to_numpy())
    whole = pl.Series((mantissas * 2.0**_MANTISSA).astype(np.int64))
    exponents = exponents.astype(np.int64) - _MANTISSA
    shifts = pl.Series(np.int64(1) << (exponents & (_BITS - 1)))
    term = whole.cast(WIDE) * shifts.cast(WIDE) * weights.cast(WIDE)
    return pl.DataFrame(
        {VALUE: pl.Series(exponents >> 5).cast(BIN), AMOUNT: term},
        schema={VALUE: BIN, AMOUNT: WIDE},
    )


def totals(positions: np.ndarray, bins: pl.DataFrame, count: int) -> np.ndarray:
    """Return the correctly rounded sum under each of ``count`` positions (ascending)."""
    result = np.zeros(count)
    if not bins.height:
        return result
    number = bins[VALUE].to_numpy().astype(np.int64)
    low, high = _limbs(bins[AMOUNT])
    for begin in range(0, count, _CHUNK):
        end = min(begin + _CHUNK, count)
        here = slice(*np.searchsorted(positions, [begin, end]))
        if here.stop > here.start:
            rows = positions[here] - begin
            result[begin:end] = _rounded(rows, number[here], low[here], high[here], end - begin)
    return result


def _limbs(amounts: pl.Series) -> tuple[Digits, npt.NDArray[np.int64]]:
    """Split 128-bit numbers into low (unsigned) and high (signed) halves."""
    low = amounts.cast(pl.Int64, wrap_numerical=True)
    above = (amounts - low.cast(WIDE)) // pl.Series([1 << 64], dtype=WIDE)
    signed = low.to_numpy()
    return signed.view(np.uint64), above.cast(pl.Int64).to_numpy() - (signed < 0)


def _rounded(
    rows: np.ndarray, bins: np.ndarray, low: Digits, high: np.ndarray, count: int
) -> np.ndarray:
    lowest = int(bins.min())
    digits, negative = _digits(rows, bins - lowest, low, high, count)
    size = _float_of(_magnitude(digits, negative), lowest)
    return np.where(negative, -size, size)


def _digits(
    rows: np.ndarray, bins: np.ndarray, low: Digits, high: np.ndarray, count: int
) -> tuple[Digits, npt.NDArray[np.bool_]]:
    """Carry from bin to bin; what is left above the last digit is the sign."""
    width = int(bins.max()) + 1
    lows, highs = np.zeros((width, count), np.uint64), np.zeros((width, count), np.int64)
    lows[bins, rows], highs[bins, rows] = low, high
    digits = np.zeros((width + _CARRY_DIGITS, count), np.uint64)
    carry_low, carry_high = np.zeros(count, np.uint64), np.zeros(count, np.int64)
    for place in range(width + _CARRY_DIGITS):
        here_low, here_high = carry_low, carry_high
        if place < width:
            here_low = lows[place] + carry_low
            here_high = highs[place] + carry_high + (here_low < carry_low)
        digits[place] = here_low & _MASK
        carry_low = (here_low >> _HALF) | ((here_high.view(np.uint64) & _MASK) << _HALF)
        carry_high = here_high >> 32
    return digits, carry_high < 0


def _magnitude(digits: Digits, negative: npt.NDArray[np.bool_]) -> Digits:
    """Negate the two's complement of negative numbers."""
    if negative.any():
        digits = np.where(negative, _MASK - digits, digits)
        carry = negative.astype(np.uint64)
        for place in range(len(digits)):
            total = digits[place] + carry
            digits[place], carry = total & _MASK, total >> _HALF
    return digits


def _float_of(digits: Digits, lowest: int) -> np.ndarray:
    """Round long numbers to the nearest double: 64 leading bits, the last of which stands for all
    that follow, are rounded by the conversion."""
    count = digits.shape[1]
    padded: Any = np.concatenate([np.zeros((2, count), np.uint64), digits])
    there = padded != 0
    top = len(padded) - 1 - np.argmax(there[::-1], axis=0)
    top = np.maximum(np.where(there.any(axis=0), top, 2), 2)
    columns = np.arange(count)
    first, second, third = (padded[top - i, columns] for i in range(3))
    rest_below = np.argmax(there, axis=0) < top - 2
    rest_below &= there.any(axis=0)
    spare = (_BITS - np.frexp(first.astype(np.float64))[1]).astype(np.uint64)
    kept = _HALF - spare
    leading = (((first << _HALF) | second) << spare) | (third >> kept)
    rest = third & ((np.uint64(1) << kept) - np.uint64(1))
    leading |= ((rest != 0) | rest_below).astype(np.uint64)
    # ``second`` stands at place top - 3 of the digits, for two were padded and one is above it
    exponent = _BITS * (lowest + top - 3) - spare.astype(np.int64)
    with np.errstate(over="ignore"):
        result: npt.NDArray[np.float64] = np.ldexp(leading.astype(np.float64), exponent)
    return result
