"""Event-time alignment: who is held back, that nothing stands still, that answers stay the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.connectors.contract import Polled
from penstock.instants import NS_PER_SECOND
from penstock.lowering.graph import Graph
from penstock.lowering.table import lower
from penstock.operators.contract import Tick
from penstock.operators.watermark import WatermarkOperator
from penstock.query import Query
from penstock.runtime.alignment import Alignment, groups
from penstock.runtime.launch import launch
from penstock.runtime.options import MAX_DRIFT_NS, RunOptions
from penstock.stream import Stream
from penstock.testing import scripted
from tests.connectors.durable.scripted import Scripted, ScriptedSpec

SCHEMA = {"ts": pl.Datetime("us"), "n": pl.Int64}
ZERO = datetime(2024, 1, 1)
HOUR = 3600 * NS_PER_SECOND
LIMIT = 60.0


def timed(name: str, idle_timeout: str | None = "10s") -> Stream:
    return scripted(name, SCHEMA).with_watermark("ts", idle_timeout=idle_timeout, max_ahead=None)


def graph_of(*streams: Stream) -> Graph:
    return lower([root for s in streams for root in s.sink_callback(print).roots])


def names(graph: Graph) -> list[list[str]]:
    return [
        sorted(str(graph.vertices[timed.number].source.name) for timed in group)  # type: ignore[union-attr]
        for group in groups(graph)
    ]


def within(left: Stream, right: Stream) -> Stream:
    return left.join(right, on="n")


def test_sources_that_meet_are_a_group() -> None:
    a, b, c, d = map(timed, "abcd")
    assert names(graph_of(within(a, b), c, d)) == [["a", "b"]]
    assert names(graph_of(ps.concat([a, b]), ps.concat([b, c]), d)) == [["a", "b", "c"]]
    assert names(graph_of(ps.concat([a, b]), ps.concat([c, d]))) == [["a", "b"], ["c", "d"]]
    untimed = ps.concat([scripted("e", SCHEMA), scripted("f", SCHEMA)])
    assert names(graph_of(untimed.with_watermark("ts"))) == [["e", "f"]]
    assert names(graph_of(ps.concat([a, scripted("e", SCHEMA)]))) == []


@dataclass
class Feed:
    caught_up: bool = False
    ended: bool = False
    fixed: bool = False


class Table:
    """Two or three sources, and how far each was read, in hours."""

    def __init__(self, *hours: float | None, idle_timeout: str | None = "10s") -> None:
        self.graph = graph_of(
            ps.concat([timed(name, idle_timeout) for name in "abc"[: len(hours)]])
        )
        self.numbers = [vertex.number for vertex in self.graph.sources]
        self.feeds = {number: Feed() for number in self.numbers}
        for source, hour in zip(self.graph.sources, hours, strict=True):
            if hour is not None:
                self.read(source.number, hour, now=0)

    def read(self, number: int, hour: float, now: int) -> None:
        base = self.graph.vertices[number].partition_base
        frame = pl.DataFrame({"ts": [ZERO + timedelta(hours=hour)], "n": [1]}, SCHEMA)
        self._operator(number).step([frame], Tick(1, now, (0,), partitions=frozenset({base})))

    def _operator(self, number: int) -> WatermarkOperator:
        for vertex in self.graph.vertices:
            if isinstance(vertex.operator, WatermarkOperator) and number in vertex.inputs:
                return vertex.operator
        raise AssertionError(number)

    def held(self, now_s: float = 0, drift: int | None = HOUR) -> list[str]:
        found = Alignment(self.graph, drift, 0).held(self.feeds, round(now_s * NS_PER_SECOND))
        self.until = found.until
        return ["abc"[self.numbers.index(number)] for number in sorted(found.numbers)]


def test_who_is_too_far_ahead_of_the_slowest_is_held() -> None:
    assert Table(0, 0.5, 1).held() == []
    assert Table(0, 0.5, 1.1).held() == ["c"]
    assert Table(5, 0, 3).held() == ["a", "c"]
    assert Table(5, 0, 3).held(drift=None) == []
    assert Table(5, 0, 3).held(drift=4 * HOUR) == ["a"]


def test_a_source_without_a_row_is_waited_for() -> None:
    assert Table(0, None).held() == ["a"]
    assert Table(None, None).held() == []


def test_nobody_waits_for_what_cannot_come_now() -> None:
    for change in ({"ended": True}, {"caught_up": True}):
        table = Table(5, 0)
        table.feeds[table.numbers[1]] = replace(Feed(), **change)
        assert table.held() == []


def test_an_idle_source_is_waited_for_as_long_as_its_watermark_waits() -> None:
    table = Table(5, 0)
    assert table.held(now_s=9) == ["a"]
    assert table.until == 10 * NS_PER_SECOND
    assert table.held(now_s=10) == []
    assert Table(5, 0, idle_timeout=None).held(now_s=1e6) == ["a"]


def test_one_that_has_only_just_come_back_is_waited_for_again() -> None:
    table = Table(5, 0)
    table.read(table.numbers[1], 1, now=60 * NS_PER_SECOND)
    assert table.held(now_s=61) == ["a"]


def test_epochs_that_the_user_cuts_are_the_users() -> None:
    table = Table(5, 0)
    table.feeds[table.numbers[0]].fixed = True
    assert table.held() == []


def test_a_held_source_is_not_idle() -> None:
    """Else the watermark would pass its rows while they wait."""
    operator = lower(timed("a").sink_callback(print).roots).vertices[1].operator
    assert isinstance(operator, WatermarkOperator)
    one = pl.DataFrame({"ts": [ZERO], "n": [1]}, SCHEMA)
    both = frozenset({0, 1 << 16})
    operator.step([one], Tick(1, 0, (0,), partitions=both))
    late = 60 * NS_PER_SECOND
    operator.step([None], Tick(2, late, (0,), partitions=both, held=frozenset({0})))
    assert operator.seen(0) == late
    assert operator.seen(1 << 16) == 0


def test_an_idle_partition_does_not_ask_to_be_stepped_at_once() -> None:
    """It did, and epochs without rows followed each other without a pause."""
    operator = lower(timed("a").sink_callback(print).roots).vertices[1].operator
    assert isinstance(operator, WatermarkOperator)
    one = pl.DataFrame({"ts": [ZERO], "n": [1]}, SCHEMA)
    both = frozenset({0, 1})
    operator.step([None], Tick(1, 0, (0,), partitions=both))
    now = 60 * NS_PER_SECOND
    for tick in (Tick(2, now, (0,), partitions=both), Tick(3, now, (0,), partitions=both)):
        operator._only = lambda tick: 1  # type: ignore[method-assign]
        operator.step([one], tick)
    deadline = operator.deadline()
    assert deadline is not None
    assert deadline > now


# In an engine


def write(path: Path, seconds: Sequence[int]) -> Path:
    rows = ({"ts": (ZERO + timedelta(seconds=s)).isoformat(), "n": s} for s in seconds)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scan(path: Path) -> Stream:
    return ps.scan_ndjson(path, SCHEMA).with_watermark("ts", idle_timeout=None)


def run(query: Query, drift: int | None, rows: int) -> None:
    launch(query.roots, RunOptions(max_drift_ns=drift, max_epoch_rows=rows), None).run()


@pytest.fixture
def small_polls(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("penstock.runtime.feeds.POLL_ROWS", 10)
    return 20


def test_no_source_runs_ahead(tmp_path: Path, small_polls: int) -> None:
    """One has a row a second, the other one in ten seconds: alone it would be through at once."""
    dense = scan(write(tmp_path / "dense", range(5000))).with_columns(which=pl.lit("dense"))
    sparse = scan(write(tmp_path / "sparse", range(0, 5000, 10))).with_columns(
        which=pl.lit("sparse")
    )
    seen: list[pl.DataFrame] = []
    query = ps.concat([dense, sparse]).sink_callback(seen.append)
    run(query, 60 * NS_PER_SECOND, small_polls)
    reached = {"dense": -1, "sparse": -1}
    epoch_seconds = small_polls * 10
    for frame in seen:
        before = dict(reached)
        reached |= dict(frame.group_by("which").agg(pl.col("n").max()).rows())
        if before["dense"] < 4999 - small_polls:
            assert reached["sparse"] <= max(before["dense"], 0) + 60 + epoch_seconds
        if before["sparse"] < 4990 - epoch_seconds:
            assert reached["dense"] <= max(before["sparse"], 0) + 60 + small_polls
    assert reached == {"dense": 4999, "sparse": 4990}


@pytest.mark.parametrize("drift", [0, 30 * NS_PER_SECOND, MAX_DRIFT_NS, None])
def test_answers_are_the_same(tmp_path: Path, small_polls: int, drift: int | None) -> None:
    left, right = range(0, 900, 3), [*range(400, 700, 2), *range(3000, 3100)]
    joined = ps.concat([scan(write(tmp_path / "l", left)), scan(write(tmp_path / "r", right))])
    seen: list[pl.DataFrame] = []
    counts = joined.group_by(ps.tumbling("1m")).agg(n=pl.len().cast(pl.Int64))
    run(counts.sink_callback(seen.append), drift, small_polls)
    wanted: dict[datetime, int] = {}
    for second in (*left, *right):
        start = ZERO + timedelta(minutes=second // 60)
        wanted[start] = wanted.get(start, 0) + 1
    assert dict(pl.concat(seen).select("window_start", "n").rows()) == wanted
    assert sum(frame.height for frame in seen) == len(wanted)  # each window once


def test_a_silent_source_holds_the_others_back_for_its_idle_timeout_only(tmp_path: Path) -> None:
    class Silent(Scripted):
        """Never says that nothing is there, as a source that cannot reach its server."""

        def poll(self, max_rows: int, timeout_s: float) -> Polled:
            return replace(super().poll(max_rows, timeout_s), caught_up=False)

    schema = pl.Schema(SCHEMA)
    spec = ScriptedSpec([Silent(schema=schema)], schema=schema)
    silent = ps.from_source(spec, durable=False).with_watermark("ts", idle_timeout="300ms")
    seen: list[pl.DataFrame] = []
    both = ps.concat([scan(write(tmp_path / "a", range(100))), silent])
    query = both.sink_callback(seen.append).start(max_drift="1s")
    try:
        for _ in range(int(LIMIT / 0.05)):
            if sum(frame.height for frame in seen) == 100 or query.wait(0.05):
                break
        assert sum(frame.height for frame in seen) == 100
    finally:
        query.stop()
