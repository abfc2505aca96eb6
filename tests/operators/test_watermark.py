"""The watermark step: late rows by partition, idleness, quiet sources, refused rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.instants import MIN_INSTANT
from penstock.testing import Epoch, drive, scripted
from tests.operators.oracle import bag_of_rows, cuts, restarts, split
from tests.operators.states import Run

SCHEMA: dict[str, Any] = {"ts": pl.Datetime("us"), "n": pl.Int64}
ZERO = datetime(1970, 1, 1)
SECOND = 1_000_000_000


def frame(*seconds: int | None) -> pl.DataFrame:
    times = [None if s is None else ZERO + timedelta(seconds=s) for s in seconds]
    return pl.DataFrame({"ts": times, "n": list(range(len(times)))}, SCHEMA)


def watermark(run: Run) -> float | None:
    """Return the watermark of the step in seconds."""
    graph = run.executor.graph
    number = next(v.number for v in graph.vertices if v.kind == "watermark")
    value = run.executor.watermarks[number]
    return None if value == MIN_INSTANT else value / SECOND


ARRIVALS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=30)


@given(ARRIVALS, cuts(), restarts(), st.integers(0, 5))
def test_late_rows_do_not_depend_on_the_cut(
    arrivals: Any, at: Any, restart: Any, lateness: int
) -> None:
    """All partitions are known from the first epoch, so the rule is by partition alone."""
    begin = [(partition, 0) for partition in range(3)]
    pieces = [begin, *split(arrivals, at)]
    source = scripted("s", SCHEMA, partitioned=True)
    timed = source.with_watermark("ts", lateness, idle_timeout=None, max_ahead=None)
    epochs = [
        Epoch({("s", p): frame(*(t for q, t in piece if q == p)) for p in range(3)})
        for piece in pieces
    ]
    highest: dict[int, int] = {}
    in_time, late = [], []
    for partition, second in (arrival for piece in pieces for arrival in piece):
        highest[partition] = max(second, highest.get(partition, 0))
        kept = second >= highest[partition] - lateness
        (in_time if kept else late).append((second,))
    found: list[list[pl.DataFrame]] = [[], []]
    for deltas in drive([timed, timed.late], epochs, restart_after=restart):
        for side, delta in zip(found, deltas, strict=True):
            if delta is not None:
                side.append(delta)
    for side, wanted in zip(found, (in_time, late), strict=True):
        rows = [((ts - ZERO).total_seconds(),) for f in side for ts in f["ts"]]
        assert bag_of_rows(rows) == bag_of_rows(wanted)


def test_the_slowest_partition_holds_the_watermark() -> None:
    source = scripted("s", SCHEMA, partitioned=True)
    run = Run(source.with_watermark("ts", "2s", idle_timeout=None, max_ahead=None))
    run(Epoch({("s", 0): frame(10), ("s", 1): frame(20)}))
    assert watermark(run) == 8
    run(Epoch({("s", 1): frame(50)}))
    assert watermark(run) == 8
    run(Epoch({("s", 0): frame(30)}))
    assert watermark(run) == 28


def test_an_idle_partition_does_not() -> None:
    source = scripted("s", SCHEMA, partitioned=True)
    run = Run(source.with_watermark("ts", idle_timeout="10s", max_ahead=None))
    run(Epoch({("s", 0): frame(10), ("s", 1): frame(20)}, now=0))
    run(Epoch({("s", 1): frame(40)}, now=9 * SECOND))
    assert watermark(run) == 10
    run(Epoch({("s", 1): frame(50)}, now=10 * SECOND))
    assert watermark(run) == 50
    late = run(Epoch({("s", 0): frame(30, 60)}, now=11 * SECOND))
    assert late is not None
    assert late["ts"].to_list() == [ZERO + timedelta(seconds=60)], "30 is behind the decision"


def test_a_quiet_source_that_has_caught_up_moves_on() -> None:
    run = Run(scripted("s", SCHEMA).with_watermark("ts", idle_timeout="10s", max_ahead=None))
    run(Epoch({"s": frame(100)}, now=0))
    assert watermark(run) == 100
    run(Epoch(now=12 * SECOND, caught_up=False))
    assert watermark(run) == 100, "not while it may be reconnecting"
    run(Epoch(now=13 * SECOND, caught_up=True))
    assert watermark(run) == 113


def test_null_times_and_times_far_ahead_are_refused() -> None:
    timed = scripted("s", SCHEMA).with_watermark("ts", max_ahead="1h")
    epochs = [Epoch({"s": frame(5, None, 7200, 6)})]
    ((rows, dead),) = list(drive([timed, timed.dead_letters], epochs))
    assert rows is not None
    assert rows["n"].to_list() == [0, 3]
    assert dead is not None
    assert dead["reason"].to_list() == [
        "event time 'ts' is null",
        "event time ts=1970-01-01 02:00:00.000000 is more than 1h ahead of the clock",
    ]


def test_a_new_partition_does_not_turn_time_back() -> None:
    """Its rows behind the watermark are late, after a restart too."""
    source = scripted("s", SCHEMA, partitioned=True)
    timed = source.with_watermark("ts", "1s", idle_timeout=None, max_ahead=None)
    epochs = [
        Epoch({("s", 0): frame(100)}),
        Epoch({("s", 1): frame(50, 99, 101)}),
        Epoch({("s", 1): frame(98, 102)}),
    ]
    for restart in (set(), {0}, {1}, {0, 1}):
        found = [d for (d,) in drive(timed, epochs, restart_after=restart)]
        seconds = [[] if d is None else [(t - ZERO).seconds for t in d["ts"]] for d in found]
        assert seconds == [[100], [99, 101], [102]], restart


def test_a_source_that_ends_no_longer_holds_time_back() -> None:
    """Even when nothing arrives in that epoch, from it or from any other."""
    ahead, behind = scripted("ahead", SCHEMA), scripted("behind", SCHEMA)
    timed = ps.concat([ahead, behind]).with_watermark("ts")
    windows = timed.group_by(ps.tumbling("10s")).agg(pl.len())
    first = Epoch({"ahead": frame(20), "behind": frame(5)})
    deltas = [d for (d,) in drive(windows, [first, Epoch(ended=frozenset({"behind"}))])]
    assert deltas[0] is None
    assert deltas[1] is not None
    assert deltas[1]["len"].to_list() == [1]
