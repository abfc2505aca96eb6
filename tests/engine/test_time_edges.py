"""Event time at the edges: partitions that come and end, two levels of windows, far instants."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.columns import WEIGHT
from penstock.stream import Stream
from penstock.testing import Epoch, integrate, outputs, scripted

SCHEMA = {"k": pl.Int64(), "ts": pl.Datetime("us")}


def at(second: int) -> datetime:
    return datetime(2025, 1, 1) + timedelta(seconds=second)


def frame(*rows: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame([{"k": k, "ts": at(second)} for k, second in rows], schema=SCHEMA)


def timed(name: str, lateness: str = "0s", **facts: bool) -> Stream:
    stream = scripted(name, SCHEMA, **facts)
    return stream.with_watermark("ts", lateness, idle_timeout=None, max_ahead=None)


def rows_of(stream: Stream, epochs: list[Epoch], **options: Any) -> list[tuple[Any, ...]]:
    found = integrate(stream, outputs(stream, epochs, **options))
    assert set(found[WEIGHT].to_list()) <= {1}
    return sorted(found.select(stream.columns).rows())


@pytest.mark.parametrize("restart", [None, {0}])
def test_a_late_row_is_late_also_in_the_batch_with_which_its_source_ends(
    restart: set[int] | None,
) -> None:
    joined = timed("a").join(timed("b"), on="k").select("k", "ts_right")
    epochs = [
        Epoch({"a": frame((1, 10)), "b": frame((1, 100))}),
        Epoch({"b": frame((1, 5))}, ended=frozenset({"a", "b"})),
    ]
    assert rows_of(joined, epochs, restart_after=restart) == [(1, at(100))]


@pytest.mark.parametrize("restart", [None, {0}])
def test_a_partition_that_appears_behind_the_watermark_brings_late_rows(
    restart: set[int] | None,
) -> None:
    windows = timed("a", partitioned=True).group_by(ps.tumbling("10s")).agg(pl.len())
    epochs = [
        Epoch({("a", 0): frame((1, 1), (1, 35))}),
        Epoch({("a", 1): frame((1, 2), (1, 36))}),
        Epoch(ended=frozenset({"a"})),
    ]
    assert rows_of(windows, epochs, restart_after=restart) == [
        (at(0), at(10), 1),
        (at(30), at(40), 2),
    ]


def test_a_source_that_ends_without_rows_no_longer_holds_the_watermark() -> None:
    both = ps.concat([scripted("a", SCHEMA), scripted("b", SCHEMA)])
    stream = both.with_watermark("ts", idle_timeout=None, max_ahead=None)
    windows = stream.group_by(ps.tumbling("10s")).agg(pl.len())
    epochs = [
        Epoch({"a": frame((1, 1), (1, 35)), "b": frame((1, 2))}),
        Epoch(ended=frozenset({"b"})),
    ]
    assert rows_of(windows, epochs) == [(at(0), at(10), 2)]


SECOND_LEVELS = [ps.tumbling("5s", on="window_start"), ps.session("2s", on="window_start")]


@pytest.mark.parametrize("second", [*SECOND_LEVELS, ps.sliding("3s", on="window_start")])
@pytest.mark.parametrize("agg", [pl.col("n").sum(), pl.col("n").median()])
@pytest.mark.parametrize("restart", [None, {2, 4}])
def test_windows_over_the_starts_of_windows_wait_for_them(
    second: Any, agg: pl.Expr, restart: set[int] | None
) -> None:
    """A start comes a whole window later than the watermark that is at it."""
    first = timed("a").group_by(ps.tumbling("3s")).agg(n=pl.len())
    stream = first.group_by(second).agg(agg)
    seconds = [0, 1, 4, 5, 6, 9, 10, 11, 14, 20]
    ended = Epoch(ended=frozenset({"a"}))
    one_by_one = [*(Epoch({"a": frame((1, second))}) for second in seconds), ended]
    at_once = [Epoch({"a": frame(*((1, second) for second in seconds))}), ended]
    assert rows_of(stream, one_by_one, restart_after=restart) == rows_of(stream, at_once)


def test_order_of_arrival_holds_in_hopping_windows_as_changes() -> None:
    stream = scripted("a", SCHEMA).group_by(ps.hopping("4s", slide="2s", on="ts"))
    firsts = stream.agg(pl.col("k").first(), last=pl.col("k").last(), all=pl.col("k").median())
    epochs = [Epoch({"a": frame((1, 3), (2, 1), (3, 2))}), Epoch(ended=frozenset({"a"}))]
    assert [(row[0], row[2], row[3]) for row in rows_of(firsts, epochs)] == [
        (at(-2), 2, 2),
        (at(0), 1, 3),
        (at(2), 1, 3),
    ]


def test_an_instant_that_python_cannot_hold_is_a_dead_letter_like_any_other() -> None:
    far = pl.DataFrame({"ts": pl.Series([0, 2**62]).cast(pl.Datetime("us"))})
    stream = ps.scan_batches([far], event_time="ts")
    assert stream.group_by(ps.tumbling("10s")).agg(pl.len()).collect().height == 1
    (dead,) = stream.dead_letters.collect().rows(named=True)
    assert "ahead of the clock" in dead["reason"]


def test_a_time_that_is_written_over_is_no_longer_bounded() -> None:
    stream = timed("a").with_columns(
        n=pl.len().over("ts"), ts=pl.col("ts") - pl.duration(seconds=100)
    )
    with pytest.raises(ps.PlanError, match="no event-time column"):
        stream.group_by(ps.tumbling("1s")).agg(pl.len())
    assert stream.group_by(ps.tumbling("1s", on="ts")).agg(pl.len()).is_changelog
