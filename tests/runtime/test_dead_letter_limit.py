"""A run that is stopped because too many rows are refused."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.errors import DeadLetterLimitError
from penstock.runtime.dead_letter_limit import DeadLetterLimit, LimitWatch
from penstock.topics import Topic

REASON = "invalid digit found"


def letters(count: int, step: str = "map") -> pl.DataFrame:
    return pl.DataFrame({"weight": [1] * count, "step": [step] * count, "reason": ["bad"] * count})


def numbers(values: list[str]) -> ps.Stream:
    frames = [pl.DataFrame({"v": [value]}) for value in values]
    return ps.scan_batches(frames).with_columns(n=pl.col("v").str.to_integer())


def test_the_run_stops_after_a_checkpoint_and_the_next_goes_on(tmp_path: Path) -> None:
    stream, out = numbers(["1", "x", "2", "y", "3", "z", "4"]), tmp_path / "out.db"
    query = stream.sink_sqlite(out, "numbers")
    with pytest.raises(ps.QueryFailed, match=REASON) as failed:
        ps.run(query, checkpoint=tmp_path / "c", dead_letter_limit=1)
    error = failed.value.__cause__
    assert isinstance(error, DeadLetterLimitError)
    assert "2 dead letters are more than dead_letter_limit=1 allows" in str(error)
    assert "with_columns: " in str(error)
    with Topic.open(tmp_path / "c" / "dead-letters") as topic:
        assert topic.read(0, 0).frame["bytes"].to_list() == [b'{"v":"x"}', b'{"v":"y"}']
    ps.run(query, checkpoint=tmp_path / "c", dead_letter_limit=1)
    assert sorted(_rows(out)) == [1, 2, 3, 4]
    with Topic.open(tmp_path / "c" / "dead-letters") as topic:
        assert topic.read(0, 0).frame.height == 3


def _rows(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM numbers")]


def test_without_a_limit_no_number_of_bad_rows_stops_a_run() -> None:
    query = numbers(["x"] * 50).sink_callback(lambda _: None)
    ps.run(query)
    assert query.start().wait()


def test_a_share_is_of_the_last_rows() -> None:
    watch = LimitWatch(DeadLetterLimit.parse("10% of 100", "run"))
    for _ in range(20):
        watch.note(50, [letters(4)])
        assert not watch.exceeded
    watch.note(50, [letters(7)])
    assert watch.exceeded
    assert "11 dead letters" in str(watch.error(kept=True))


def test_few_rows_are_not_a_large_share() -> None:
    watch = LimitWatch(DeadLetterLimit.parse("1%", "run"))
    watch.note(10, [letters(10)])
    assert not watch.exceeded
    watch.note(1_000, [letters(91)])
    assert watch.exceeded


def test_an_epoch_larger_than_the_rows_looked_at_counts_by_its_share() -> None:
    watch = LimitWatch(DeadLetterLimit.parse("1%", "run"))
    watch.note(1_000_000, [letters(9_000)])
    assert not watch.exceeded
    watch.note(1_000_000, [letters(11_000)])
    assert watch.exceeded


def test_refused_deletions_do_not_count() -> None:
    watch = LimitWatch(DeadLetterLimit.parse(0, "run"))
    watch.note(1, [letters(1).with_columns(weight=pl.lit(-1))])
    assert not watch.exceeded


@pytest.mark.parametrize("given", [-1, True, "1", "0%", "101%", "1 %x", 0.5, "1% of many"])
def test_what_is_no_limit_is_refused(given: Any) -> None:
    with pytest.raises(ps.ConfigError, match="not a limit of dead letters"):
        numbers(["1"]).sink_callback(print).start(dead_letter_limit=given)


def test_a_step_that_refuses_every_row_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    def broken(row: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("never works")

    stream = numbers(["1", "2"]).map_rows(broken, {"n": pl.Int64})
    query = stream.sink_callback(lambda _: None)
    with caplog.at_level(logging.WARNING, "penstock"):
        ps.run(query)
    assert any("has refused every one of its 2 rows" in line for line in caplog.messages)
    query.start().wait()
    (warning,) = query.progress().warnings
    assert warning.startswith("map-function-1 refused every one of its 2 rows")
    assert f"! {warning}" in str(query.progress())
