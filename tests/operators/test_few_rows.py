"""Groups of a few rows, merged without a query: against Polars over all rows, around the switch."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.operators.few_rows import FEW
from penstock.testing import scripted
from tests.operators.oracle import (
    Bag,
    bag_of,
    check_every_epoch,
    cuts,
    epochs_of,
    frames,
    half,
    restarts,
    split,
)

SCHEMA: dict[str, Any] = {
    "k": pl.Float64,
    "s": pl.String,
    "at": pl.Datetime("us"),
    "small": pl.Int16,
    "i": pl.Int64,
    "u": pl.UInt64,
    "f": pl.Float64,
    "g": pl.Float32,
}
AGGS = [
    pl.len().alias("n"),
    *(pl.col(c).count().alias(f"{c}_count") for c in ("i", "f", "at")),
    *(pl.col(c).sum().alias(f"{c}_sum") for c in ("small", "i", "u", "f")),
    *(pl.col(c).max().alias(f"{c}_max") for c in ("small", "i", "u", "f", "g", "at")),
    *(pl.col(c).min().alias(f"{c}_min") for c in ("small", "i", "u", "f", "g", "at")),
    pl.col("f").mean().alias("mean"),
]
NAN = float("nan")
FLOATS = [0.0, -0.0, 1.5, -2.25, 1e15, NAN]  # sums of these are exact in any order
VALUES: dict[str, list[Any]] = {
    "k": [0.0, -0.0, 1.0, NAN, None],
    "s": ["", "a", "é", None],
    "at": [dt.datetime(1969, 1, 1), dt.datetime(2024, 1, 1, microsecond=1), None],
    "small": [-(2**15), 2**15 - 1, 0, None],
    "i": [-(2**62), 2**62, 3, None],
    "u": [0, 2**64 - 1, None],
    "f": [*FLOATS, None],
    "g": [*FLOATS, None],
}
ROW = st.fixed_dictionaries({name: st.sampled_from(found) for name, found in VALUES.items()})
WITHOUT_NULLS = st.fixed_dictionaries(
    {name: st.sampled_from([v for v in found if v is not None]) for name, found in VALUES.items()}
)
ROWS = st.lists(WITHOUT_NULLS, max_size=25) | st.lists(ROW, max_size=25)
KEYS: list[list[Any]] = [["k"], ["s"], ["s", "at"], [pl.col("i").alias("key"), "small"]]


def check(keys: list[Any], batches: list[pl.DataFrame], aggs: list[pl.Expr], again: Any) -> None:
    def oracle(number: int) -> Bag:
        return bag_of(pl.concat(batches[: number + 1]).group_by(keys).agg(aggs))

    stream = scripted("s", SCHEMA).group_by(keys).agg(aggs)
    check_every_epoch(stream, epochs_of("s", batches), oracle, again)


@pytest.mark.parametrize("keys", KEYS)
@half
@given(ROWS, cuts(), restarts(), st.sets(st.sampled_from(range(len(AGGS))), min_size=1))
def test_small_epochs(keys: list[Any], rows: Any, at: Any, again: Any, chosen: set[int]) -> None:
    check(keys, frames(split(rows, at), SCHEMA), [AGGS[i] for i in sorted(chosen)], again)


@pytest.mark.parametrize("aggs", [AGGS[:1], AGGS[-1:], AGGS])
@pytest.mark.parametrize("nulls", [False, True])
def test_epochs_around_the_switch(aggs: list[pl.Expr], nulls: bool) -> None:
    random.seed(1)
    given = {n: [v for v in found if nulls or v is not None] for n, found in VALUES.items()}
    batches = [
        pl.DataFrame(
            {name: random.choices(found, k=size) for name, found in given.items()}, schema=SCHEMA
        )
        for size in (FEW, 1, FEW + 1, 2, 0, FEW - 1, 3 * FEW, 1)
    ]
    check(["k"], batches, aggs, {2})
    check([pl.col("i").alias("key"), "s"], batches, aggs, {3})


def test_a_group_that_stays_the_same_emits_nothing() -> None:
    rows = pl.DataFrame(
        {"k": [1.0, 2.0], "f": [NAN, 5.0]}, schema={"k": pl.Float64, "f": pl.Float64}
    )
    stream = scripted("s", dict(rows.schema)).group_by("k").agg(pl.col("f").max())
    deltas = check_every_epoch(stream, epochs_of("s", [rows, rows]), lambda _: bag_of(rows), set())
    assert deltas[0] is not None
    assert deltas[1:] == [None, None]
