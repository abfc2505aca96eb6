from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import TYPES, contents, frame_of, rows_of

from penstock.state.owned import owned

NESTED: list[tuple[pl.DataType, Any]] = [
    (pl.Array(pl.String(), 2), st.lists(st.none() | st.text(max_size=2), min_size=2, max_size=2)),
    (pl.Struct({}), st.just({})),
    (
        pl.List(pl.Struct({"s": pl.String(), "b": pl.List(pl.Binary())})),
        st.lists(
            st.none()
            | st.fixed_dictionaries(
                {
                    "s": st.none() | st.text(max_size=2),
                    "b": st.none() | st.lists(st.none() | st.binary(max_size=2), max_size=2),
                }
            ),
            max_size=2,
        ),
    ),
]


@given(data=st.data(), kind=st.sampled_from(TYPES + NESTED))
def test_the_copy_is_equal(data: Any, kind: Any) -> None:
    rows = data.draw(st.integers(0, 5).flatmap(lambda count: rows_of(count, [kind])))
    frame = frame_of(rows, pl.Schema({"c": kind[0]}))
    copy = owned(frame.get_column("c"))
    assert copy.dtype == kind[0]
    assert copy.name == "c"
    assert copy.n_chunks() == 1
    assert contents(copy.to_frame()) == contents(frame)


@pytest.mark.parametrize("dtype", [pl.List(pl.List(pl.String)), pl.List(pl.Binary)])
def test_nested_nulls_and_empties_survive(dtype: pl.DataType) -> None:
    rows: list[Any] = [[], None, [None], [[]]] if dtype.inner != pl.Binary else [[], None, [b""]]
    values = pl.Series("c", rows, dtype=dtype)
    assert owned(values).to_list() == rows
