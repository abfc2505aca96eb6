"""Instants written alike, against Python's own arithmetic and against the way for any spelling."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.connectors.formats.casting import text_to
from penstock.connectors.formats.uniform_iso import few_iso, uniform_iso

if TYPE_CHECKING:
    from polars._typing import TimeUnit

UNITS: list[TimeUnit] = ["ms", "us", "ns"]
INSTANTS = st.lists(
    st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)), min_size=1, max_size=20
)
EPOCH = dt.datetime(1970, 1, 1)
PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def written(instant: dt.datetime, separator: str, fraction: str, zone: str) -> str:
    whole = f"{instant.year:04}-{instant:%m-%d}{separator}{instant:%H:%M:%S}"
    return f"{whole}{'.' if fraction else ''}{fraction}{zone}"


@given(
    INSTANTS,
    st.sampled_from(UNITS),
    st.sampled_from("T "),
    st.text("0123456789", max_size=9),
    st.sampled_from(["", "Z"]),
)
def test_reads_what_python_reads(
    instants: list[dt.datetime], unit: TimeUnit, separator: str, fraction: str, zone: str
) -> None:
    texts = pl.Series([written(i, separator, fraction, zone) for i in instants])
    read = uniform_iso(texts, unit)
    held = all(1678 <= i.year <= 2261 for i in instants)
    assert (read is not None) == (held or unit != "ns")
    few = few_iso(texts, unit)
    assert (few is None) == (read is None)
    if read is not None and few is not None:
        assert few.equals(read)
        behind = int(fraction.ljust(9, "0")) * PER_SECOND[unit] // 10**9
        seconds = [(i.replace(microsecond=0) - EPOCH) // dt.timedelta(seconds=1) for i in instants]
        assert read.dtype == pl.Datetime(unit, "UTC")
        expected = [s * PER_SECOND[unit] + behind for s in seconds]
        assert read.cast(pl.Int64).to_list() == expected


@given(
    INSTANTS,
    st.sampled_from(UNITS),
    st.sampled_from(["", "5", "123456", "123456789"]),
    st.data(),
)
def test_one_text_spoilt_reads_as_on_the_way_for_any_spelling(
    instants: list[dt.datetime], unit: TimeUnit, fraction: str, data: st.DataObject
) -> None:
    texts = [written(i, "T", fraction, data.draw(st.sampled_from(["", "Z"]))) for i in instants]
    at = data.draw(st.integers(0, len(texts) - 1))
    place = data.draw(st.integers(0, len(texts[at]) - 1))
    texts[at] = (
        texts[at][:place] + data.draw(st.sampled_from("05679 :-.TZz/é٣")) + texts[at][place + 1 :]
    )
    alone, _ = text_to(pl.Series(texts), pl.Datetime(unit))
    many, _ = text_to(pl.Series(texts * 150), pl.Datetime(unit))
    assert alone.equals(many.head(len(texts)))
    beside, _ = text_to(pl.Series([*texts, "2024-01-31T00:00:00+02:00"]), pl.Datetime(unit))
    assert alone.equals(beside.head(len(texts)))


@pytest.mark.parametrize(
    "text",
    ["2024-02-30T00:00:00", "2024-01-01T24:00:00", "2024-01-01T00:00:61", "0000-00-00T00:00:00"],
)
def test_what_no_calendar_knows_is_left_to_the_way_for_any_spelling(text: str) -> None:
    assert uniform_iso(pl.Series(["2024-01-01T00:00:00", text]), "us") is None
    assert uniform_iso(pl.Series([text]), "us") is None


def test_a_leap_second_is_the_next_minute_on_both_ways() -> None:
    leap = pl.Series(["2016-12-31T23:59:60.5Z"])
    read = uniform_iso(leap, "us")
    assert read is not None
    assert read.dt.replace_time_zone(None).to_list() == [dt.datetime(2017, 1, 1, 0, 0, 0, 500_000)]
    beside, _ = text_to(pl.Series([leap[0], "2024-01-31"]), pl.Datetime("us"))
    assert beside[0] == dt.datetime(2017, 1, 1, 0, 0, 0, 500_000)


def test_nothing_and_other_shapes_are_left_alone() -> None:
    assert uniform_iso(pl.Series([], dtype=pl.String), "us") is None
    assert uniform_iso(pl.Series(["2024-01-01"]), "us") is None
    assert uniform_iso(pl.Series(["2024-01-01T00:00:00", "2024-01-01T00:00:00Z"]), "us") is None
