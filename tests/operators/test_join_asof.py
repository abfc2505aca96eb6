"""As-of joins against nested loops in plain Python."""

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

STRATEGIES = ["backward", "forward", "nearest"]
LEFT: dict[str, Any] = {"k": pl.Int64, "t": pl.Datetime("ms"), "v": pl.Int64}
RIGHT: dict[str, Any] = {"k": pl.Int64, "t": pl.Datetime("ms"), "w": pl.Int64}


def at(second: float) -> dt.datetime:
    return dt.datetime(2025, 1, 1) + dt.timedelta(seconds=second)


def best(
    one: Row, right: list[Row], strategy: str, tolerance: int | None, *, keyed: bool, exact: bool
) -> Row | None:
    """Return the right row for a left row; among equal times the last, forward the first."""
    fitting: list[tuple[float, int, Row]] = []
    for number, two in enumerate(right):
        if one[1] is None or two[1] is None or (keyed and (one[0] is None or one[0] != two[0])):
            continue
        apart = (two[1] - one[1]).total_seconds()
        wrong = (strategy == "backward" and apart > 0) or (strategy == "forward" and apart < 0)
        if wrong or (not exact and apart == 0):
            continue
        if tolerance is None or abs(apart) <= tolerance:
            order = number if strategy == "forward" else -number
            # Of two rows equally near Polars takes the later one.
            fitting.append((abs(apart) - (0.001 if apart > 0 else 0), order, two))
    return min(fitting)[2] if fitting else None


def nested_loops(left: list[Row], right: list[Row], **options: Any) -> Counter[Row]:
    found: Counter[Row] = Counter()
    for one in left:
        two = best(one, right, **options)
        matched: Row = (None, None) if two is None else (two[0], two[2])
        found[one + (matched[1:] if options["keyed"] else matched)] += 1
    return found


def arrived(history: History, epoch: int) -> list[Row]:
    """Rows in order of arrival; a changelog is a bag, which is sorted."""
    if not history.changelog:
        return [row for changes in history.epochs[: epoch + 1] for row, _ in changes]

    def order(row: Row) -> Any:
        return tuple((value is not None, value) for value in row)

    return sorted(history.contents(epoch), key=order)


def joined(one: Stream, two: Stream, options: dict[str, Any]) -> Stream:
    tolerance = options["tolerance"]
    return one.join_asof(
        two,
        on="t",
        by="k" if options["keyed"] else None,
        strategy=options["strategy"],
        tolerance=None if tolerance is None else f"{tolerance}s",
        allow_exact_matches=options["exact"],
    )


def _options(strategy: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "strategy": st.just(strategy),
            "tolerance": st.none() | st.integers(0, 5),
            "keyed": st.booleans(),
            "exact": st.booleans(),
        }
    )


_TIMES = st.integers(0, 12).map(at)
_ROWS = st.tuples(st.none() | st.integers(0, 1), st.none() | _TIMES, st.integers(0, 9))


@pytest.mark.parametrize("strategy", STRATEGIES)
@fewer
@given(data=st.data())
def test_without_watermarks_every_epoch_equals_nested_loops(
    strategy: str, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 4))
    left = data.draw(histories(LEFT, _ROWS, count))
    right = data.draw(histories(RIGHT, _ROWS, count))
    options = data.draw(_options(strategy))
    make: Any = {True: changing, False: scripted}
    one, two = make[left.changelog]("l", LEFT), make[right.changelog]("r", RIGHT)
    stream = joined(one, two, options)
    assert stream.is_changelog
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("lr", [left, right]), restart_after=restarts)
    for epoch in range(count):
        expected = nested_loops(left.contents(epoch), arrived(right, epoch), **options)
        assert bag(integrate(stream, deltas[: epoch + 1])) == expected


@st.composite
def in_order(draw: st.DrawFn, schema: dict[str, Any], epochs: int) -> History:
    """Rows at most two seconds out of order, many at equal times."""
    now = 0.0
    found = []
    for _ in range(epochs):
        rows = []
        for _ in range(draw(st.integers(0, 4))):
            now += draw(st.sampled_from([0, 0, 1, 2, 5]))
            late = draw(st.integers(0, 2))
            key = draw(st.none() | st.integers(0, 1))
            rows.append(((key, at(max(now - late, 0)), draw(st.integers(0, 9))), 1))
        found.append(rows)
    return History(schema, found, changelog=False)


def _timely() -> tuple[Stream, Stream]:
    return (
        scripted("l", LEFT).with_watermark("t", "2s", max_ahead=None),
        scripted("r", RIGHT).with_watermark("t", "2s", max_ahead=None),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@fewer
@given(data=st.data())
def test_with_watermarks_each_left_row_leaves_once(strategy: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    left, right = data.draw(in_order(LEFT, count)), data.draw(in_order(RIGHT, count))
    options = data.draw(_options(strategy))
    stream = joined(*_timely(), options)
    assert not stream.is_changelog
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("lr", [left, right]), restart_after=restarts)
    assert all(d is None or WEIGHT not in d.columns for d in deltas)
    expected = nested_loops(left.contents(count), arrived(right, count), **options)
    assert bag(integrate(stream, deltas)) == expected


@pytest.mark.parametrize(("strategy", "seen"), [("backward", 1), ("forward", 2), ("nearest", 2)])
def test_rows_leave_as_soon_as_their_match_is_certain(strategy: str, seen: int) -> None:
    one = scripted("l", LEFT).with_watermark("t", max_ahead=None)
    two = scripted("r", RIGHT).with_watermark("t", max_ahead=None)

    def rows(schema: dict[str, Any], *seconds: float) -> pl.DataFrame:
        return pl.DataFrame([(1, at(s), 0) for s in seconds], schema=schema, orient="row")

    later = rows(LEFT, 30)
    epochs = [
        Epoch({"l": rows(LEFT, 10), "r": rows(RIGHT, 6)}),
        Epoch({"l": later, "r": rows(RIGHT, 10.5)}),  # passed 10
        Epoch({"r": rows(RIGHT, 10.6)}),  # passed the next right row
        Epoch({"r": rows(RIGHT, 15)}),
    ]
    deltas = outputs(one.join_asof(two, on="t", by="k", strategy=strategy), epochs)
    leaving = next(i for i, delta in enumerate(deltas) if delta is not None)
    assert leaving == seen


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_state_is_freed_as_the_watermarks_pass(strategy: str) -> None:
    stream = _timely()[0].join_asof(_timely()[1], on="t", by="k", strategy=strategy)
    epochs = []
    for number in range(40):
        times = [at(number * 10 + step / 10) for step in range(100)]
        left = pl.DataFrame({"k": [s % 7 for s in range(100)], "t": times, "v": 0}, schema=LEFT)
        epochs.append(Epoch({"l": left, "r": left.rename({"v": "w"})}))
    for executor, _ in run(stream, epochs):
        join = next(v.operator for v in executor.graph.vertices if v.kind == "asof-join")
        assert join is not None
        assert sum(len(part) for part in join.state.values()) < 150


def test_tolerance_frees_the_keys_that_are_gone() -> None:
    stream = _timely()[0].join_asof(_timely()[1], on="t", by="k", tolerance="20s")
    epochs = []
    for number in range(40):
        rows = {"k": [number], "t": [at(number * 10)], "v": [0]}
        left = pl.DataFrame(rows, schema=LEFT)
        epochs.append(Epoch({"l": left, "r": left.rename({"v": "w"})}))
    for executor, _ in run(stream, epochs):
        join = next(v.operator for v in executor.graph.vertices if v.kind == "asof-join")
        assert join is not None
        assert len(join.state["index"]) <= 6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_columns_are_those_of_polars(strategy: Any) -> None:
    left = pl.DataFrame({"t": [1, 5, 10], "k": ["a", "b", "a"], "v": [1, 2, 3]})
    right = pl.DataFrame({"s": [2, 4, 9], "j": ["a", "b", "a"], "v": [7, 8, 9]})
    cases: list[dict[str, Any]] = [
        {"left_on": "t", "right_on": "s"},
        {"left_on": "t", "right_on": "s", "by_left": "k", "by_right": "j"},
        {"left_on": "t", "right_on": "s", "by_left": "k", "by_right": "j", "suffix": "_r"},
        {"left_on": "t", "right_on": "s", "tolerance": 1},
    ]
    for case in cases:
        wanted = left.lazy().join_asof(
            right.lazy(), strategy=strategy, check_sortedness=False, **case
        )
        one, two = scripted("l", left.schema), scripted("r", right.schema)
        stream = one.join_asof(two, strategy=strategy, **case)
        table = wanted.collect()
        assert stream.schema == table.schema
        deltas = outputs(stream, [Epoch({"l": left[1:]}), Epoch({"r": right, "l": left[:1]})])
        assert bag(integrate(stream, deltas)) == Counter(table.rows())
