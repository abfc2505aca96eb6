from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.connectors.changes import chunks, consolidate, keyed_changes, split_nulls
from penstock.errors import ConnectorError


def changelog(rows: list[tuple[int | None, float | None, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema={"k": pl.Int64, "n": pl.Float64, WEIGHT: pl.Int64}, orient="row"
    )


def test_an_update_is_an_upsert_and_a_lone_delete_is_a_delete() -> None:
    found = keyed_changes([changelog([(1, 5, -1), (1, 6, 1), (2, 9, -1)])], ("k",), "sink")
    assert found.deletes.rows() == [(2,)]
    assert found.upserts.rows() == [(1, 6.0)]


def test_rows_that_cancel_do_nothing_even_when_null_or_nan() -> None:
    nan = float("nan")
    frame = changelog([(None, nan, 1), (1, None, 1), (None, nan, -1), (1, None, -1)])
    found = keyed_changes([frame], ("k",), "sink")
    assert found.deletes.is_empty()
    assert found.upserts.is_empty()


def test_a_null_key_that_is_replaced_is_not_deleted() -> None:
    found = keyed_changes([changelog([(None, 1, -1), (None, 2, 1)])], ("k",), "sink")
    assert found.deletes.is_empty()
    assert found.upserts.rows() == [(None, 2.0)]


@pytest.mark.parametrize("rows", [[(7, 1.0, 1), (7, 2.0, 1)], [(7, 1.0, 2)]])
def test_two_living_rows_of_one_key_are_refused_by_name(
    rows: list[tuple[int | None, float | None, int]],
) -> None:
    with pytest.raises(ConnectorError, match=r"sink: the key \{'k': 7\} has 2 living rows"):
        keyed_changes([changelog(rows)], ("k",), "sink")


def test_the_last_frame_of_a_key_decides_though_what_was_before_was_not_taken_back() -> None:
    """State that is freed by a time to live is forgotten silently; the key then begins anew."""
    frames = [
        changelog([(1, 1, 1), (2, 1, 1), (3, 1, 1)]),
        changelog([(1, 1, -1), (1, 2, 1), (3, 1, -1)]),
        changelog([(1, 1, 1), (4, 1, 1), (4, 1, -1)]),
    ]
    found = keyed_changes(frames, ("k",), "sink")
    assert found.upserts.sort("k").rows() == [(1, 1.0), (2, 1.0)]
    assert found.deletes.rows() == [(3,)]


def test_without_weights_the_last_row_of_a_key_wins_in_order_of_first_appearance() -> None:
    frame = changelog([(2, 1, 1), (1, 2, 1), (2, 3, 1)]).drop(WEIGHT)
    found = keyed_changes([frame], ("k",), "sink")
    assert found.upserts.rows() == [(2, 3.0), (1, 2.0)]
    assert found.deletes.is_empty()


def test_the_last_row_wins_even_if_its_value_is_null() -> None:
    frame = changelog([(2, 1, 1), (2, None, 1)]).drop(WEIGHT)
    assert keyed_changes([frame], ("k",), "sink").upserts.rows() == [(2, None)]


def test_rows_with_nested_columns_cancel() -> None:
    frame = pl.DataFrame({"k": [1, 1], "l": [[1, None], [1, None]], WEIGHT: [1, -1]})
    assert consolidate(frame).is_empty()


def test_a_frame_that_is_only_keys_is_kept() -> None:
    frame = pl.DataFrame({"k": [1, 1, 2]})
    assert keyed_changes([frame], ("k",), "sink").upserts.rows() == [(1,), (2,)]


def test_null_patterns_part_the_rows() -> None:
    frame = pl.DataFrame({"a": [1, None, None, 2], "b": [1, 1, None, None], "v": [1, 2, 3, 4]})
    parts = {nulls: part["v"].to_list() for nulls, part in split_nulls(frame, ("a", "b"))}
    assert parts == {(): [1], ("a",): [2], ("a", "b"): [3], ("b",): [4]}


def test_chunks_join_small_frames_and_keep_an_empty_first_one() -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    sizes = [len(part) for part in chunks([frame.clear(), frame, frame, frame.clear(), frame], 3)]
    assert sizes == [4, 2]
    assert [len(part) for part in chunks([frame.clear()], 3)] == [0]
    assert list(chunks([], 3)) == []


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(0, 3)),
            st.one_of(st.none(), st.sampled_from([0.0, 1.5, float("nan")])),
            st.sampled_from([-2, -1, 1, 2]),
        ),
        max_size=30,
    )
)
def test_consolidation_equals_a_count_of_rows(
    rows: list[tuple[int | None, float | None, int]],
) -> None:
    counted: dict[tuple[str, ...], int] = {}
    for k, n, weight in rows:
        counted[str(k), str(n)] = counted.get((str(k), str(n)), 0) + weight
    expected = [(*row, weight) for row, weight in counted.items() if weight]
    found = [(str(k), str(n), weight) for k, n, weight in consolidate(changelog(rows)).rows()]
    assert found == expected
