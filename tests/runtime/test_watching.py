"""What is seen of a run beside its figures, and pausing it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.columns import WEIGHT
from penstock.errors import PlanError
from penstock.runtime.contents import Contents
from penstock.runtime.progress import CheckpointProgress
from penstock.runtime.watching import Watch

PATIENCE_S = 60


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def changes(*rows: tuple[str, int, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, ["key", "n", WEIGHT], orient="row")


def test_contents_of_a_view_are_its_changes_added_up() -> None:
    view = Contents(["key"])
    assert view.rows() is None
    view.add(changes(("b", 1, 1), ("a", 1, 1)))
    view.add(changes(("a", 1, -1), ("a", 2, 1)))
    found = view.rows()
    assert found is not None
    assert (found.frame.rows(), found.view, found.too_large) == ([("a", 2), ("b", 1)], True, False)
    view.add(changes(("a", 2, -1), ("b", 1, -1)))
    again = view.rows()
    assert again is not None
    assert again.frame.rows() == []


def test_a_view_that_is_too_large_is_followed_no_further() -> None:
    view = Contents([])
    view.add(pl.DataFrame({"n": range(5_000), WEIGHT: [1] * 5_000}))
    found = view.rows()
    assert found is not None
    assert (found.frame.height, found.too_large) == (0, True)
    view.add(pl.DataFrame({"n": [1], WEIGHT: [-1]}))
    later = view.rows()
    assert later is not None
    assert (later.frame.height, later.too_large) == (0, True)


def test_of_append_only_rows_the_latest_are_kept() -> None:
    rows = Contents([])
    for start in range(0, 10_000, 1_000):
        rows.add(pl.DataFrame({"n": range(start, start + 1_000)}))
    found = rows.rows()
    assert found is not None
    assert (found.frame["n"].to_list(), found.view) == (list(range(8_000, 10_000)), False)


def test_latency_is_known_while_somebody_looks() -> None:
    query = ps.scan_rate(500).sink_callback(lambda _: None).start()
    try:
        watch = query.watch
        watch.attend()
        watch.look()
        until(lambda: watch.latency([]) is not None)
        found = watch.latency([])
        assert found is not None
        assert 0 < found.p50 <= found.p99
    finally:
        query.stop()


def test_nothing_is_measured_before_anybody_looks() -> None:
    query = ps.scan_rate(500).sink_callback(lambda _: None).start()
    try:
        until(lambda: query.progress().rows_in > 10)
        assert query.progress().latency is None
        query.watch.attend()
        rows = query.progress().rows_in
        until(lambda: query.progress().rows_in > rows + 10)
        assert query.progress().latency is None
        assert query.watch.contents("sink-1") is None
    finally:
        query.stop()


def test_latency_with_checkpoints_needs_one() -> None:
    watch = Watch()
    now = time.perf_counter()
    watch._waiting.extend([(1, now - 3), (2, now - 2), (3, now - 1)])
    assert watch.latency([]) is None
    found = watch.latency([CheckpointProgress(2, 0, 0.1, 10, now)])
    assert found is not None
    assert (round(found.p50), round(found.p99)) == (3, 3)
    assert list(watch._waiting) == [(3, now - 1)]


def test_checkpoints_are_told_of_with_size_and_duration(tmp_path: Path) -> None:
    query = ps.scan_rate(100).select(pl.len()).sink_sqlite(tmp_path / "a.db", "a", key="len")
    query.start(checkpoint=tmp_path / "checkpoint", checkpoint_interval="50ms")
    try:
        until(lambda: len(query.progress().checkpoints) >= 3)
        made = query.progress().checkpoints
        assert [c.epoch for c in made] == sorted(c.epoch for c in made)
        assert all(c.seconds > 0 and c.size_bytes > 0 for c in made[1:])
        assert query.progress().keeps_checkpoints
        until(lambda: query.progress().steps[-1].applied_epoch)
    finally:
        query.stop()


def test_a_paused_run_takes_no_rows_and_loses_none() -> None:
    seen: list[int] = []
    query = ps.scan_rate(2_000).sink_callback(lambda frame: seen.extend(frame["offset"]))
    query.start()
    until(lambda: query.progress().rows_in > 20)
    query.pause()
    until(lambda: query.progress().state == "paused")
    until(lambda: _is_steady(query))  # an epoch that was running has ended
    rows = query.progress().rows_in
    query.resume()
    until(lambda: query.progress().rows_in > rows + 400)
    query.stop()
    assert seen == list(range(len(seen)))


def _is_steady(query: ps.Query) -> bool:
    """Tell whether nothing moved while hundreds of rows came."""
    before = query.progress()
    wanted = before.steps[0].queued_rows + 200
    until(lambda: query.progress().steps[0].queued_rows > wanted)
    after = query.progress()
    return (before.rows_in, before.epoch) == (after.rows_in, after.epoch)


def test_a_paused_run_can_be_stopped_and_drained() -> None:
    query = ps.scan_rate(1_000, total=100).sink_callback(lambda _: None).start()
    query.pause()
    query.stop()
    assert query.progress().state == "stopped"
    again = ps.scan_rate(1_000, total=100).sink_callback(lambda _: None).start()
    again.pause()
    assert again.drain(PATIENCE_S)
    assert again.progress().state == "finished"


def test_a_query_that_was_not_started_cannot_be_paused() -> None:
    query = ps.scan_rate(1).sink_callback(lambda _: None)
    with pytest.raises(PlanError, match="not started"):
        query.pause()
