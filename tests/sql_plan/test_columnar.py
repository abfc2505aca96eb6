"""What is evaluated once for each grain of time is what row by row gives."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.plan.expressions import fingerprint
from penstock.sql_plan.columnar import over_instants

SECOND = 1_000_000_000
TEXT = pl.col("x").dt.to_string("%Y-%m-%d %H:%M:%S")
TYPES = (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns"), pl.Datetime("us", "UTC"))
NEAR = st.timedeltas(timedelta(seconds=-90), timedelta(seconds=90))
FAR = st.timedeltas(timedelta(days=-30_000), timedelta(days=30_000))


def evaluated(instants: pl.Series) -> list[str | None]:
    text = over_instants(TEXT, pl.String(), pl.col("t"), SECOND)
    return instants.to_frame("t").select(text).to_series().to_list()


@settings(max_examples=60)
@given(st.lists(st.none() | NEAR), st.lists(FAR, max_size=2), st.sampled_from(TYPES))
def test_instants_near_and_far(
    near: list[timedelta | None], far: list[timedelta], dtype: pl.Datetime
) -> None:
    moments = [None if d is None else datetime(1970, 1, 1) + d for d in near * 4 + far]
    rows = pl.Series("t", moments, dtype=pl.Datetime("us")).cast(dtype)
    expected = rows.to_frame("x").select(TEXT).to_series().to_list()
    assert evaluated(rows) == expected


def test_times_of_the_day() -> None:
    rows = pl.Series([time(0, 0, s % 3, s) for s in range(40)] + [None, time(23, 59, 59, 999_999)])
    text = pl.col("x").dt.to_string("%H:%M:%S")
    found = rows.to_frame("t").select(over_instants(text, pl.String(), pl.col("t"), SECOND))
    assert found.to_series().to_list() == [t and t.strftime("%H:%M:%S") for t in rows]


@pytest.mark.parametrize("rows", [[], [None], [None] * 9])
def test_no_instants(rows: list[None]) -> None:
    assert evaluated(pl.Series(rows, dtype=pl.Datetime("us"))) == rows


def test_a_grain_is_looked_at_once() -> None:
    seen = []

    def note(values: pl.Series) -> pl.Series:
        seen.append(len(values))
        return values.cast(pl.String)

    expr = pl.col("x").map_batches(note, return_dtype=pl.String, is_elementwise=True)
    rows = pl.DataFrame({"t": [datetime(2020, 1, 1, 0, 0, s % 5, s) for s in range(600)]})
    rows.select(over_instants(expr, pl.String(), pl.col("t"), SECOND))
    assert seen == [5]


def test_different_texts_of_one_column_have_different_fingerprints() -> None:
    hour, minute = pl.col("x").dt.hour().cast(pl.String), pl.col("x").dt.minute().cast(pl.String)
    of = [fingerprint(over_instants(e, pl.String(), pl.col("t"), SECOND)) for e in (hour, minute)]
    assert of[0] != of[1]
    assert of[0] == fingerprint(over_instants(hour, pl.String(), pl.col("t"), SECOND))
