"""The hash of texts: what it is, told in plain Python, and that it spreads the keys that are common."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import TYPES, frame_of, grouped

from penstock.state import hashing
from penstock.state.hashing import hash_text, hash_values

_WRAP = (1 << 64) - 1
_GOLDEN, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9


def mixed(value: int) -> int:
    value = (value ^ value >> 32) * _GOLDEN & _WRAP
    value = (value ^ value >> 29) * _SECOND & _WRAP
    return value ^ value >> 32


ODD = [mixed(n * _GOLDEN & _WRAP) | 1 for n in range(1, 35)]


def word(data: bytes, at: int) -> int:
    number = int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little")
    return number ^ number >> 29


def summed(data: bytes, at: int, count: int) -> int:
    return sum(word(data, at + 8 * i) * ODD[i] for i in range(count))


def expected(data: bytes) -> int:
    """Hash one value as the module's words describe it."""
    size = len(data)
    view = size | int.from_bytes(data[:4], "little") << 32
    total = (view ^ view >> 29) * ODD[-2]
    if size <= 12:
        total += word(data[4:], 0) * ODD[-1]
    elif size <= 256:
        total += summed(data, size - size // 8 * 8, size // 8)
        total += word(data, 0) * ODD[-1] if size % 8 > 4 else 0
    else:
        blocks = (size - 1) // 256
        rest = -(-(size - 256 * blocks) // 8)
        total += summed(data, size - 8 * rest, rest)
        for n in range(blocks):
            total += mixed((summed(data, 256 * n, 32) + (n + 1) * _SECOND) & _WRAP)
    total &= _WRAP
    total = (total ^ total >> 32) * _GOLDEN & _WRAP
    return total ^ total >> 29


LENGTHS = [*range(34), 63, 64, 65, 120, 127, *range(247, 266), 300, 511, 512, 513, 520, 1000]


@given(data=st.data())
@settings(max_examples=30)
def test_each_value_is_hashed_by_its_own_bytes(data: st.DataObject) -> None:
    """Whatever stands beside it, in how many chunks, in slices, with nulls between."""
    sizes = data.draw(st.lists(st.none() | st.sampled_from(LENGTHS), max_size=12))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    values = [None if n is None else rng.bytes(n) for n in sizes]
    cut = data.draw(st.integers(0, len(values)))
    series = pl.concat(
        [pl.Series(values[:cut], dtype=pl.Binary), pl.Series(values[cut:], dtype=pl.Binary)],
        rechunk=data.draw(st.booleans()),
    )
    begin = data.draw(st.integers(0, len(values)))
    null = int(hash_values(pl.Series([None], dtype=pl.Null))[0])
    wanted = [null if v is None else expected(v) for v in values]
    assert hash_values(series[begin:]).tolist() == wanted[begin:]


def test_many_values_are_hashed_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = [rng.bytes(size) for size in LENGTHS for _ in range(3)]
    whole = hash_text(pl.Series(values))
    monkeypatch.setattr(hashing, "_SLAB", 7)
    monkeypatch.setattr(hashing, "_SLAB_WORDS", 64)
    assert whole.tolist() == hash_text(pl.Series(values)).tolist() == [expected(v) for v in values]


@given(data=st.data(), drawn=st.sampled_from(TYPES))
def test_equal_keys_have_equal_hashes_and_others_have_not(
    data: st.DataObject, drawn: object
) -> None:
    dtype, values = drawn  # type: ignore[misc]
    rows = data.draw(st.lists(st.tuples(st.none() | values), min_size=1, max_size=8))
    frame = frame_of(rows, pl.Schema({"k": dtype}))
    by_key: dict[object, int] = {}
    for key, value in zip(
        map(grouped, frame.rows()), hash_values(frame["k"]).tolist(), strict=True
    ):
        assert by_key.setdefault(key, value) == value
    assert len(set(by_key.values())) == len(by_key)


NUMBERS = pl.int_range(50_000, eager=True).cast(pl.String)
KINDS = {
    "numbers": pl.lit(NUMBERS),
    "8 bytes": pl.lit(NUMBERS).str.zfill(8),
    "20 bytes": pl.lit(NUMBERS).str.zfill(20),
    "URLs": pl.format("https://shop.example/items/{}?ref=front", pl.lit(NUMBERS)),
    "the same end": pl.format("{}, which is followed by the same words", pl.lit(NUMBERS)),
    "repeated each 8 bytes": pl.concat_str([pl.lit(NUMBERS).str.zfill(8)] * 5),
    "repeated each 4 bytes": pl.concat_str([pl.lit(NUMBERS).str.zfill(8).str.slice(4)] * 10),
}


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_look_alike_are_spread(kind: str) -> None:
    """As by chance: of 50,000 keys none share 64 bits, and hardly any 32."""
    keys = pl.select(KINDS[kind].alias("k"))["k"].unique()
    found = hash_text(keys)
    assert len(np.unique(found)) == len(keys)
    for half in (found & np.uint64(0xFFFFFFFF), found >> np.uint64(32)):
        assert len(keys) - len(np.unique(half)) <= 5


@pytest.mark.parametrize("size", [5, 12, 13, 20, 80, 300])
def test_each_bit_of_a_key_changes_half_of_the_hash(size: int) -> None:
    rng = np.random.default_rng(size)
    keys = rng.integers(0, 256, (300, size), dtype=np.uint8)
    before = hash_text(pl.Series([key.tobytes() for key in keys]))
    for bit in rng.choice(8 * size, 25, replace=False).tolist():
        changed = keys.copy()
        changed[:, bit // 8] ^= 1 << bit % 8
        after = hash_text(pl.Series([key.tobytes() for key in changed]))
        flipped = np.unpackbits((before ^ after).view(np.uint8)).reshape(300, 64).mean(axis=0)
        assert flipped.min() > 0.3
        assert flipped.max() < 0.7
