"""Joins whose condition bounds how long a row can find a match, against join and filter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.lowering.table import lower
from penstock.operators import equal_keys as module
from penstock.operators import timed_rows
from penstock.operators.equal_keys import equal_keys
from penstock.operators.timed_join import TimedJoin
from penstock.operators.timed_rows import TimedRows
from penstock.plan.joins import Join
from penstock.stream import Stream
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.executing import run
from tests.operators.histories import History, bag, driven, fewer

LEFT: dict[str, Any] = {
    "k": pl.Int64,
    "t": pl.Datetime("ms"),
    "until": pl.Datetime("ms"),
    "v": pl.Int64,
}
RIGHT: dict[str, Any] = {"k": pl.Int64, "s": pl.Datetime("ms"), "w": pl.Int64}
C = pl.col
CONDITIONS: dict[str, list[pl.Expr]] = {
    "between": [C("s").is_between("t", "until")],
    "apart": [C("s") >= C("t"), C("s") <= C("until")],
    "strict": [(C("t") < C("s")) & (C("s") < C("until")) & (C("w") <= C("v"))],
}


def at(second: float) -> dt.datetime:
    return dt.datetime(2025, 1, 1) + dt.timedelta(seconds=second)


def on_keys(one: Stream, two: Stream, *predicates: pl.Expr, **options: Any) -> Stream:
    return one.join_where(two, C("k") == C("k_right"), *predicates, **options)


def filtered(one: Stream, two: Stream, *predicates: pl.Expr) -> Stream:
    """What is to come out: all pairs are made, and looked at one after another."""
    return one.join(two, on="k", coalesce=False).filter(*predicates)


@st.composite
def in_order(draw: st.DrawFn, schema: dict[str, Any], epochs: int) -> History:
    """Rows at most two seconds out of order; the left's end up to six seconds after they begin."""
    now = 0.0
    found = []
    for _ in range(epochs):
        rows = []
        for _ in range(draw(st.integers(0, 5))):
            now += draw(st.integers(0, 3))
            key, value = draw(st.none() | st.integers(0, 1)), draw(st.integers(0, 1))
            began = at(max(now - draw(st.integers(0, 2)), 0))
            until = draw(
                st.none() | st.integers(-1, 6).map(lambda s, b=began: b + dt.timedelta(seconds=s))
            )
            more = (until,) if "until" in schema else ()
            rows.append(((key, began, *more, value), 1))
        found.append(rows)
    return History(schema, found, changelog=False)


def timed(lateness: str = "2s") -> tuple[Stream, Stream]:
    one = scripted("l", LEFT).with_watermark("t", lateness, max_ahead=None)
    return one, scripted("r", RIGHT).with_watermark("s", lateness, max_ahead=None)


@pytest.mark.parametrize("case", CONDITIONS)
@fewer
@given(data=st.data())
def test_every_epoch_equals_join_and_filter(case: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    left, right = data.draw(in_order(LEFT, count)), data.draw(in_order(RIGHT, count))
    lateness = data.draw(st.sampled_from(["0s", "1s", "2s"]))  # some rows are late, and left out
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    epochs = driven("lr", [left, right])
    found = []
    for make in (on_keys, filtered):
        stream = make(*timed(lateness), *CONDITIONS[case])
        deltas = outputs(stream, epochs, restart_after=restarts)
        found.append([bag(integrate(stream, deltas[: n + 1])) for n in range(count)])
    assert found[0] == found[1]


def test_which_joins_are_timed() -> None:
    one, two = timed()
    between = CONDITIONS["between"]
    assert operators(on_keys(one, two, *between)) == ["timed-join"]
    assert operators(
        on_keys(
            two.rename({"s": "t"}), one.rename({"t": "s"}), C("t") <= C("until"), C("s") <= C("t")
        )
    ) == ["timed-join"]
    assert operators(on_keys(one, two, C("s") >= C("t"))) == ["join"]  # nothing frees the left
    assert operators(on_keys(one, two, between[0] | (C("v") == C("w")))) == ["join"]
    assert operators(on_keys(one, two, *between, ttl="1h")) == ["join"]
    assert operators(one.join_where(two, *between)) == ["join"]  # no key
    shifted = C("s") >= C("t"), C("s") + pl.duration(seconds=1) <= C("until")
    assert operators(on_keys(one, two, *shifted)) == ["join"]
    other = scripted("r", {**RIGHT, "s": pl.Datetime("us")}).with_watermark("s")
    assert operators(on_keys(one, other, *between)) == ["join"]  # another type of time
    assert operators(on_keys(scripted("l", LEFT), two, *between)) == ["join"]
    latest = one.unique("v", keep="last")
    assert operators(on_keys(latest, two, *between))[-1] == "join"  # rows are taken back


def operators(stream: Stream) -> list[str]:
    graph = lower([stream.sink_callback(print).roots[0]])
    kinds = [vertex.kind for vertex in graph.vertices]
    return [kind for kind in kinds if "join" in kind]


def test_the_plan_knows_what_is_freed() -> None:
    one, two = timed()
    kept, freed = on_keys(one, two, C("s") >= C("t")), on_keys(one, two, *CONDITIONS["between"])
    assert kept.node.unbounded_state == "all rows of both sides"
    assert freed.node.unbounded_state is None


@pytest.mark.parametrize("interval", [False, True])
def test_only_what_can_still_match_is_kept(interval: bool) -> None:
    one, two = timed()
    stream = (
        one.join_interval(two, on="k", left_time="t", right_time="s", lower="0s", upper="3s")
        if interval
        else on_keys(one, two, *CONDITIONS["between"])
    )
    largest = [0, 0]
    for executor, _ in run(stream, [minute(number) for number in range(40)]):
        operator = next(v.operator for v in executor.graph.vertices if v.kind == "timed-join")
        assert isinstance(operator, TimedJoin)
        for side, part in enumerate(operator.state.values()):
            largest[side] = max(largest[side], len(part))
    assert all(0 < most <= 60 for most in largest), largest  # of 4,000 of either side


def minute(number: int) -> Epoch:
    """A hundred rows of ten seconds on both sides."""
    times = [at(number * 10 + step / 10) for step in range(100)]
    ends = [time + dt.timedelta(seconds=3) for time in times]
    keys = [step % 7 for step in range(100)]
    left = pl.DataFrame({"k": keys, "t": times, "until": ends, "v": 0}, schema=LEFT)
    return Epoch({"l": left, "r": pl.DataFrame({"k": keys, "s": times, "w": 0}, schema=RIGHT)})


def test_sql_frees_what_its_condition_bounds() -> None:
    one, two = timed()
    text = "SELECT v, w FROM a, b WHERE a.k = b.k AND b.s BETWEEN a.t AND a.until AND v < w"
    stream = ps.sql(text, a=one, b=two)
    assert operators(stream) == ["timed-join"]
    changes = ps.sql(text, a=one.unique("v", keep="last"), b=two)
    assert operators(changes)[-1] == "join"
    assert not any(isinstance(n, Join) and n.condition is not None for n in walked(changes))


def walked(stream: Stream) -> list[Any]:
    found, stack = [], [stream.node]
    while stack:
        node = stack.pop()
        found.append(node)
        stack.extend(node.inputs)
    return found


_FLOATS = st.sampled_from([0.0, -0.0, float("nan"), 1.5])
_TEXTS = st.sampled_from(["", "a", "ab"])
_KEYED = st.lists(st.tuples(_FLOATS, _TEXTS), max_size=12)


@given(left=_KEYED, right=_KEYED, block=st.integers(1, 20))
def test_equal_keys_are_those_of_nested_loops(
    left: list[Any], right: list[Any], block: int
) -> None:
    frames = [keyed(rows) for rows in (left, right)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = [
            pair for ones, twos in equal_keys(*frames) for pair in zip(ones, twos, strict=True)
        ]
    assert sorted(found) == nested(left, right)


@given(
    left=st.lists(st.integers(-1, 2), max_size=12), right=st.lists(st.integers(-1, 2), max_size=12)
)
def test_equal_integers_are_those_of_nested_loops(left: list[int], right: list[int]) -> None:
    frames = [
        pl.DataFrame({"x": rows, "y": rows}, schema={"x": pl.Int64, "y": pl.Int8})
        for rows in (left, right)
    ]
    found = [pair for ones, twos in equal_keys(*frames) for pair in zip(ones, twos, strict=True)]
    assert sorted(found) == nested([(x, x) for x in left], [(x, x) for x in right])


@pytest.mark.parametrize("few", [0, 10**9])  # always scanned, always by the index
@given(
    batches=st.lists(_KEYED, min_size=1, max_size=4),
    wanted=_KEYED,
    limit=st.integers(-1, 40),
    block=st.integers(1, 20),
)
def test_rows_are_found_by_key_and_dropped_by_time(
    few: int, batches: list[Any], wanted: list[Any], limit: int, block: int
) -> None:
    schema = pl.Schema({"x": pl.Float64(), "y": pl.String(), "t": pl.Int64()})
    held = TimedRows(schema, ["x", "y"], "t")
    rows: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timed_rows, "_FEW", few)
        patch.setattr(timed_rows, "_SCANNED", 10**9)
        for module_ in (module, timed_rows):
            patch.setattr(module_, "BLOCK", block)
        for batch in batches:
            times = pl.Series("t", range(len(rows), len(rows) + len(batch)), pl.Int64)
            held.add(keyed(batch).with_columns(times))
            rows += batch
            for _ in held.match(keyed(wanted).rename({"x": "key0", "y": "key1"})):
                pass  # an index is made of what is there so far
        held.drop(limit)
        found = sorted(
            (int(at), int(held.store.values("t", np.array([row]))[0]))
            for positions, ids in held.match(keyed(wanted).rename({"x": "key0", "y": "key1"}))
            for at, row in zip(positions, ids, strict=True)
        )
    assert found == [(at, row) for at, row in nested(wanted, rows) if row > limit]
    assert len(held) == sum(row > limit for row in range(len(rows)))


def keyed(rows: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"x": pl.Float64, "y": pl.String}, orient="row")


def nested(left: list[Any], right: list[Any]) -> list[tuple[int, int]]:
    same: Callable[[Any, Any], bool] = lambda a, b: a == b or (a != a and b != b)  # noqa: E731
    return [
        (one, two)
        for one, (x, y) in enumerate(left)
        for two, (a, b) in enumerate(right)
        if same(x, a) and y == b
    ]
