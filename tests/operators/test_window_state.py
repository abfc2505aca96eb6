"""Row-count windows; what windows keep, and when they let go of it; local time and calendars."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.testing import Epoch, outputs, scripted
from penstock.windows import hopping, session, sliding, tumbling
from tests.operators.oracle import (
    Bag,
    bag_of_rows,
    check_every_epoch,
    cuts,
    epochs_of,
    restarts,
    split,
)
from tests.operators.states import Run
from tests.operators.test_windows import (
    END_OF_TIME,
    SCHEMA,
    Time,
    by_key,
    moment,
    streams,
    with_times,
)


@given(streams(), cuts(), restarts(), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_so_many_rows(
    rows: Any, at: Any, restart: Any, count: int, timed: bool, keyed: bool
) -> None:
    pieces, time = split(rows, at), Time(3)
    source = scripted("s", SCHEMA)
    if timed:
        source = source.with_watermark("ts", 3, idle_timeout=None)
    keys = ["k"] if keyed else []
    stream = source.group_by(*keys, tumbling(rows=count)).agg(pl.col("v").sum(), pl.len())
    assert not stream.is_changelog

    def oracle(number: int) -> Bag:
        found, watermark = time.upto(pieces, number)
        if not timed:
            found = [row for piece in pieces[: number + 1] for row in piece]
        result = []
        for key, group in (by_key(found) if keyed else {0: found}).items():
            for start in range(0, len(group), count):
                run = group[start : start + count]
                ends: list[Any] = [start, start + len(run)]
                if timed:
                    ends = [moment(run[0]["t"]), moment(run[-1]["t"])]
                if len(run) == count or watermark == END_OF_TIME:
                    total = sum(row["v"] or 0 for row in run)
                    result.append((*([key] if keyed else []), *ends, total, len(run)))
        return bag_of_rows(result)

    check_every_epoch(stream, epochs_of("s", with_times(pieces)), oracle, restart)


def test_rows_of_changes_are_not_counted() -> None:
    source = scripted("s", SCHEMA)
    with pytest.raises(PlanError, match="cannot be counted in order of arrival"):
        source.unique("k", keep="last").group_by("k", tumbling(rows=3)).agg(pl.len())
    with pytest.raises(PlanError, match="emitted once, when it is complete"):
        source.group_by("k", tumbling(rows=3)).agg(pl.len()).emit("changes")


TIMED: dict[str, Any] = {"ts": pl.Datetime("ms"), "k": pl.Int64, "v": pl.Int64}
WINDOWS = [tumbling("5s"), hopping("6s", slide="2s"), session("1s"), sliding("5s")]
AGGS: list[list[pl.Expr]] = [[pl.len()], [pl.col("v").median()], [pl.col("v").last()]]


def epoch(second: int, *keys: int) -> Epoch:
    rows = [(moment(second), key, second) for key in keys]
    return Epoch({"s": pl.DataFrame(rows, TIMED, orient="row")})


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.kind)
@pytest.mark.parametrize("aggs", AGGS, ids=["partial", "whole", "ordered"])
@pytest.mark.parametrize("mode", ["final", "changes", "refined", "of changes"])
def test_state_is_freed_behind_the_watermark(window: Any, aggs: Any, mode: str) -> None:
    allowed = "2s" if mode == "refined" else None
    stream = scripted("s", TIMED).with_watermark(
        "ts", "3s", idle_timeout=None, max_ahead=None, allowed_lateness=allowed
    )
    if mode == "of changes":
        stream = stream.unique(["ts", "k"], keep="last")
    stream = stream.group_by("k", window).agg(aggs)
    run = Run(stream.emit("changes") if mode == "changes" else stream)
    most, emitted = 0, 0
    for second in range(0, 140, 2):  # keys change, so that keys are freed as well
        delta = run(epoch(second, 1, 1000 + second))
        emitted += 0 if delta is None else delta.height
        most = max(most, run.rows())
    assert emitted > 30
    assert most <= 130, "state grows with the stream"


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.kind)
def test_the_end_of_the_input_frees_everything(window: Any) -> None:
    stream = scripted("s", TIMED).with_watermark("ts", "3s", idle_timeout=None)
    run = Run(stream.group_by("k", window).agg(pl.len()))
    run(epoch(10, 1, 2, 3))
    assert run.rows() >= 3
    found = run(Epoch(ended=frozenset({"s"})))
    assert found is not None
    assert found.height >= 3
    assert run.rows("raw", "panes", "open", "held", "keys") == 0


def local_days(zone: str | None, dtype: pl.DataType) -> None:
    """Hourly rows over both changes of the clocks; days of 23 and 25 hours in local time."""
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime(2025, 3, 28, tzinfo=UTC)
    hours = [begin + timedelta(hours=h) for h in range(24 * 5)]
    hours += [h.replace(month=10, day=h.day - 4) for h in hours if h.day > 28 and h.month == 3]
    hours.sort()
    times = pl.Series("ts", hours, dtype=pl.Datetime("us", "UTC"))
    times = times.dt.convert_time_zone(zone) if zone else times.dt.replace_time_zone(None)
    frame = pl.DataFrame({"ts": times.cast(dtype)})
    stream = scripted("s", frame.schema).with_watermark("ts", max_ahead=None)
    stream = stream.group_by(tumbling("1d", time_zone="Europe/Berlin")).agg(pl.len())
    found = pl.concat(
        d for d in outputs(stream, epochs_of("s", [frame[:40], frame[40:]])) if d is not None
    )
    wanted: dict[Any, int] = {}
    for hour in hours:
        wanted[hour.astimezone(berlin).date()] = wanted.get(hour.astimezone(berlin).date(), 0) + 1
    ends = pl.col("window_start", "window_end")
    ends = ends.dt.convert_time_zone("UTC") if zone else ends.dt.replace_time_zone("UTC")
    result = found.sort("window_start").with_columns(ends)
    days = [start.astimezone(berlin) for start in result["window_start"]]
    assert [(d.hour, d.minute) for d in days] == [(0, 0)] * len(days)
    assert {d.date(): n for d, n in zip(days, result["len"], strict=True)} == wanted
    lengths = {
        (end - start).total_seconds() / 3600
        for start, end in zip(result["window_start"], result["window_end"], strict=True)
    }
    assert lengths == {23.0, 24.0, 25.0}


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_days_in_local_time(zone: str | None, unit: Any) -> None:
    local_days(zone, pl.Datetime(unit, zone))


@pytest.mark.parametrize("mode", ["final", "changes"])
@pytest.mark.parametrize("dtype", [pl.Datetime("us"), pl.Date()])
def test_calendar_months(mode: str, dtype: Any) -> None:
    days = [datetime(2024, 1, 1) + timedelta(days=n) for n in range(100)]
    frame = pl.DataFrame({"ts": days}).with_columns(pl.col("ts").cast(dtype))
    stream = scripted("s", frame.schema).with_watermark("ts", max_ahead=None)
    stream = stream.group_by(tumbling("1mo")).agg(pl.len()).emit(mode)
    deltas = [
        d for d in outputs(stream, epochs_of("s", list(frame.iter_slices(13)))) if d is not None
    ]
    found = pl.concat(deltas)
    if mode == "changes":
        found = found.group_by("window_start", "window_end", "len").agg(pl.col("_weight").sum())
        found = found.filter(pl.col("_weight") != 0)
    found = found.sort("window_start")
    assert found["len"].to_list() == [31, 29, 31, 9]
    assert [(d.month, d.day) for d in found["window_end"]] == [(2, 1), (3, 1), (4, 1), (5, 1)]
