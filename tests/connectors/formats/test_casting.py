from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.formats.casting import text_to

PIECES = st.sampled_from(["2024", "-", "01", "31", "T", " ", "23", ":", "59", "60", ".5", "Z", "9"])
INSTANT = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
TEXT = st.one_of(
    INSTANT.map(dt.datetime.isoformat),
    INSTANT.map(str),
    st.lists(PIECES, max_size=12).map("".join),
    st.tuples(INSTANT.map(str), st.integers(0, 18), PIECES).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + 1 :]
    ),
)


@given(st.lists(TEXT, min_size=1), st.sampled_from(["ms", "us", "ns"]))
def test_instants_read_alike_whatever_their_neighbours(texts: list[str], unit: str) -> None:
    dtype = pl.Datetime(unit)  # type: ignore[arg-type]
    zoned = "2024-01-31T00:00:00+02:00"  # with it, all are read by their parts
    together, _ = text_to(pl.Series([*texts, zoned]), dtype)
    assert text_to(pl.Series(texts), dtype)[0].equals(together.head(len(texts)))
    for index, text in enumerate(texts):
        assert text_to(pl.Series([text]), dtype)[0][0] == together[index]


@pytest.mark.parametrize("separator", ["T", " "])
def test_instants_without_zone(separator: str) -> None:
    texts = pl.Series([f"2024-02-29{separator}23:59:59.25", None, f"2023-02-29{separator}00:00:00"])
    values, bad = text_to(texts, pl.Datetime("us"))
    assert values.to_list() == [dt.datetime(2024, 2, 29, 23, 59, 59, 250_000), None, None]
    assert bad.to_list() == [False, False, True]
