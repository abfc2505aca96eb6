"""Rate and ticks, with a clock that the test drives."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from penstock.connectors.contract import SourceSpec, lag_of
from penstock.connectors.generators.config import RateSpec, TickSpec
from penstock.connectors.generators.source import RateSource, TickSource
from penstock.errors import ConfigError

START = datetime(2024, 1, 1, tzinfo=UTC)
START_NS = int(START.timestamp()) * 10**9


class ManualClock:
    """Time passes when someone sleeps, or when told."""

    def __init__(self) -> None:
        self.now = START_NS

    def now_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def wake(self) -> None:
        """Nobody waits in real time."""


def test_specs_fit_the_contract() -> None:
    assert isinstance(RateSpec(), SourceSpec)
    assert isinstance(TickSpec(timedelta(seconds=1)), SourceSpec)
    assert RateSpec(5) == RateSpec(5)


def test_as_fast_as_polled() -> None:
    spec = RateSpec(total=10, start=START, interval=timedelta(seconds=1))
    source = spec.open()
    source.seek(None)
    polls = [source.poll(4, 0) for _ in range(3)]
    assert [polled.frame.height for polled in polls] == [4, 4, 2]
    assert [polled.ended for polled in polls] == [False, False, True]
    frame = pl.concat([polled.frame for polled in polls])
    assert frame.schema == spec.schema
    assert frame.rows() == [(n, START + timedelta(seconds=n)) for n in range(10)]


def test_a_position_brings_the_same_rows() -> None:
    spec = RateSpec(total=10)
    source = spec.open()
    source.seek(None)
    position = source.poll(3, 0).position
    rest = source.poll(100, 0).frame
    again = spec.open()
    again.seek(position)
    assert again.poll(100, 0).frame.equals(rest)


def test_long_intervals_do_not_overflow() -> None:
    source = RateSpec(total=2_000_000, start=START, interval=timedelta(minutes=90)).open()
    source.seek({"offset": 1_999_999, "start_us": START_NS // 1000})
    assert source.poll(5, 0).frame.row(0) == (1_999_999, START + 1_999_999 * timedelta(minutes=90))


def rate(clock: ManualClock, *, start: datetime | None = None) -> RateSource:
    return RateSource(pace_ns=10_000_000, event_ns=10_000_000, total=None, start=start, clock=clock)


def test_rows_that_are_due_are_the_lag() -> None:
    clock = ManualClock()
    source = rate(clock)
    source.seek(None)
    clock.now += 1_000_000_000
    assert source.lag() == 101
    source.poll(40, 0)
    assert source.lag() == 61
    endless = RateSpec().open()
    endless.seek(None)
    assert lag_of(endless) is None


def test_rows_come_at_their_rate() -> None:
    clock = ManualClock()
    source = rate(clock)
    source.seek(None)
    assert source.poll(100, 0).frame["offset"].to_list() == [0]
    polled = source.poll(100, 1)  # returns with the next row, not after the time-out
    assert polled.frame.rows() == [(1, START + timedelta(milliseconds=10))]
    assert clock.now == START_NS + 10_000_000
    clock.now += 100_000_000
    assert source.poll(3, 0).caught_up is False
    polled = source.poll(100, 0)
    assert polled.frame["offset"].to_list() == [5, 6, 7, 8, 9, 10, 11]
    assert polled.caught_up
    assert source.poll(100, 0.001).frame.is_empty()


def test_without_a_start_a_restart_catches_up_and_with_one_it_goes_on() -> None:
    for start, expected in ((None, 100), (START, 1)):
        clock = ManualClock()
        source = rate(clock, start=start)
        source.seek(None)
        position = source.poll(100, 0).position
        clock.now += 10**9
        source = rate(clock, start=start)
        source.seek(position)
        assert source.poll(1000, 0).frame.height == expected


def test_late_ticks_are_one() -> None:
    clock = ManualClock()
    source = TickSource(10**9, clock)
    source.seek(None)
    assert source.poll(10, 0.5).frame.is_empty()
    assert source.poll(10, 60).frame.rows() == [(1, START + timedelta(seconds=1))]
    clock.now += 5 * 10**9
    polled = source.poll(10, 0)
    assert polled.frame.rows() == [(6, START + timedelta(seconds=6))]
    assert polled.caught_up
    clock.now += 7 * 10**9
    again = TickSource(10**9, clock)
    again.seek(polled.position)
    assert again.poll(10, 0).frame["tick"].to_list() == [13]


@pytest.mark.parametrize("spec", [RateSpec(0.001), TickSpec(timedelta(hours=1))])
def test_close_ends_a_wait(spec: RateSpec | TickSpec) -> None:
    source = spec.open()
    source.seek(None)
    source.poll(10, 0)
    waiter = threading.Thread(target=source.poll, args=(10, 600))
    waiter.start()
    source.close()
    waiter.join(30)
    assert not waiter.is_alive()


def test_bad_options_are_refused() -> None:
    for bad in (0, -1, 1e9, float("nan")):
        with pytest.raises(ConfigError, match="rows_per_second must be above 0"):
            RateSpec(bad)
    with pytest.raises(ConfigError, match="must not be negative"):
        RateSpec(total=-1)
    with pytest.raises(ConfigError, match="needs a time zone"):
        RateSpec(start=datetime(2024, 1, 1))
    with pytest.raises(ConfigError, match="must be positive"):
        RateSpec(interval=timedelta(0))
    with pytest.raises(ConfigError, match="at least a millisecond"):
        TickSpec(timedelta(0))
