"""The key hash against a plain Python version of its definition."""

from __future__ import annotations

import math
import struct

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import ConfigError
from penstock.topics.partitioning import hash_column, partition_of

MASK = 2**64 - 1
C1, C2 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F


def reference(key: bytes, seed: int = 0) -> int:
    state = (len(key) * C1 & MASK) ^ seed
    for start in range(0, len(key), 8):
        word = int.from_bytes(key[start : start + 8].ljust(8, b"\0"), "little")
        state ^= word * C1 & MASK
        state = ((state << 29 | state >> 35) & MASK) * C2 & MASK
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
    return state ^ state >> 31


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=20))
def test_bytes(keys: list[bytes | None]) -> None:
    expected = [reference(key or b"") for key in keys]
    assert hash_column(pl.Series(keys, dtype=pl.Binary)).tolist() == expected


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.text(max_size=20), max_size=10))
def test_text_is_its_utf8(keys: list[str]) -> None:
    expected = [reference(key.encode()) for key in keys]
    assert hash_column(pl.Series(keys, dtype=pl.String)).tolist() == expected


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=10))
def test_integers_are_one_word(keys: list[int]) -> None:
    expected = [reference(struct.pack("<q", key)) for key in keys]
    assert hash_column(pl.Series(keys, dtype=pl.Int64)).tolist() == expected


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.floats(), max_size=10))
def test_floats_are_canonical(keys: list[float]) -> None:
    canonical = [float("nan") if math.isnan(key) else key + 0.0 for key in keys]
    expected = [reference(np.float64(key).tobytes()) for key in canonical]
    assert hash_column(pl.Series(keys, dtype=pl.Float64)).tolist() == expected


def test_values_that_must_never_change() -> None:
    """Topics on disk hold records placed by these numbers."""
    assert hash_column(pl.Series([b"", b"a", b"user-12345"])).tolist() == [
        0x0,
        0xEBBCEB7CAFD2104D,
        0x777AF3EB167D24E7,
    ]
    keys = pl.Series("key", [f"user-{n}".encode() for n in range(8)]).to_frame()
    numbers, _ = partition_of(keys, ["key"], 4)
    assert numbers.tolist() == [1, 2, 0, 0, 0, 0, 0, 0]


def test_widths_and_types_of_one_value_agree() -> None:
    small = pl.Series([7, 100], dtype=pl.Int8)
    for dtype in (pl.Int16, pl.UInt8, pl.UInt32, pl.Int64, pl.UInt64):
        assert hash_column(small.cast(dtype)).tolist() == hash_column(small).tolist()


def test_several_columns_are_chained_and_order_counts() -> None:
    frame = pl.DataFrame({"a": ["x", "y", None], "b": ["y", "x", None]})
    chained = hash_column(frame["b"], hash_column(frame["a"]))
    assert chained[0] == reference(b"y", reference(b"x"))
    assert chained[0] != chained[1]
    _, keyless = partition_of(frame, ["a", "b"], 4)
    assert keyless.tolist() == [False, False, True]


def test_keys_spread_evenly() -> None:
    keys = pl.select(key=pl.int_range(100_000).cast(pl.String))
    numbers, _ = partition_of(keys, ["key"], 7)
    counts = np.bincount(numbers, minlength=7)
    assert counts.min() > 0.97 * 100_000 / 7


def test_nested_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be of type List"):
        hash_column(pl.Series("k", [[1]]))
