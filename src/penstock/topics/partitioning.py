"""Which partition a key belongs to: a hash of its bytes that no version of any library changes.

The key is cut into 64-bit little-endian words, the last one filled up with zero bytes::

    h = len(key) * C1                     (all modulo 2**64)
    h = rotl(h ^ (word * C1), 29) * C2    for every word
    h = finish(h)                         (the finaliser of splitmix64)
    partition = (h >> 32) * partitions >> 32

Text is hashed by its UTF-8 bytes; integers, dates, times, booleans and floats (with -0.0 as 0.0
and one NaN) as one word of 8 bytes; any other type by its cast to text. Several columns are
chained: the hash of one is XORed into the start of the next. A null key has no partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from penstock.deferred import numpy as np
from penstock.errors import ConfigError

if TYPE_CHECKING:
    import numpy.typing as npt

    _U64 = npt.NDArray[np.uint64]

_C1 = 0x9E3779B97F4A7C15
_C2 = 0xC2B2AE3D27D4EB4F
_F1 = 0xBF58476D1CE4E5B9
_F2 = 0x94D049BB133111EB
_WORD = 8

_KEY = pl.col("key").fill_null(b"")


def hash_column(column: pl.Series, seed: _U64 | None = None) -> _U64:
    """Hash every value of ``column``; nulls get an arbitrary value that is the same each time."""
    dtype = column.dtype
    if dtype == pl.String:
        column = column.cast(pl.Binary)
    elif dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128):
        return _hash_words(_integer_words(column), seed)
    elif dtype.is_float():
        return _hash_words(_float_words(column), seed)
    elif dtype == pl.Boolean or (dtype.is_temporal()):
        return _hash_words(_integer_words(column.to_physical().cast(pl.Int64)), seed)
    elif dtype.is_nested():
        raise ConfigError(f"a key cannot be of type {dtype}", value=column.name)
    elif dtype != pl.Binary:
        column = column.cast(pl.String).cast(pl.Binary)
    return _hash_bytes(column, seed)


def partition_of(
    frame: pl.DataFrame, keys: Sequence[str], partitions: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the partition of each row by its key columns, and which rows have no key at all."""
    hashes: _U64 | None = None
    keyless = np.ones(frame.height, dtype=np.bool_)
    for name in keys:
        column = frame[name]
        keyless &= column.is_null().to_numpy() if column.null_count() else False
        hashes = hash_column(column, hashes)
    if hashes is None:
        raise ConfigError("no key columns were given")
    high = hashes >> np.uint64(32)
    return ((high * np.uint64(partitions)) >> np.uint64(32)).astype(np.int64), keyless


def _integer_words(column: pl.Series) -> _U64:
    signed = column.dtype != pl.UInt64
    words = column.fill_null(0).cast(pl.Int64 if signed else pl.UInt64).to_numpy()
    return words.astype(np.int64).view(np.uint64) if signed else words.astype(np.uint64)


def _float_words(column: pl.Series) -> _U64:
    values = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0  # -0.0 + 0.0 is 0.0
    return np.where(np.isnan(values), np.nan, values).view(np.uint64)


def _hash_words(words: _U64, seed: _U64 | None) -> _U64:
    state = np.full(len(words), _WORD, dtype=np.uint64) * _C1
    return _finish(_mix(state if seed is None else state ^ seed, words))


def _hash_bytes(column: pl.Series, seed: _U64 | None) -> _U64:
    keys = column.alias("key").to_frame()
    first = keys.select(size=_KEY.bin.size().cast(pl.UInt64), word=_word_at(0))
    sizes = first["size"].to_numpy()
    state = sizes * _C1
    if seed is not None:
        state ^= seed
    longest = int(sizes.max()) if len(sizes) else 0
    state = np.where(sizes > 0, _mix(state, first["word"].to_numpy()), state)
    rows = np.arange(len(sizes))
    for start in range(_WORD, longest, _WORD):  # only rows that reach this far take part
        keep = sizes[rows] > start
        rows, keys = rows[keep], keys.filter(pl.Series(keep))
        state[rows] = _mix(state[rows], keys.select(_word_at(start)).to_series().to_numpy())
    return _finish(state)


def _word_at(start: int) -> pl.Expr:
    word = (_KEY.bin.slice(start, _WORD) + pl.lit(bytes(_WORD))).bin.slice(0, _WORD)
    return word.bin.reinterpret(dtype=pl.UInt64, endianness="little")


def _mix(state: _U64, words: _U64) -> _U64:
    mixed = state ^ (words * _C1)
    return ((mixed << np.uint64(29)) | (mixed >> np.uint64(35))) * _C2


def _finish(state: _U64) -> _U64:
    state = (state ^ (state >> np.uint64(30))) * _F1
    state = (state ^ (state >> np.uint64(27))) * _F2
    return state ^ (state >> np.uint64(31))
