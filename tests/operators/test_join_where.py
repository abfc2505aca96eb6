"""Joins on predicates against nested loops."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.plan.joins import Join
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.histories import bag, changing, driven, fewer, histories

LEFT: dict[str, Any] = {"k": pl.Int64, "a": pl.Int64}
RIGHT: dict[str, Any] = {"k": pl.Int64, "b": pl.Int64}
_ROWS = st.tuples(st.none() | st.integers(0, 2), st.none() | st.integers(0, 5))

PREDICATES: list[tuple[list[pl.Expr], Any, int]] = [
    ([pl.col("a") < pl.col("b")], lambda x, y: x[1] < y[1], 0),
    ([pl.col("k") == pl.col("k_right")], lambda x, y: x[0] == y[0], 1),
    (
        [(pl.col("b") + 1 == pl.col("a") * 2) & (pl.col("k") == pl.col("k_right"))],
        lambda x, y: y[1] + 1 == x[1] * 2 and x[0] == y[0],
        2,
    ),
    (
        [pl.col("k") == pl.col("k_right"), pl.col("a") >= pl.col("b") - 2],
        lambda x, y: x[0] == y[0] and x[1] >= y[1] - 2,
        1,
    ),
    ([pl.col("a") == pl.col("k"), pl.col("b") > 2], lambda x, y: x[0] == x[1] and y[1] > 2, 0),
]


@pytest.mark.parametrize("case", range(len(PREDICATES)))
@fewer
@given(data=st.data())
def test_every_epoch_equals_nested_loops(case: int, data: st.DataObject) -> None:
    predicates, true, keys = PREDICATES[case]
    count = data.draw(st.integers(1, 4))
    left = data.draw(histories(LEFT, _ROWS, count))
    right = data.draw(histories(RIGHT, _ROWS, count))
    make: Any = {True: changing, False: scripted}
    one, two = make[left.changelog]("l", LEFT), make[right.changelog]("r", RIGHT)
    stream = one.join_where(two, *predicates)
    assert isinstance(stream.node, Join)
    assert len(stream.node.left_on) == keys
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("lr", [left, right]), restart_after=restarts)

    def fits(x: Any, y: Any) -> bool:
        try:
            return bool(true(x, y)) and not (keys and (x[0] is None or y[0] is None))
        except TypeError:  # a comparison with null is not true
            return False

    for epoch in range(count):
        pairs = [(x, y) for x in left.contents(epoch) for y in right.contents(epoch)]
        if case == 4:  # null = null is not true
            pairs = [(x, y) for x, y in pairs if x[0] is not None]
        expected = Counter(x + y for x, y in pairs if fits(x, y))
        assert bag(integrate(stream, deltas[: epoch + 1])) == expected


def test_a_large_cross_is_filtered_block_by_block() -> None:
    left = pl.DataFrame({"a": range(3000)})
    right = pl.DataFrame({"b": range(3000)})
    stream = scripted("l", left.schema).join_where(
        scripted("r", right.schema), pl.col("a") - pl.col("b") == 2998
    )
    deltas = outputs(stream, [Epoch({"l": left}), Epoch({"r": right})])
    assert integrate(stream, deltas).sort("a").rows() == [(2998, 0, 1), (2999, 1, 1)]


def test_what_is_wrong_is_said_at_once() -> None:
    one, two = scripted("l", LEFT), scripted("r", RIGHT)
    with pytest.raises(PlanError, match="not Boolean"):
        one.join_where(two, pl.col("a") + pl.col("b"))
    with pytest.raises(PlanError, match="other rows"):
        one.join_where(two, pl.col("a") > pl.col("b").mean())
    with pytest.raises(PlanError, match="did you mean 'k_right'"):
        one.join_where(two, pl.col("k") == pl.col("k_rigt"))
    with pytest.raises(PlanError, match="no predicate"):
        one.join_where(two)
