"""Rows enter and leave as the clock moves, whatever comes, goes and is restored in between."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from penstock.plan.temporal_filters import TemporalFilter
from penstock.stream import Stream
from penstock.testing import Driven, Epoch, scripted
from penstock.testing.deltas import Integral, check_delta

SCHEMA = {"k": pl.Int64, "a": pl.Int64, "b": pl.Int64}
CHANGING = pl.Schema({**SCHEMA, "_weight": pl.Int64})
Row = tuple[int | None, ...]
BOUNDS: list[dict[str, Any]] = [
    {"since": pl.col("a"), "until": pl.col("b")},
    {"since": pl.col("a")},
    {"until": pl.col("b")},
]


def wanted(rows: list[Row], now: int, bounds: dict[str, Any]) -> list[Row]:
    def there(row: Row) -> bool:
        _, since, until = row
        begun = "since" not in bounds or (since is not None and since <= now)
        return begun and ("until" not in bounds or (until is not None and now < until))

    return sorted((row for row in rows if there(row)), key=str)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("changelog", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_a_row_is_there_between_its_instants(
    seed: int, changelog: bool, bounds: dict[str, Any]
) -> None:
    rng = random.Random(seed)
    schema = CHANGING if changelog else pl.Schema(SCHEMA)
    source = scripted("s", schema, changelog=changelog)
    stream = Stream(TemporalFilter(input=source.node, **bounds))
    assert stream.is_changelog == (changelog or "until" in bounds)
    driven, integral, living, now = Driven(stream), Integral(stream, "filter"), list[Row](), 0
    for _ in range(25):
        now += rng.choice([0, 0, 1, 3])
        gone = [living.pop(rng.randrange(len(living))) for _ in range(2) if living and changelog]
        fresh = [(rng.randrange(2), instant(rng, now), instant(rng, now)) for _ in range(3)]
        fresh = [row for row in fresh if row not in gone]
        living += fresh
        weighed = [(*row, w) for rows, w in ((gone, -1), (fresh, 1)) for row in rows]
        rows = weighed if changelog else list(fresh)
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        (delta,) = driven.step(Epoch({"s": frame} if rows else {}, now=now * 1000 + 999))
        check_delta(stream, delta, "filter")
        integral.add(delta)
        found = [row[:3] for row in integral.table.rows() for _ in range(row[-1])]
        assert sorted(found, key=str) == wanted(living, now, bounds)
        if rng.random() < 0.3:
            driven.restart(full=rng.random() < 0.5)
    driven.step(Epoch({}, now=1_000_000))
    assert driven.state_rows() == 1  # the clock


def instant(rng: random.Random, now: int) -> int | None:
    return rng.choice([None, *(now + n for n in range(-4, 6))])


def test_it_asks_to_be_stepped_when_a_row_is_due() -> None:
    source = scripted("s", pl.Schema(SCHEMA))
    stream = Stream(TemporalFilter(input=source.node, since=pl.col("a"), until=pl.col("b")))
    driven = Driven(stream)
    frame = pl.DataFrame([(1, 10, 20), (2, 15, 18)], schema=pl.Schema(SCHEMA), orient="row")
    found = []
    for now in (0, 10, 16, 18, 20):
        frames: dict[str | tuple[str, int], pl.DataFrame] = {} if now else {"s": frame}
        (delta,) = driven.step(Epoch(frames, now=now * 1000))
        rows = [] if delta is None else [(row[0], row[-1]) for row in delta.rows()]
        found.append((rows, operator_of(driven).deadline()))
    assert found == [
        ([], 10_000),
        ([(1, 1)], 15_000),
        ([(2, 1)], 18_000),
        ([(2, -1)], 20_000),
        ([(1, -1)], None),
    ]


def operator_of(driven: Driven) -> Any:
    vertices = driven.executor.graph.vertices
    return next(v.operator for v in vertices if v.kind == "temporal-filter")


def test_a_clock_that_went_back_while_nothing_ran_shows_nothing_twice() -> None:
    source = scripted("s", pl.Schema(SCHEMA))
    driven = Driven(Stream(TemporalFilter(input=source.node, until=pl.col("b"))))
    frame = pl.DataFrame([(1, 0, 20)], schema=pl.Schema(SCHEMA), orient="row")
    driven.step(Epoch({"s": frame}, now=30_000))
    driven.restart(full=True)
    (delta,) = driven.step(Epoch({"s": frame}, now=10_000))
    assert delta is None
