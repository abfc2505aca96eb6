"""The hash of keys, scheme ``penstock-2``: by our own arithmetic, whatever the version of Polars.

Numbers are mixed as splitmix64 does (Steele, Lea, Flood 2014). Text and binary values are hashed by
words of 8 bytes, all rows at once: each word w counts as (w ^ w >> 29) times an odd number of its
place, modulo 2^64 (multilinear hashing: Carter and Wegman 1979; the shift brings the high bits of
a word to bear on the low bits of the sum). Values of more than 256 bytes are hashed in blocks.
Lists, arrays and structs combine the hashes of what is in them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import Hashes, Ids, Mask
from penstock.state.buffers import INLINE, Views, pairs_of, views_of
from penstock.state.physical import physical_type, to_numpy

HASH_SCHEME = "penstock-2"
"""Name of the way keys are hashed, recorded in checkpoints.

Nothing that is stored depends on it: an index is built from its keys whenever it is loaded. Whoever
changes any hash gives it another name.
"""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, as in splitmix64
_SECOND = np.uint64(0xBF58476D1CE4E5B9)
_NULL = np.uint64(0x94D049BB133111EB)
_SHIFT = np.uint64(32)
_SHIFT_LESS = np.uint64(29)

_BITS: dict[int, npt.DTypeLike] = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

Physical = tuple[npt.NDArray[Any], Mask | None]

_WIDE = (pl.Decimal, pl.Int128, pl.UInt128)
_SLAB = 1 << 15  # rows at a time
_SLAB_WORDS = 1 << 15  # words at a time: what is made of them stays in the processor's cache
_PREFIX = 4  # bytes of a long value that are in its view
_WORD = 8
_WORD_BITS = 3
_BLOCK = 32  # words of a block
_BLOCK_BYTES = _BLOCK * _WORD
_MATRIX_FROM = 4  # words from which a product with a matrix is faster than one column at a time


def bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the bit patterns of ``values`` as unsigned integers, without a copy."""
    return values.view(_BITS[values.itemsize])


def canonical(series: pl.Series, dtype: pl.DataType) -> Physical:
    """Return the physical values of a fixed-width column with one NaN and one zero."""
    values, valid = to_numpy(series, dtype)
    if values.dtype.kind == "f":
        values = values + values.dtype.type(0)  # -0.0 + 0.0 is 0.0
        odd = np.isnan(values)
        if odd.any():
            values[odd] = np.nan
    return values, valid


def mixed(value: Hashes) -> Hashes:
    """Return numbers of which each bit depends on each bit of ``value``; no two become one."""
    value = (value ^ (value >> _SHIFT)) * _MULTIPLIER
    value = (value ^ (value >> _SHIFT_LESS)) * _SECOND
    return value ^ (value >> _SHIFT)


_NULL_HASH = mixed(np.array([_NULL]))[0]
_ODD = mixed(np.arange(1, _BLOCK + 3, dtype=np.uint64) * _MULTIPLIER) | np.uint64(1)
"""Multipliers of the words of a block, and then of the two words of a view."""
_FIRST, _LAST = _ODD[-2], _ODD[-1]


def hash_columns(height: int, columns: list[Physical | pl.Series]) -> Hashes:
    """Hash rows of canonical columns, together."""
    result: Hashes | None = None
    for column in columns:
        if isinstance(column, pl.Series):
            one = hash_values(column)
            result = one if result is None else mixed(one ^ (result * _MULTIPLIER))
        else:
            wide = _widened(*column)
            result = mixed(wide if result is None else wide ^ (result * _MULTIPLIER))
    return np.zeros(height, np.uint64) if result is None else result


def _widened(values: npt.NDArray[Any], valid: Mask | None) -> Hashes:
    wide = bits(values)
    if wide.dtype != np.uint64:
        wide = wide.astype(np.uint64)
    return wide if valid is None else np.where(valid, wide, _NULL)


def hash_values(series: pl.Series) -> Hashes:
    """Hash the values of a column of any type; those that are equal as keys have equal hashes."""
    dtype = series.dtype
    if physical_type(dtype):
        return mixed(_widened(*canonical(series, dtype)))
    if dtype == pl.Float16:
        return hash_values(series.cast(pl.Float32))
    result = _without_nulls(series, dtype)
    if series.null_count():
        result[series.is_null().to_numpy()] = _NULL_HASH
    return result


def _without_nulls(series: pl.Series, dtype: pl.DataType) -> Hashes:
    if isinstance(dtype, pl.List):
        return _hash_lists(series)
    if isinstance(dtype, pl.Array):
        return _hash_lists(series.arr.to_list())
    if isinstance(dtype, pl.Struct):
        return _hash_structs(series, dtype)
    if isinstance(dtype, pl.Null):
        return np.full(len(series), _NULL_HASH)
    if isinstance(dtype, _WIDE):
        return _hash_pairs(pairs_of(series))
    if isinstance(dtype, (pl.Categorical, pl.Enum)):  # their numbers differ between processes
        series = series.cast(pl.String)
    return hash_text(series)


def _hash_pairs(pairs: Hashes) -> Hashes:
    return _finished(_spread(pairs[:, 0]) * _FIRST + _spread(pairs[:, 1]) * _LAST)


def _hash_structs(series: pl.Series, dtype: pl.Struct) -> Hashes:
    result = np.full(len(series), _MULTIPLIER)
    for field in dtype.fields:
        result = mixed(hash_values(series.struct.field(field.name)) ^ (result * _MULTIPLIER))
    return result


def _hash_lists(series: pl.Series) -> Hashes:
    lengths = series.list.len().fill_null(0).to_numpy().astype(np.int64)
    filled = np.flatnonzero(lengths)
    counts = lengths[filled]
    result = lengths.astype(np.uint64) * _MULTIPLIER
    if len(filled):
        within = (_places_within(counts) + 1).view(np.uint64)
        items = mixed(hash_values(series[filled].explode()) + within * _MULTIPLIER)
        result[filled] += np.add.reduceat(items, _starts(counts))
    return mixed(result)


def _starts(counts: Ids) -> Ids:
    return np.cumsum(counts) - counts


def _places_within(counts: Ids) -> Ids:
    """``[2, 3]  ->  [0, 1, 0, 1, 2]``."""
    return np.arange(int(counts.sum())) - np.repeat(_starts(counts), counts)


def hash_text(series: pl.Series) -> Hashes:
    """Hash the bytes of a text or binary column; null ones as if they were empty."""
    parts = [_hash_chunk(views) for views in views_of(series)]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _hash_chunk(views: Views) -> Hashes:
    count = len(views.first)
    if count <= _SLAB:
        return _hash_slab(views)
    begins = range(0, count, _SLAB)
    return np.concatenate([_hash_slab(views.part(slice(at, at + _SLAB))) for at in begins])


def _hash_slab(views: Views) -> Hashes:
    total = _spread(views.first)
    total *= _FIRST
    lengths = views.lengths()
    if int(lengths.min()) > INLINE:
        _add_long(total, views, lengths, views.places())
    else:
        rest = _spread(views.second)
        rest *= _LAST
        rows = np.flatnonzero(lengths > INLINE)
        if len(rows):
            rest[rows] = 0
            long = total[rows]
            _add_long(long, views, lengths[rows], views.places()[rows])
            total[rows] = long
        total += rest
    return _finished(total)


def _spread(words: Hashes) -> Hashes:
    result = words >> _SHIFT_LESS
    result ^= words
    return result


def _finished(total: Hashes) -> Hashes:
    total ^= total >> _SHIFT
    total *= _MULTIPLIER
    total ^= total >> _SHIFT_LESS
    return total


def _add_long(total: Hashes, views: Views, lengths: Ids, places: Ids) -> None:
    """Add to ``total`` what the words of values longer than ``INLINE`` give.

    They are taken by their number of words, since those of one number are a matrix. Values longer
    than a block are first cut down to what is behind their whole blocks.
    """
    longest = int(lengths.max())
    if longest > _BLOCK_BYTES:
        rows = np.flatnonzero(lengths > _BLOCK_BYTES)
        blocks = (lengths[rows] - 1) // _BLOCK_BYTES
        total[rows] += _sums_of_blocks(views, places[rows], blocks)
        counts = lengths >> _WORD_BITS
        rest = lengths[rows] - blocks * _BLOCK_BYTES
        counts[rows] = (rest + _WORD - 1) >> _WORD_BITS
        least, most = int(counts.min()), int(counts.max())
    else:
        least, most = int(lengths.min()) >> _WORD_BITS, longest >> _WORD_BITS
        counts = lengths if least == most else lengths >> _WORD_BITS
    if least == most:
        total += _sums(views, places, lengths, least)
        return
    order = np.argsort(counts.astype(np.uint8), kind="stable")
    bounds = np.searchsorted(counts[order], np.arange(least, most + 2)).tolist()
    for count, (begin, end) in enumerate(itertools.pairwise(bounds), least):
        if begin < end:
            rows = order[begin:end]
            total[rows] += _sums(views, places[rows], lengths[rows], count)


def _sums(views: Views, places: Ids, lengths: Ids, count: int) -> Hashes:
    """Return what the ``count`` words up to the end give, and the first word if more is needed.

    That is if more than the four bytes which are in the view lie before them; of values longer than
    a block the blocks do.
    """
    size = count * _WORD
    ends = places + lengths
    ends -= size
    result = _sum_of_words(views, ends, count)
    if int(lengths.max()) > size + _PREFIX:
        rows = np.flatnonzero((lengths > size + _PREFIX) & (lengths <= _BLOCK_BYTES))
        if len(rows):
            firsts = _spread(views.words(places[rows], 1)[:, 0])
            result[rows] += firsts * _LAST
    return result


def _sums_of_blocks(views: Views, places: Ids, counts: Ids) -> Hashes:
    numbers = _places_within(counts)
    begins = np.repeat(places, counts) + numbers * _BLOCK_BYTES
    sums = _sum_of_words(views, begins, _BLOCK)
    sums += (numbers + 1).view(np.uint64) * _SECOND
    result: Hashes = np.add.reduceat(mixed(sums), _starts(counts))
    return result


def _sum_of_words(views: Views, places: Ids, count: int) -> Hashes:
    step = _SLAB_WORDS // count
    sums = [
        _weighed(_spread(views.words(places[at : at + step], count)), count)
        for at in range(0, len(places), step)
    ]
    return np.concatenate(sums) if len(sums) > 1 else sums[0]


def _weighed(words: Hashes, count: int) -> Hashes:
    if count >= _MATRIX_FROM:
        product: Hashes = words @ _ODD[:count]
        return product
    result: Hashes = words[:, 0] * _ODD[0]
    for i in range(1, count):
        result += words[:, i] * _ODD[i]
    return result
