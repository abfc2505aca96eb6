"""A join whose condition keeps times near each other frees the rows that are too far back."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

import penstock as ps
from penstock.stream import Stream
from tests.sql_plan.oracle import DuckDB, same_rows

START = datetime(2024, 1, 1)


def frame(seed: int) -> pl.DataFrame:
    times = [START + timedelta(seconds=(seed + 3) * n % 61) for n in range(60)]
    return pl.DataFrame(
        {"k": [n * seed % 4 for n in range(60)], "ts": sorted(times), "n": range(60)}
    )


A, B = frame(1), frame(2)


def stream(rows: pl.DataFrame) -> Stream:
    return ps.scan_batches([rows[:20], rows[20:45], rows[45:]], event_time="ts")


NEAR = [
    "a.ts BETWEEN b.ts - INTERVAL '5' SECOND AND b.ts + INTERVAL '2' SECOND",
    "b.ts BETWEEN a.ts AND a.ts + INTERVAL '5' SECOND",
    "a.ts BETWEEN b.ts - INTERVAL '5' SECOND AND b.ts AND a.n < b.n",
]


@pytest.mark.parametrize("condition", NEAR)
def test_rows_near_each_other_are_joined(condition: str) -> None:
    query = f"SELECT a.k, a.n, b.n AS other FROM a JOIN b ON a.k = b.k WHERE {condition}"
    joined = ps.sql(query, a=stream(A), b=stream(B))
    assert "IntervalJoin" in joined.explain()
    assert same_rows(joined.collect().rows(), DuckDB({"a": A, "b": B}).answer(query))


@pytest.mark.parametrize(
    "condition",
    [
        "a.ts BETWEEN b.ts AND b.ts - INTERVAL '5' SECOND",
        "a.ts BETWEEN b.ts - INTERVAL '1' MONTH AND b.ts",
        "a.ts BETWEEN b.ts - INTERVAL '5' SECOND AND a.ts",
        "a.n BETWEEN b.n AND b.n",
    ],
)
def test_other_conditions_are_filters(condition: str) -> None:
    query = f"SELECT a.k, a.n, b.n AS other FROM a JOIN b ON a.k = b.k WHERE {condition}"
    joined = ps.sql(query, a=stream(A), b=stream(B))
    assert "IntervalJoin" not in joined.explain()
    assert same_rows(joined.collect().rows(), DuckDB({"a": A, "b": B}).answer(query))


def test_without_a_watermark_nothing_would_be_freed() -> None:
    query = f"SELECT a.n, b.n AS other FROM a JOIN b ON a.k = b.k AND {NEAR[0]}"
    assert "IntervalJoin" not in ps.sql(query, a=A, b=stream(B)).explain()
