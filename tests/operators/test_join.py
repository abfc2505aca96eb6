"""Joins on equal keys against nested loops in plain Python."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stream import Stream
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.executing import run
from tests.operators.histories import History, Row, bag, changing, driven, fewer, histories, plain

HOWS = ["inner", "left", "right", "full", "semi", "anti"]

LEFT: dict[str, Any] = {"k": pl.Int64, "f": pl.Float64, "v": pl.String}
RIGHT: dict[str, Any] = {"k": pl.Int64, "f": pl.Float64, "w": pl.Int64}

_KEYS = st.none() | st.integers(0, 2)
_FLOATS = st.sampled_from([None, 0.0, -0.0, 1.0, float("nan")])
_LEFT = st.tuples(_KEYS, _FLOATS, st.sampled_from(["x", "y", None]))
_RIGHT = st.tuples(_KEYS, _FLOATS, st.sampled_from([1, 2, None]))


def streams(left: History, right: History) -> tuple[Stream, Stream]:
    make: Any = {True: changing, False: scripted}
    return make[left.changelog]("l", left.schema), make[right.changelog]("r", right.schema)


def nested_loops(
    left: list[Row], right: list[Row], how: str, width: int, *, nulls_equal: bool
) -> Counter[Row]:
    """Join rows whose first ``width`` columns are the key; output is not coalesced."""

    def same(one: Row, two: Row) -> bool:
        pairs = list(zip(one[:width], two[:width], strict=True))
        return all(a == b and (nulls_equal or a is not None) for a, b in pairs)

    found: Counter[Row] = Counter()
    for one in left:
        hits = [two for two in right if same(one, two)]
        if how == "semi":
            found[one] += bool(hits)
        elif how == "anti":
            found[one] += not hits
        else:
            for two in hits:
                found[one + two] += 1
            if not hits and how in ("left", "full"):
                found[one + (None,) * 3] += 1
    if how in ("right", "full"):
        for two in right:
            if not any(same(one, two) for one in left):
                found[(None,) * 3 + two] += 1
    return +found


def coalesced(rows: Counter[Row], how: str, width: int) -> Counter[Row]:
    """Merge the keys as Polars does: the columns of one side, or the first that is not null."""
    found: Counter[Row] = Counter()
    for row, count in rows.items():
        left, right = row[:3], row[3:]
        keys = tuple(a if a is not None else b for a, b in zip(left, right, strict=True))[:width]
        if how == "right":
            found[left[width:] + right] += count
        else:
            found[keys + left[width:] + right[width:]] += count
    return found


@pytest.mark.parametrize("how", HOWS)
@fewer
@given(data=st.data())
def test_every_epoch_equals_nested_loops(how: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    left = data.draw(histories(LEFT, _LEFT, count))
    right = data.draw(histories(RIGHT, _RIGHT, count))
    width = data.draw(st.integers(1, 2))
    nulls_equal = data.draw(st.booleans())
    merge = data.draw(st.sampled_from([None, True, False]))
    one, two = streams(left, right)
    joined = one.join(two, on=["k", "f"][:width], how=how, nulls_equal=nulls_equal, coalesce=merge)
    grows = how in ("inner", "semi") and not (left.changelog or right.changelog)
    assert joined.is_changelog is not grows
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(joined, driven("lr", [left, right]), restart_after=restarts)
    merged = merge if merge is not None else how != "full"
    for epoch in range(count):
        now = left.contents(epoch), right.contents(epoch)
        expected = nested_loops(*now, how, width, nulls_equal=nulls_equal)
        if merged and how not in ("semi", "anti"):
            expected = coalesced(expected, how, width)
        assert bag(integrate(joined, deltas[: epoch + 1])) == expected


@fewer
@given(data=st.data())
def test_expressions_as_keys_and_conditions(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    left = data.draw(histories(LEFT, _LEFT, count))
    right = data.draw(histories(RIGHT, _RIGHT, count))
    one, two = streams(left, right)
    joined = one.join(two, left_on=pl.col("k") + 1, right_on=pl.col("w"), how="full")
    deltas = outputs(joined, driven("lr", [left, right]))

    def keyed(key: Any, row: Row) -> Row:
        return (None if key is None else key, *row)

    for epoch in range(count):
        lefts = [keyed(None if r[0] is None else r[0] + 1, r) for r in left.contents(epoch)]
        rights = [keyed(r[2], r) for r in right.contents(epoch)]
        expected: Counter[Row] = Counter()
        for a in lefts:
            hits = [b for b in rights if a[0] is not None and a[0] == b[0]]
            expected.update(a[1:] + b[1:] for b in hits)
            expected.update([] if hits else [a[1:] + (None,) * 3])
        for b in rights:
            if not any(a[0] is not None and a[0] == b[0] for a in lefts):
                expected[(None,) * 3 + b[1:]] += 1
        assert bag(integrate(joined, deltas[: epoch + 1])) == expected


def _frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    left = pl.DataFrame({"k": [1, 2, 2, None], "x": [1, 2, 3, 4], "v": ["a", "b", "c", "d"]})
    right = pl.DataFrame({"k": [2, 2, 3, None], "y": [2, 3, 3, 9], "v": ["p", "q", "r", "s"]})
    return left, right.with_columns(pl.col("k").cast(pl.Int32))


CASES: list[dict[str, Any]] = [
    {"on": "k"},
    {"on": ["k", "v"]},
    {"left_on": "x", "right_on": "y"},
    {"left_on": "v", "right_on": "v"},
    {"left_on": ["k", pl.col("x") + 1], "right_on": ["y", "y"]},
    {"left_on": ["x", "k"], "right_on": ["k", "y"], "suffix": "_other"},
]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("coalesce", [None, False])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_columns_and_types_are_those_of_polars(how: Any, coalesce: Any, case: int) -> None:
    left, right = _frames()
    options = {**CASES[case], "how": how, "coalesce": coalesce}
    wanted = left.lazy().join(right.lazy(), **options).collect()
    one, two = scripted("l", left.schema), scripted("r", right.schema)
    joined = one.join(two, **options)
    assert joined.schema == wanted.schema
    deltas = outputs(joined, [Epoch({"l": left[:2]}), Epoch({"l": left[2:], "r": right})])
    expected = Counter(plain(row) for row in wanted.rows())
    assert bag(integrate(joined, deltas)) == expected


def test_cross_joins_everything() -> None:
    left, right = _frames()
    joined = scripted("l", left.schema).join(scripted("r", right.schema), how="cross")
    wanted = left.join(right, how="cross")
    deltas = outputs(joined, [Epoch({"l": left}), Epoch({"r": right[:1]}), Epoch({"r": right[1:]})])
    assert bag(integrate(joined, deltas)) == Counter(plain(row) for row in wanted.rows())
    assert joined.schema == wanted.schema


@fewer
@given(data=st.data())
def test_sides_with_only_the_key(data: st.DataObject) -> None:
    schema: dict[str, Any] = {"k": pl.Int64}
    rows = st.tuples(st.integers(0, 1))
    left = data.draw(histories(schema, rows, 3))
    right = data.draw(histories(schema, rows, 3))
    one, two = streams(left, right)
    for how in ("inner", "left", "semi"):
        joined = one.join(two, on="k", how=how)
        deltas = outputs(joined, driven("lr", [left, right]))
        for epoch in range(3):
            found: Counter[Row] = Counter()
            there = right.contents(epoch)
            for row in left.contents(epoch):
                hits = there.count(row)
                found[row] += {"inner": hits, "left": max(hits, 1), "semi": bool(hits)}[how]
            assert bag(integrate(joined, deltas[: epoch + 1])) == +found


@pytest.mark.parametrize("how", HOWS)
def test_state_holds_living_rows_only(how: str) -> None:
    one = changing("l", {"k": pl.Int64, "v": pl.Int64})
    two = changing("r", {"k": pl.Int64, "w": pl.Int64})
    rows = pl.DataFrame({"k": range(100), "v": range(100)})
    epochs = []
    for sign in (1, -1, 1, -1):
        left = rows.with_columns(sign=pl.lit(sign, pl.Int64))
        epochs.append(Epoch({"l": left, "r": left.rename({"v": "w"})}))
    for number, (executor, _) in enumerate(run(one.join(two, on="k", how=how), epochs)):
        join = next(v.operator for v in executor.graph.vertices if v.kind == "join")
        assert join is not None
        sizes = {name: len(part) for name, part in join.state.items()}
        assert set(sizes.values()) == {0 if number % 2 else 100}, sizes


def test_append_only_semi_and_anti_joins_keep_only_undecided_rows() -> None:
    for how in ("semi", "anti"):
        one, two = scripted("l", {"k": pl.Int64}), scripted("r", {"k": pl.Int64})
        rows = pl.DataFrame({"k": range(10)})
        epochs = [Epoch({"l": rows}), Epoch({"r": rows[:7]}), Epoch({"l": rows})]
        sizes = []
        for executor, _ in run(one.join(two, on="k", how=how), epochs):
            join = next(v.operator for v in executor.graph.vertices if v.kind == "join")
            assert join is not None
            sizes.append(len(join.state["left"]))
        assert sizes == [10, 3, 6]
