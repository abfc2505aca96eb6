"""Seen: numbers of distinct values in groups whose rows are only ever added, for many filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.operators.grouped_values import GROUP, VALUE, GroupedValues
from penstock.state.arrays import Ids
from penstock.state.physical import physical_type, to_numpy, to_series

FLAGS = "flags"
MOST_FILTERS = 64
"""Filters that share one table: bits of the widest integer."""

_WORD_BITS = 64

Words = npt.NDArray[np.unsignedinteger[Any]]

_WORDS = ((8, pl.UInt8()), (16, pl.UInt16()), (32, pl.UInt32()), (64, pl.UInt64()))


class Seen:
    """For each value of each group a bit a filter: whether a row that it takes had the value.

    ``count(DISTINCT x)`` and ``count(DISTINCT x) FILTER (WHERE p)`` over the same ``x`` look up a
    value once, and keep it once. Four such counts of a column in 10,000 groups take 11 to 12 ms of
    processor time for 60,000 rows.
    """

    def __init__(
        self, value: pl.Expr, dtype: pl.DataType, filters: Sequence[pl.Expr | None]
    ) -> None:
        self._word = next(word for bits, word in _WORDS if len(filters) <= bits)
        self._value, self._filters = value, filters
        self._flags = self._bits(filters)
        self.values = GroupedValues(pl.UInt32(), dtype, pl.Schema({FLAGS: self._word}))

    def _bits(self, filters: Sequence[pl.Expr | None]) -> pl.Expr:
        """Return the expression of the bits of the filters that take a row."""
        bits = []
        for number, taken in enumerate(filters):
            bit, none = pl.lit(1 << number, self._word), pl.lit(0, self._word)
            bits.append(bit if taken is None else pl.when(taken).then(bit).otherwise(none))
        first, *others = bits
        for bit in others:
            first = first | bit
        return first.alias(FLAGS)

    def add(self, rows: pl.DataFrame, slots: Ids, groups: Ids) -> list[Ids]:
        """Take in rows, each of the group ``slots``; return a count of new values by filter.

        Each count has a number for each of ``groups``, ascending.
        """
        terms = rows.select(self._value.alias(VALUE), self._flags)
        keys, bits = self._distinct(slots, terms[VALUE], terms[FLAGS].to_numpy())
        if not keys.height:
            return [np.zeros(len(groups), dtype=np.int64) for _ in self._filters]
        fresh = self._note(keys, bits)
        place = np.empty(int(groups[-1]) + 1, dtype=np.int64)
        place[groups] = np.arange(len(groups))
        places = place[keys[GROUP].to_numpy()]
        return [
            np.bincount(places[(fresh & (1 << number)) != 0], minlength=len(groups))
            for number in range(len(self._filters))
        ]

    def _distinct(self, slots: Ids, values: pl.Series, bits: Words) -> tuple[pl.DataFrame, Words]:
        """Return group and value of the rows that a filter takes, once each, and all their bits."""
        taken = bits != 0
        if not taken.all():
            slots, values, bits = slots[taken], values.filter(pl.Series(taken)), bits[taken]
        found = packed_distinct(slots, values, bits, len(self._filters))
        if found is not None:
            return found
        group = pl.Series(GROUP, slots.astype(np.uint32))
        terms = pl.DataFrame([group, values, pl.Series(FLAGS, bits)])
        terms = terms.group_by(GROUP, VALUE).agg(FLAGS)
        return terms.select(GROUP, VALUE), _together(terms[FLAGS])

    def _note(self, keys: pl.DataFrame, bits: Words) -> Words:
        """Set bits of values (unique) of groups; return those of them that were not set."""
        table = self.values.table
        entries = table.assign(keys, unique=True)
        known = table.exists(entries)
        old = np.zeros_like(bits)
        before = table.physical(entries[known])
        assert before is not None  # flags are never null
        old[known] = before[0]
        self.values.index(keys[GROUP].to_numpy()[~known].astype(np.int64), entries[~known])
        fresh = bits & ~old
        new = fresh != 0
        if new.any():
            table.set_physical(entries[new], [(old | bits)[new]])
        return fresh


def packed_distinct(
    slots: Ids, values: pl.Series, bits: Words, width: int
) -> tuple[pl.DataFrame, Words] | None:
    """Return each group and value once with all their bits; None where they do not fit one word.

    Group, value and bits of a row are one number of 64 bits if the values lie close enough. Sorting
    60,000 of these takes 0.4 ms of processor time; a ``group_by`` of two columns takes 4.5 ms.
    """
    if not len(values) or values.null_count() or physical_type(values.dtype) is None:
        return None
    physical, _ = to_numpy(values, values.dtype)
    if physical.dtype.kind == "f":
        return None
    lowest = int(physical.min())
    of_value = (int(physical.max()) - lowest).bit_length()
    if int(slots.max()).bit_length() + of_value + width > _WORD_BITS:
        return None
    signed = physical.dtype.kind == "i"
    above = physical.astype(np.int64 if signed else np.uint64).view(np.uint64)
    above = above - np.uint64(lowest % (1 << _WORD_BITS))  # modulo 2^64, as the sum below
    words = (slots.astype(np.uint64) << np.uint64(of_value)) | above
    words = (words << np.uint64(width)) | bits
    words.sort()
    keys = words >> np.uint64(width)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    keys = keys[starts]
    group = (keys >> np.uint64(of_value)).astype(np.uint32)
    found = (keys & np.uint64((1 << of_value) - 1)) + np.uint64(lowest % (1 << _WORD_BITS))
    value = to_series(VALUE, found.astype(physical.dtype), None, values.dtype)
    mask = np.uint64((1 << width) - 1)
    together = np.bitwise_or.reduceat(words & mask, starts).astype(bits.dtype)
    return pl.DataFrame([pl.Series(GROUP, group), value]), together


def _together(lists: pl.Series) -> Words:
    """Combine the words of each list; twice as fast as ``bitwise_or`` in the ``group_by``."""
    lengths = lists.list.len().to_numpy().astype(np.int64)
    return np.bitwise_or.reduceat(lists.explode().to_numpy(), np.cumsum(lengths) - lengths)
