"""From snapshots to rates and loads."""

from __future__ import annotations

import pytest

from penstock.dashboard.rates import Meter, blocked_steps

from .runs import progress, step


def test_what_is_above_a_full_sink_waits_for_it() -> None:
    steps = [
        step("source", kind="source"),
        step("left", "source"),
        step("right", "source"),
        step("full", "left", kind="sink", blocked=True),
        step("free", "right", kind="sink"),
    ]
    assert blocked_steps(steps) == {"source", "left", "full"}


def test_a_source_that_is_full_waits_alone() -> None:
    steps = [step("source", kind="source", blocked=True), step("map", "source")]
    assert blocked_steps(steps) == {"source"}


def test_rates_are_differences_over_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("penstock.dashboard.rates.time.perf_counter", lambda: now)
    meter = Meter()
    first = meter.view("run", progress(step("map", rows_in=1000, rows_out=10)))
    assert (first.steps[0].load, first.steps[0].in_per_second) == ("idle", 0)
    now = 101.0
    later = meter.view("run", progress(step("map", rows_in=1500, rows_out=20, seconds=0.25)))
    found = later.steps[0]
    assert (found.in_per_second, found.out_per_second, found.busy) == (500, 10, 0.25)
    assert found.load == "busy"


def test_counts_that_begin_anew_after_a_restart_are_no_negative_rate() -> None:
    meter = Meter()
    meter.view("run", progress(step("map", rows_in=1000)))
    found = meter.view("run", progress(step("map", rows_in=3), restarts=1)).steps[0]
    assert (found.in_per_second, found.load) == (0, "idle")


def test_secrets_are_not_shown() -> None:
    text = "Sink postgres postgresql://me:pa55word@db/shop"
    found = Meter().view(
        "run", progress(step("sink", kind="sink", text=text, line=f"a.py:1: {text}"))
    )
    assert "pa55word" not in f"{found.steps[0].text} {found.steps[0].line}"
