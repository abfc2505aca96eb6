"""Running functions: against Polars over the whole input."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from penstock.errors import PlanError
from penstock.testing import Epoch, outputs, scripted
from tests.operators.oracle import changing, cuts, epochs_of, frames, restarts, split
from tests.operators.states import Run

SCHEMA: dict[str, Any] = {
    "id": pl.Int64,
    "alive": pl.Boolean,
    "k": pl.String,
    "v": pl.Int64,
    "f": pl.Float64,
    "i": pl.Int8,
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 3),
            "alive": st.none() | st.booleans(),
            "k": st.sampled_from([None, "a", "b"]),
            "v": st.none() | st.integers(-3, 3),
            "f": st.sampled_from([None, 0.5, -1.0, 2.0]),
            "i": st.none() | st.integers(-100, 100),
        }
    ),
    max_size=25,
)
V, F, SMALL = pl.col("v"), pl.col("f"), pl.col("i")
CALLS: list[pl.Expr] = [
    V.cum_sum(),
    F.cum_sum(),
    SMALL.cum_sum(),
    pl.col("alive").cum_sum(),
    (V + SMALL).cum_sum() * 2,
    V.cum_count(),
    V.cum_min(),
    F.cum_max(),
    pl.col("i").cum_prod(),
    V.shift(1),
    pl.col("k").shift(3),
    V.diff(),
    SMALL.diff(2),
    V.forward_fill(),
    pl.col("k").forward_fill(),
    pl.int_range(pl.len()),
    pl.int_range(5, pl.len() + 5, dtype=pl.UInt32).alias("number"),
    V - V.shift(2),
    pl.when(V.shift(1) < V).then(F.cum_sum()).otherwise(F),
]
CHOSEN = st.lists(st.sampled_from(range(len(CALLS))), min_size=1, max_size=4, unique=True)


@pytest.mark.parametrize("keys", [[], ["k"], ["k", "id"]])
@given(ROWS, cuts(), restarts(), CHOSEN, st.booleans())
def test_equals_polars(
    keys: list[str], rows: Any, at: Any, restart: Any, chosen: list[int], select: bool
) -> None:
    batches = frames(split(rows, at), SCHEMA)
    exprs = [CALLS[c].over(keys) if keys else CALLS[c] for c in chosen]
    exprs = [expr.alias(f"c{n}") for n, expr in enumerate(exprs)]
    source = scripted("s", SCHEMA)
    stream = source.select("k", *exprs) if select else source.with_columns(exprs)
    assert stream.node.kind == "Running"
    assert not stream.is_changelog
    whole = pl.concat(batches)
    wanted = whole.select("k", *exprs) if select else whole.with_columns(exprs)
    deltas = outputs(stream, epochs_of("s", batches), restart_after=restart)
    found = pl.concat([wanted.clear(), *(d for d in deltas if d is not None)])
    assert_frame_equal(found, wanted)


@given(ROWS, cuts(), restarts(), st.integers(0, 7))
def test_row_index(rows: Any, at: Any, restart: Any, offset: int) -> None:
    batches = frames(split(rows, at), SCHEMA)
    stream = scripted("s", SCHEMA).with_row_index("n", offset)
    deltas = outputs(stream, epochs_of("s", batches), restart_after=restart)
    wanted = pl.concat(batches).with_row_index("n", offset)
    assert_frame_equal(pl.concat([wanted.clear(), *(d for d in deltas if d is not None)]), wanted)


OTHERS: list[pl.Expr] = [
    V.cum_sum(reverse=True),
    V.shift(-1),
    V.shift(1, fill_value=0),
    V.diff(-1),
    V.sum(),
    V.forward_fill(limit=1),
    V.shift(1).cum_sum(),
    V.cum_sum().over("k") + V.cum_sum().over("id"),
    V.cum_sum() + V.cum_sum().over("k"),
    V.cum_sum().over("k", order_by="f"),
    V.rank(),
    V.cum_sum() - V.mean(),
    pl.int_range(0, 2 * pl.len(), 2),
]


@pytest.mark.parametrize("number", range(len(OTHERS)))
def test_whatever_needs_more_is_recomputed(number: int) -> None:
    stream = scripted("s", SCHEMA).with_columns(OTHERS[number].alias("x"))
    assert stream.node.kind == "Over"


def test_changes_are_recomputed() -> None:
    stream = changing(scripted("s", SCHEMA), "k", "v")
    assert stream.with_columns(x=V.cum_sum().over("k")).node.kind == "Over"
    with pytest.raises(PlanError, match="no order of arrival"):
        stream.with_row_index()


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_across_two_epochs(number: int) -> None:
    row = {"id": 1, "alive": True, "k": "a", "f": 1.0, "i": 2}
    whole = pl.DataFrame([{**row, "v": v} for v in (1, 2, None, 4, -5, 6)], SCHEMA)
    expr = CALLS[number].over("k").alias("x")
    epochs = epochs_of("s", [whole[:2], whole[2:3], whole[3:]])
    deltas = outputs(scripted("s", SCHEMA).select(expr), epochs)
    assert_frame_equal(pl.concat(d for d in deltas if d is not None), whole.select(expr))


def test_only_what_is_carried_is_kept() -> None:
    run = Run(scripted("s", SCHEMA).with_columns(x=V.cum_sum().over("k"), y=V.shift(3).over("k")))
    row = {"id": 1, "alive": True, "k": "a", "v": 1, "f": 1.0, "i": 1}
    for _ in range(50):
        run(Epoch({"s": pl.DataFrame([row, row], SCHEMA)}))
    assert run.rows("carried") == 3
