"""The bag of living rows, and counts by slot, against plain Python."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators import bag as module
from penstock.operators.bag import Bag
from penstock.state.tally import Tally
from tests.operators.histories import plain

SCHEMA = pl.Schema({"f": pl.Float64(), "s": pl.String(), "n": pl.List(pl.Int64())})
_ROWS = st.tuples(
    st.sampled_from([None, 0.0, -0.0, float("nan"), 1.5]),
    st.sampled_from([None, "", "x"]),
    st.sampled_from([None, [], [1], [1, None]]),
)
_CHANGES = st.lists(
    st.tuples(st.integers(0, 2), _ROWS, st.sampled_from([1, 1, 2, -1, -2])), max_size=6
)


def _hashable(row: Any) -> Any:
    return tuple(tuple(v) if isinstance(v, list) else v for v in plain(row))


@pytest.mark.parametrize("scan", [10**6, 0])
@given(steps=st.lists(_CHANGES, max_size=6))
def test_holds_what_a_counter_holds(scan: int, steps: list[Any]) -> None:
    """With ``scan`` 0 deletions go by hash, otherwise they look through the slot."""
    before = module._SCAN
    module._SCAN = scan
    try:
        bag, expected = Bag(SCHEMA), Counter[Any]()
        for changes in steps:
            for sign in (-1, 1):
                for slot, row, weight in changes:
                    if weight * sign > 0:
                        key = (slot, _hashable(row))
                        expected[key] = max(0, expected[key] + weight)
            if changes:
                frame = pl.DataFrame([r for _, r, _ in changes], schema=SCHEMA, orient="row")
                slots = np.array([s for s, _, _ in changes], dtype=np.int64)
                bag.apply(slots, frame, np.array([w for _, _, w in changes], dtype=np.int64))
            ids = bag.store.live_ids()
            slots_now = bag.store.slots_of(ids).tolist()
            rows = bag.store.rows(ids).rows()
            found = Counter(
                (slot, _hashable(row)) for slot, row in zip(slots_now, rows, strict=True)
            )
            assert found == +expected
    finally:
        module._SCAN = before


def test_the_latest_of_equal_rows_is_removed() -> None:
    bag = Bag(pl.Schema({"v": pl.Int64()}))
    bag.apply(np.zeros(4, np.int64), pl.DataFrame({"v": [1, 2, 1, 3]}), None)
    bag.apply(np.zeros(1, np.int64), pl.DataFrame({"v": [1]}), np.array([-1]))
    assert bag.store.rows(bag.store.live_ids())["v"].to_list() == [1, 2, 3]


@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), max_size=6), max_size=6
    ),
    full=st.sets(st.integers(0, 5)),
)
def test_tally_counts_and_survives(steps: list[list[tuple[int, int]]], full: set[int]) -> None:
    tally, parts = Tally(), []
    expected = [0] * 6
    for number, changes in enumerate(steps):
        sums = [sum(n for s, n in changes if s == slot) for slot in range(6)]
        expected = [max(0, was + more) for was, more in zip(expected, sums, strict=True)]
        slots = np.array([s for s, _ in changes], dtype=np.int64)
        tally.add(slots, np.array([n for _, n in changes], dtype=np.int64))
        assert tally.count(np.arange(6)).tolist() == expected
        assert len(tally) == sum(n > 0 for n in expected)
        parts.append(tally.full() if number in full else tally.delta())
        again = Tally()
        again.load([part for part in parts if part])
        assert again.count(np.arange(6)).tolist() == expected
        assert len(again) == len(tally)
