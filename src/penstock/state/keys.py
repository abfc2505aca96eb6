"""Batches of keys, made canonical and hashed.

NULL equals NULL, NaN equals NaN, -0.0 equals 0.0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.state.arrays import Hashes, Ids, Mask
from penstock.state.columns import Column, ColumnStore, FixedColumn
from penstock.state.hashing import Physical, bits, canonical, hash_columns, mixed
from penstock.state.physical import physical_type

_SALT = np.uint64(0x94D049BB133111EB)  # an odd number: the third of splitmix64


@dataclass(slots=True)
class KeyBatch:
    """Keys of one call: per column either physical values and validity, or a Series."""

    height: int
    columns: list[Physical | pl.Series]
    hashes: Hashes


def read(keys: pl.DataFrame, schema: pl.Schema) -> KeyBatch:
    """Make the keys in ``keys`` canonical and hash them."""
    columns: list[Physical | pl.Series] = []
    for name, dtype in schema.items():
        series = keys.get_column(name)
        columns.append(canonical(series, dtype) if physical_type(dtype) else series)
    return KeyBatch(keys.height, columns, hash_columns(keys.height, columns))


def stored_hashes(store: ColumnStore, slots: Ids) -> Hashes:
    """Return the hashes of stored keys, whose columns are all of fixed width."""
    return hash_columns(len(slots), [*store.physical_columns(slots)])


def leaders(hashes: Hashes) -> Ids:
    """Return for each row the index of the first row with the same hash.

    Scatters the rows into a scratch table, rehashing those that met another hash there, which is
    several times faster than sorting.
    """
    count = len(hashes)
    result = np.arange(count)
    if count < 2:
        return result
    width = max(4, (2 * count - 1).bit_length())
    scratch = np.empty(1 << width, np.int64)
    shift = np.uint64(64 - width)
    rest, salted = result.copy(), hashes
    while True:
        places = (salted >> shift).view(np.int64)
        scratch[places[::-1]] = rest[::-1]  # the last write wins: the first row
        winners = scratch[places]
        same = hashes[winners] == hashes[rest]
        result[rest[same]] = winners[same]
        if same.all():
            return result
        rest = rest[~same]
        salted = mixed(salted[~same] + _SALT)


def same_in_batch(batch: KeyBatch, left: Ids, right: Ids) -> Mask:
    """Compare rows ``left`` with rows ``right`` of one batch, null-safe."""
    return same_in_batches(batch, left, batch, right)


def same_in_batches(one: KeyBatch, left: Ids, two: KeyBatch, right: Ids) -> Mask:
    """Compare rows ``left`` of one batch with rows ``right`` of another one, null-safe."""
    equal = np.ones(len(left), np.bool_)
    for column, other in zip(one.columns, two.columns, strict=True):
        if isinstance(column, pl.Series):
            assert isinstance(other, pl.Series)
            equal &= _same_values(column[left], other[right])
        else:
            assert not isinstance(other, pl.Series)
            values, valid = column
            others, known = other
            equal &= bits(values)[left] == bits(others)[right]
            if valid is not None or known is not None:
                equal &= _valid(valid, left) == _valid(known, right)
    return equal


def _valid(valid: Mask | None, rows: Ids) -> Mask:
    return np.ones(len(rows), np.bool_) if valid is None else valid[rows]


def same_as_stored(store: ColumnStore, slots: Ids, batch: KeyBatch, rows: Ids | None) -> Mask:
    """Compare the stored keys of ``slots`` with ``rows`` (None: all) of the batch, null-safe."""
    equal: Mask | None = None
    for stored, column in zip(store.columns, batch.columns, strict=True):
        now = _same_column(stored, slots, column, rows)
        equal = now if equal is None else equal & now
    return np.ones(len(slots), np.bool_) if equal is None else equal


def _same_column(
    stored: Column, slots: Ids, column: Physical | pl.Series, rows: Ids | None
) -> Mask:
    if not isinstance(stored, FixedColumn):
        assert isinstance(column, pl.Series)
        return _same_values(stored.get(slots), column if rows is None else column[rows])
    assert not isinstance(column, pl.Series)
    values, valid = column
    kept, kept_valid = stored.physical(slots)
    if rows is not None:
        values = values[rows]
        valid = None if valid is None else valid[rows]
    equal: Mask = bits(kept) == bits(values)
    if valid is None and kept_valid is None:
        return equal
    given = np.True_ if valid is None else valid
    known = np.True_ if kept_valid is None else kept_valid
    agreed: Mask = equal & (given == known)
    return agreed


def _same_values(left: pl.Series, right: pl.Series) -> Mask:
    simple = left.dtype in (pl.String, pl.Binary)
    if simple and not left.null_count() and not right.null_count():
        same: Mask = (left == right).to_numpy()  # 5 us; eq_missing builds a query and takes 50
    else:
        same = left.eq_missing(right).to_numpy()
    return same


def write(store: ColumnStore, slots: Ids, batch: KeyBatch, rows: Ids | None) -> None:
    """Store ``rows`` (None: all) of the batch under ``slots``."""
    for stored, column in zip(store.columns, batch.columns, strict=True):
        if not isinstance(stored, FixedColumn):
            assert isinstance(column, pl.Series)
            stored.set(slots, column if rows is None else column[rows])
        else:
            assert not isinstance(column, pl.Series)
            values, valid = column
            if rows is not None:
                values = values[rows]
                valid = None if valid is None else valid[rows]
            stored.set_physical(slots, values, valid)
