"""Groups and values packed into words are those that a group_by finds."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.seen import packed_distinct

WIDTH = 3
TYPES: dict[type[pl.DataType], tuple[int, int]] = {
    pl.Int8: (-128, 127),
    pl.UInt8: (0, 255),
    pl.Int64: (-(2**63), 2**63 - 1),
    pl.UInt64: (0, 2**64 - 1),
    pl.Int32: (-(2**31), 2**31 - 1),
}


def expected(slots: list[int], values: pl.Series, bits: list[int]) -> dict[tuple[int, object], int]:
    found: dict[tuple[int, object], int] = {}
    for slot, value, bit in zip(slots, values.to_list(), bits, strict=True):
        found[slot, value] = found.get((slot, value), 0) | bit
    return found


@given(st.data(), st.sampled_from(list(TYPES)), st.integers(0, 40))
def test_values_of_whole_numbers(data: st.DataObject, dtype: type[pl.DataType], reach: int) -> None:
    lowest, highest = TYPES[dtype]
    begin = data.draw(st.integers(lowest, highest))
    value = st.integers(begin, min(begin + (1 << reach), highest))
    row = st.tuples(st.integers(0, 2**20 - 1), value, st.integers(1, 2**WIDTH - 1))
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    rows += rows[: data.draw(st.integers(0, 5))]
    slots, bits = [r[0] for r in rows], [r[2] for r in rows]
    values = pl.Series([r[1] for r in rows], dtype=dtype)
    found = packed_distinct(np.array(slots), values, np.array(bits, np.uint8), WIDTH)
    assert found is not None
    keys, together = found
    assert keys.dtypes == [pl.UInt32(), dtype()]
    assert dict(zip(keys.rows(), together.tolist(), strict=True)) == expected(slots, values, bits)


def test_instants_and_booleans() -> None:
    slots, bits = [1, 2, 1], [1, 2, 4]
    for values in (
        pl.Series([datetime(1960, 1, 1), datetime(2020, 1, 1), datetime(1960, 1, 1)]),
        pl.Series([True, False, True]),
    ):
        found = packed_distinct(np.array(slots), values, np.array(bits, np.uint8), WIDTH)
        assert found is not None
        of_rows = dict(zip(found[0].rows(), found[1].tolist(), strict=True))
        assert of_rows == expected(slots, values, bits)


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([-(2**63), 2**63 - 1]),  # too far apart
        pl.Series([1, None]),
        pl.Series([1.0, 2.0]),
        pl.Series(["a", "b"]),
        pl.Series([], dtype=pl.Int64),
    ],
)
def test_what_does_not_fit_is_left_to_a_query(values: pl.Series) -> None:
    slots = np.zeros(len(values), np.int64)
    assert packed_distinct(slots, values, np.ones(len(values), np.uint8), WIDTH) is None
