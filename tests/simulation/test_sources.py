"""Every crash point, for sources whose positions are worked out anew: files, topics, rates, frames."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.storage import MemoryStorage
from penstock.plan.sinks import SinkNode
from penstock.query import Query
from penstock.stream import Stream
from penstock.testing import Crash, CrashPoints, bag_of, integrate
from penstock.topics import Topic

from .inline import run
from .tables import Table, TableSpec
from .test_operators import SEED

SHORT = 6
LINES = "".join(f'{{"n": {n}, "k": "{n % 3}"}}\n' for n in range(60))
JSON = {"n": pl.Int64, "k": pl.String}


def files(folder: Path) -> Stream:
    for number in range(3):
        (folder / f"{number}.ndjson").write_text(LINES)
    return ps.scan_ndjson(str(folder / "*.ndjson"), schema=JSON, epoch_rows=13)


def parquet(folder: Path) -> Stream:
    frame = pl.DataFrame({"n": range(100), "k": [str(n % 4) for n in range(100)]})
    frame.write_parquet(folder / "t.parquet", row_group_size=9)
    return ps.scan_parquet(folder / "t.parquet", epoch_rows=17)


def topic(folder: Path) -> Stream:
    with Topic.create(str(folder / "t"), partitions=3, schema=pl.Schema(JSON)) as made:
        for start in range(0, 90, 10):
            numbers = range(start, start + 10)
            made.append(pl.DataFrame({"n": numbers, "k": [str(n % 5) for n in numbers]}))
    return ps.scan_topic(str(folder / "t"), stop="at end", epoch_rows=11)


def rate(folder: Path) -> Stream:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    numbers = ps.scan("rate:", total=70, start=start, epoch_rows=9)
    return numbers.select(n="offset", k=(pl.col("offset") % 3).cast(pl.String))


def frames(folder: Path) -> Stream:
    return ps.scan_batches([pl.DataFrame({"n": [n, n], "k": ["a", "b"]}) for n in range(8)])


def several(folder: Path) -> Stream:
    return ps.concat([files(folder), frames(folder)])


SOURCES: list[Callable[[Path], Stream]] = [files, parquet, topic, rate, frames, several]


class World:
    """The rows themselves, and their sums by key."""

    def __init__(self, stream: Stream) -> None:
        self.rows, self.sums = Table(), Table()
        self.storage = MemoryStorage()
        self.stream = stream
        self.summed = stream.group_by("k").agg(pl.col("n").sum())

    def run(self, points: CrashPoints) -> bool:
        """Run; tell whether it died."""
        query = Query(
            SinkNode(input=self.stream.node, spec=TableSpec(self.rows, "rows")),
            SinkNode(input=self.summed.node, spec=TableSpec(self.sums, "sums")),
        )
        try:
            run(points.query(query), points.storage(self.storage))
        except Crash:
            return True
        return False

    def found(self) -> tuple[Counter[Any], Counter[Any]]:
        """Return both tables."""
        sums = integrate(self.summed, self.sums.frames)
        return bag_of(self.rows.rows(self.stream.schema)), bag_of(sums)


def simulate(make: Callable[[Path], Stream], folder: Path, points: int | None, seed: int) -> None:
    stream = make(folder)
    calm, notes = World(stream), CrashPoints()
    assert not calm.run(notes)
    rows, wanted = calm.rows.rows(stream.schema), calm.found()
    assert bag_of(rows.group_by("k").agg(pl.col("n").sum())) == wanted[1]
    rng, count = random.Random(f"{make.__name__}/{seed}"), len(notes.reached)
    for at in range(count) if points is None else rng.choices(range(count), k=points):
        world = World(stream)
        told = f"{make.__name__}, PENSTOCK_SEED={seed}, point {at}: {notes.reached[at]}"
        died, crash = True, at
        while died:
            points_now = CrashPoints(at=crash, torn=rng.random(), atomic=crash != at)
            try:
                died = world.run(points_now)
            except Exception as error:
                raise AssertionError(told) from error
            crash = rng.choice([rng.randrange(30), 10**9])
        assert world.found() == wanted, told


@pytest.mark.parametrize("make", SOURCES)
def test_crashes_lose_and_double_nothing(make: Callable[[Path], Stream], tmp_path: Path) -> None:
    simulate(make, tmp_path, SHORT, SEED)


@pytest.mark.nightly
@pytest.mark.parametrize("make", SOURCES)
def test_every_point(make: Callable[[Path], Stream], tmp_path: Path) -> None:
    simulate(make, tmp_path, None, SEED)
