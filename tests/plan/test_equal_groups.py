"""Aggregations that repeat another one under other names are run once, with the same results."""

from __future__ import annotations

from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.lowering import table as lowering
from penstock.testing import Epoch, drive, integrate, scripted

SCHEMA = {"id": pl.Int64, "k": pl.Int64, "v": pl.Int64}
ROW = st.tuples(st.integers(0, 5), st.integers(0, 2), st.one_of(st.none(), st.integers(-2, 2)))
EPOCHS = st.lists(st.lists(ROW, max_size=5), min_size=1, max_size=5)


def rows(*, changes: bool) -> ps.Stream:
    """Rows that stay, or the newest of each id: a changelog."""
    base = scripted("s", SCHEMA)
    return base.group_by("id").agg(pl.col("k", "v").last()) if changes else base


def counts(base: ps.Stream, suffix: str, *, above: int = -1) -> ps.Stream:
    renamed = base.select(pl.col("k").alias(f"k{suffix}"), pl.col("v").alias(f"v{suffix}"))
    kept = renamed.filter(pl.col(f"v{suffix}") > above)
    return kept.group_by(f"k{suffix}").agg(
        pl.len().alias(f"n{suffix}"), pl.col(f"v{suffix}").sum().alias(f"sum{suffix}")
    )


def most(base: ps.Stream) -> ps.Stream:
    """The keys with the most rows: counts joined with the maximum of the same counts."""
    best = counts(base, "_b").select(pl.col("n_b").max())
    return counts(base, "_a").join(best, left_on="n_a", right_on="n_b")


def sides(base: ps.Stream) -> ps.Stream:
    return counts(base, "_a").join(counts(base, "_b"), left_on="k_a", right_on="n_b", how="full")


def kinds(stream: ps.Stream) -> list[str]:
    return [vertex.kind for vertex in lowering.lower([stream.node]).vertices]


def frame(batch: list[Any]) -> Epoch:
    return Epoch({"s": pl.DataFrame(batch, schema=SCHEMA, orient="row")})


def totals(stream: ps.Stream, batches: list[list[Any]]) -> list[list[Any]]:
    found, sofar = [], []
    for deltas in drive(stream, map(frame, batches), restart_after={1}):
        sofar.append(deltas[0])
        found.append(sorted(integrate(stream, sofar).rows(), key=str))
    return found


def test_an_aggregation_under_other_names_is_run_once() -> None:
    assert kinds(sides(rows(changes=False))).count("running-aggregate") == 1
    assert kinds(most(rows(changes=False))).count("running-aggregate") == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda base: counts(base, "_b", above=0),
        lambda base: base.group_by(pl.col("k") + 0).agg(pl.len(), pl.col("v").sum()),
        lambda base: base.filter(pl.col("v") > -1).group_by("k").agg(pl.col("v").max()),
        lambda base: base.filter(pl.col("k") > -1).group_by("k").agg(pl.len(), pl.col("v").sum()),
    ],
)
def test_what_says_something_else_stays_apart(other: Any) -> None:
    base = rows(changes=False)
    found = other(base)
    joined = counts(base, "_a").join(found, left_on="k_a", right_on=found.columns[0])
    assert kinds(joined).count("running-aggregate") == 2


def test_a_step_with_a_name_keeps_its_state() -> None:
    base = rows(changes=False)
    named = counts(base, "_b").named("mine")
    joined = counts(base, "_a").join(named, left_on="k_a", right_on="k_b")
    assert kinds(joined).count("running-aggregate") == 2


@given(batches=EPOCHS, query=st.sampled_from([most, sides]), changes=st.booleans())
@settings(max_examples=30)
def test_the_results_are_those_of_the_plan_as_written(
    batches: list[list[Any]], query: Any, changes: bool
) -> None:
    stream = query(rows(changes=changes))
    with mock.patch.object(lowering, "one_of_equal_groups", list):
        apart = totals(stream, batches)
    assert totals(stream, batches) == apart
