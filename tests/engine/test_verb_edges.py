"""Verbs at their edges: expressions of any length, constants, wide frames, odd input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.errors import ConfigError, PlanError
from penstock.stream import Stream

FRAMES = [pl.DataFrame({"a": [1, None, 2]}), pl.DataFrame({"a": [2]})]
WHOLE = pl.concat(FRAMES)


def stream() -> Stream:
    return ps.scan_batches(FRAMES)


@pytest.mark.parametrize(
    "exprs",
    [
        [pl.col("a").unique(maintain_order=True)],
        [pl.col("a").drop_nulls()],
        [pl.col("a").head(2)],
        [pl.lit(1).alias("one"), pl.col("a").sum()],
        [pl.col("a"), pl.col("a").sum().alias("total")],
        [pl.col("a").sort(descending=True).head(1), pl.len()],
    ],
)
def test_select_gives_as_many_rows_as_polars(exprs: list[pl.Expr]) -> None:
    found, wanted = stream().select(exprs).collect(), WHOLE.select(exprs)
    assert found.schema == wanted.schema
    assert sorted(found.rows(), key=str) == sorted(wanted.rows(), key=str)


def test_a_wide_frame_is_planned_in_time_that_grows_with_its_columns() -> None:
    frame = pl.DataFrame({f"c{i}": [i, i + 1, i] for i in range(500)})
    aggs = pl.exclude("c0").sum()
    found = ps.scan_batches([frame, frame]).group_by("c0").agg(aggs).collect()
    both = pl.concat([frame, frame])
    assert found.sort("c0").equals(both.group_by("c0").agg(aggs).sort("c0"))


BAD: dict[str, Callable[[], Any]] = {
    "constant key": lambda: stream().group_by(pl.lit(1)),
    "a frame among streams": lambda: ps.concat([stream(), WHOLE]),  # type: ignore[list-item]
    "no mapping": lambda: stream().rename(["a"]),  # type: ignore[arg-type]
    "strategy": lambda: stream().fill_null(strategy="zz"),
    "infinite lateness": lambda: stream().group_by("a", ttl=float("inf")),
    "window column": lambda: stream().with_watermark("a"),
    "count": lambda: stream().top_k(0, by="a"),
    "target": lambda: stream().sink_sqlite("x.db", "t", key="zz"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_on_the_users_line(name: str) -> None:
    with pytest.raises((PlanError, ConfigError)) as caught:
        BAD[name]()
    assert caught.value.step
    assert caught.value.line
    assert __file__ in caught.value.line
