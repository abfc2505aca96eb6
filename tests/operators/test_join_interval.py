"""Interval joins against nested loops in plain Python."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.stream import Stream
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.executing import run
from tests.operators.histories import History, Row, bag, changing, driven, fewer, histories

HOWS = ["inner", "left", "right", "full", "semi", "anti"]
LEFT: dict[str, Any] = {"k": pl.Int64, "t": pl.Datetime("ms"), "v": pl.Int64}
RIGHT: dict[str, Any] = {"k": pl.Int64, "s": pl.Datetime("ms"), "w": pl.Int64}
NOTHING = (None, None, None)


def at(second: float) -> dt.datetime:
    return dt.datetime(2025, 1, 1) + dt.timedelta(seconds=second)


_TIMES = st.integers(0, 12).map(at)
_ROWS = st.tuples(st.none() | st.integers(0, 1), st.none() | _TIMES, st.integers(0, 1))


def near(one: Row, two: Row, lower: int, upper: int, *, keyed: bool) -> bool:
    if keyed and (one[0] is None or one[0] != two[0]):
        return False
    if one[1] is None or two[1] is None:
        return False
    apart: float = (two[1] - one[1]).total_seconds()
    return lower <= apart <= upper


def nested_loops(
    left: list[Row], right: list[Row], how: str, lower: int, upper: int, *, keyed: bool
) -> Counter[Row]:
    def put(one: Row, two: Row) -> Row:
        if not keyed or how == "full":
            return one + two
        return one + two[1:] if how != "right" else one[1:] + two

    found: Counter[Row] = Counter()
    for one in left:
        hits = [two for two in right if near(one, two, lower, upper, keyed=keyed)]
        if how in ("semi", "anti"):
            found[one] += bool(hits) == (how == "semi")
            continue
        found.update(put(one, two) for two in hits)
        if not hits and how in ("left", "full"):
            found[put(one, NOTHING)] += 1
    if how in ("right", "full"):
        for two in right:
            if not any(near(one, two, lower, upper, keyed=keyed) for one in left):
                found[put(NOTHING, two)] += 1
    return +found


def joined(one: Stream, two: Stream, how: str, lower: int, upper: int, *, keyed: bool) -> Stream:
    return one.join_interval(
        two,
        on="k" if keyed else None,
        how=how,
        left_time="t",
        right_time="s",
        lower=f"{lower}s",
        upper=f"{upper}s",
    )


@pytest.mark.parametrize("how", HOWS)
@fewer
@given(data=st.data())
def test_without_watermarks_every_epoch_equals_nested_loops(how: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    left = data.draw(histories(LEFT, _ROWS, count))
    right = data.draw(histories(RIGHT, _ROWS, count))
    lower, upper = sorted(data.draw(st.tuples(st.integers(-6, 6), st.integers(-6, 6))))
    keyed = data.draw(st.booleans())
    make: Any = {True: changing, False: scripted}
    one = make[left.changelog]("l", LEFT)
    two = make[right.changelog]("r", RIGHT)
    stream = joined(one, two, how, lower, upper, keyed=keyed)
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("lr", [left, right]), restart_after=restarts)
    for epoch in range(count):
        now = left.contents(epoch), right.contents(epoch)
        expected = nested_loops(*now, how, lower, upper, keyed=keyed)
        assert bag(integrate(stream, deltas[: epoch + 1])) == expected


@st.composite
def in_order(draw: st.DrawFn, schema: dict[str, Any], epochs: int) -> History:
    """Rows at most two seconds out of order."""
    now = 0.0
    found = []
    for _ in range(epochs):
        rows = []
        for _ in range(draw(st.integers(0, 4))):
            now += draw(st.integers(0, 4))
            late = draw(st.integers(0, 2))
            key = draw(st.none() | st.integers(0, 1))
            rows.append(((key, at(max(now - late, 0)), draw(st.integers(0, 1))), 1))
        found.append(rows)
    return History(schema, found, changelog=False)


@pytest.mark.parametrize("how", HOWS)
@fewer
@given(data=st.data())
def test_with_watermarks_each_row_leaves_once(how: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    left, right = data.draw(in_order(LEFT, count)), data.draw(in_order(RIGHT, count))
    lower, upper = sorted(data.draw(st.tuples(st.integers(-6, 6), st.integers(-6, 6))))
    keyed = data.draw(st.booleans())
    one = scripted("l", LEFT).with_watermark("t", "2s", max_ahead=None)
    two = scripted("r", RIGHT).with_watermark("s", "2s", max_ahead=None)
    stream = joined(one, two, how, lower, upper, keyed=keyed)
    assert not stream.is_changelog
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("lr", [left, right]), restart_after=restarts)
    assert all(d is None or WEIGHT not in d.columns for d in deltas)
    now = left.contents(count), right.contents(count)
    assert bag(integrate(stream, deltas)) == nested_loops(*now, how, lower, upper, keyed=keyed)


def test_matched_or_not_is_known_when_the_other_watermark_has_passed() -> None:
    one = scripted("l", LEFT).with_watermark("t", max_ahead=None)
    two = scripted("r", RIGHT).with_watermark("s", max_ahead=None)
    stream = one.join_interval(two, on="k", how="left", lower=0, upper="5s")

    def left(key: int, second: float) -> pl.DataFrame:
        return pl.DataFrame([(key, at(second), 0)], schema=LEFT, orient="row")

    def right(key: int, second: float) -> pl.DataFrame:
        return pl.DataFrame([(key, at(second), 0)], schema=RIGHT, orient="row")

    deltas = outputs(
        stream,
        [
            Epoch({"l": left(1, 10), "r": right(9, 0)}),
            Epoch({"r": right(9, 15)}),  # a right row at 15 may still come: not beyond it yet
            Epoch({"r": right(9, 15.001)}),
        ],
    )
    assert deltas[:2] == [None, None]
    assert deltas[2] is not None
    assert deltas[2].rows() == [(1, at(10), 0, None, None)]


@pytest.mark.parametrize("how", HOWS)
def test_state_is_freed_as_the_watermarks_pass(how: str) -> None:
    one = scripted("l", LEFT).with_watermark("t", "2s", max_ahead=None)
    two = scripted("r", RIGHT).with_watermark("s", "2s", max_ahead=None)
    stream = joined(one, two, how, -5, 5, keyed=True)
    epochs = []
    for number in range(60):
        times = [at(number * 10 + step / 10) for step in range(100)]
        rows = {"k": [step % 7 for step in range(100)], "t": times, "v": 0}
        left = pl.DataFrame(rows, schema=LEFT)
        epochs.append(Epoch({"l": left, "r": left.rename({"t": "s", "v": "w"})}))
    largest = 0
    for executor, _ in run(stream, epochs):
        join = next(
            v.operator for v in executor.graph.vertices if v.kind in ("interval-join", "timed-join")
        )
        assert join is not None
        largest = max(largest, *(len(part) for part in join.state.values()))
    assert largest < 300


def test_times_of_the_output_are_bounded() -> None:
    one = scripted("l", LEFT).with_watermark("t", "2s", max_ahead=None)
    two = scripted("r", RIGHT).with_watermark("s", "2s", max_ahead=None)
    inner = joined(one, two, "inner", -5, 3, keyed=True)
    assert {c: b.shift_ns // 10**9 for c, b in inner.node.properties.times.items()} == {
        "t": -3,
        "s": -5,
    }
    assert set(joined(one, two, "left", -5, 3, keyed=True).node.properties.times) == {"t"}
    assert joined(one, two, "full", -5, 3, keyed=True).node.properties.times == {}
