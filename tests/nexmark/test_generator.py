"""The generator makes what its description says, and any range of events by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from benchmarks.nexmark.generator import SCHEMAS, SEQ, Nexmark
from hypothesis import given, settings
from hypothesis import strategies as st

WHOLE = 3_000


@pytest.fixture(scope="module")
def million() -> dict[str, pl.DataFrame]:
    return Nexmark().numbered(0, 1_000_000)


def share(bids: pl.DataFrame, condition: pl.Expr) -> float:
    return float(bids.select(condition.mean()).item())


def test_the_shares_that_the_queries_depend_on(million: dict[str, pl.DataFrame]) -> None:
    bids, price = million["bid"], pl.col("price")
    assert {name: frame.height for name, frame in million.items()} == {
        "person": 20_000,
        "auction": 60_000,
        "bid": 920_000,
    }
    assert share(bids, pl.col("auction") % 123 == 0) == pytest.approx(0.0074, abs=0.0003)
    euro = price * 0.908
    assert share(bids, (euro > 1e6) & (euro < 5e7)) == pytest.approx(0.283, abs=0.003)
    assert share(bids, price < 10_000) == pytest.approx(1 / 3, abs=0.003)
    assert share(bids, price >= 1_000_000) == pytest.approx(1 / 3, abs=0.003)
    assert bids["bidder"].n_unique() == pytest.approx(19_900, rel=0.005)
    pairs = bids.select(pl.struct("bidder", "auction").n_unique()).item()
    assert pairs == pytest.approx(293_000, rel=0.01)


def test_the_bids_that_find_their_auction(million: dict[str, pl.DataFrame]) -> None:
    made = pl.col("made")
    auctions = million["auction"].select("expires", auction="id", made=SEQ, begins="dateTime")
    bids = million["bid"].join(auctions, on="auction", how="left")
    future = made.is_null() | (made > pl.col(SEQ))
    assert share(bids, future) == pytest.approx(0.045, abs=0.001)
    valid = pl.col("dateTime").is_between("begins", "expires").fill_null(value=False)
    assert share(bids, valid) == pytest.approx(0.72, abs=0.005)


def test_records_have_their_average_sizes(million: dict[str, pl.DataFrame]) -> None:
    for name, fixed, wanted in (("person", 8, 200), ("auction", 48, 500)):
        texts = [pl.col(c).str.len_bytes() for c, t in SCHEMAS[name].items() if t == pl.String]
        size = million[name].select((fixed + pl.sum_horizontal(texts)).mean()).item()
        assert size == pytest.approx(wanted, rel=0.02)
    assert 32 + million["bid"]["extra"].str.len_bytes().mean() == pytest.approx(100, rel=0.02)


def test_time_and_schemas() -> None:
    events = Nexmark(rate=10_000).events(0, 1_000)
    assert {name: frame.schema for name, frame in events.items()} == SCHEMAS
    assert not any(frame.null_count().sum_horizontal().item() for frame in events.values())
    start = datetime(2026, 1, 1)
    people = [start + timedelta(milliseconds=5 * n) for n in range(20)]
    assert events["person"]["dateTime"].to_list() == people
    assert events["bid"]["dateTime"][-1] == start + timedelta(milliseconds=99)
    assert events["person"]["id"].to_list() == list(range(1000, 1020))
    assert events["auction"]["id"].to_list() == list(range(1000, 1060))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, WHOLE), st.integers(0, 1_000), st.sampled_from([1, 7, 100]))
def test_a_range_is_what_it_is_within_all(first: int, count: int, group: int) -> None:
    nexmark = Nexmark(seed=3, group=group)
    whole = nexmark.numbered(0, WHOLE + 1_100)
    for name, frame in nexmark.numbered(first, count).items():
        inside = pl.col(SEQ).is_between(first, first + count, closed="left")
        assert frame.equals(whole[name].filter(inside))


def test_events_out_of_order_are_the_same_events() -> None:
    ordered, shuffled = Nexmark().events(0, 1_000), Nexmark(group=100).events(0, 1_000)
    assert not shuffled["bid"]["dateTime"].is_sorted()
    for name, frame in ordered.items():
        assert shuffled[name].sort(frame.columns).equals(frame.sort(frame.columns))


def test_another_seed_makes_other_events() -> None:
    assert not Nexmark(seed=1).events(0, 500)["bid"].equals(Nexmark(seed=2).events(0, 500)["bid"])


def test_a_group_that_cannot_be_shuffled_is_refused() -> None:
    with pytest.raises(ValueError, match="953"):
        Nexmark(group=953)
