"""Every crash point of a checkpoint on a local folder, for every kind of sink."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

import penstock as ps
from penstock.checkpoints.storage import LocalStorage
from penstock.columns import WEIGHT
from penstock.connectors import registry
from penstock.connectors.contract import Accepts, Sink, SinkSpec
from penstock.errors import FencedError
from penstock.plan.sinks import SinkNode
from penstock.query import Query
from penstock.testing import Action, Crash, CrashPoints, end, refused, rows, scripted_spec
from penstock.topics import Topic
from tests.connectors.conftest import postgres_schema, postgres_server

from .inline import run

__all__ = ["postgres_schema", "postgres_server"]

SEED = int(os.environ.get("PENSTOCK_SEED", "1"))
SHORT = 2
SCHEMA = {"k": pl.Int64(), "v": pl.Int64()}
Bag = Counter[tuple[Any, ...]]
Build = Callable[[Path, str, str | tuple[str, ...]], "Place"]
CHECKED = "(k BIGINT, v BIGINT CHECK (v % 4 <> 1))"


@dataclass
class Place:
    """A sink's target: how it is described, what is in it, how it is left by a run that died."""

    spec: SinkSpec
    read: Callable[[], Bag]
    leave: Callable[[Sink], None] = lambda sink: sink.close()
    refusing: bool = False


def refusing(build: Build) -> Build:
    """Have the table refuse a quarter of the values."""

    def built(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
        place = build(folder, server, key)
        if build is sqlite:
            with contextlib.closing(sqlite3.connect(folder / "out.db")) as connection:
                connection.execute(f"CREATE TABLE t {CHECKED}")
        elif build is duck:
            with duckdb.connect(folder / "out.duckdb") as other:
                other.execute(f"CREATE TABLE t {CHECKED}")
        else:
            with psycopg.connect(server) as third:
                third.execute(f"CREATE TABLE t{folder.name} {CHECKED}".encode())
        return replace(place, refusing=True)

    return built


def sqlite(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    def read() -> Bag:
        with contextlib.closing(sqlite3.connect(folder / "out.db")) as connection:
            return Counter(connection.execute("SELECT k, v FROM t").fetchall())

    return Place(registry.sink(f"sqlite:{folder}/out.db", table="t", key=key), read)


def duck(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    def read() -> Bag:
        with duckdb.connect(folder / "out.duckdb") as connection:
            return Counter(connection.execute("SELECT k, v FROM t").fetchall())

    return Place(registry.sink(f"duckdb:{folder}/out.duckdb", table="t", key=key), read)


def postgres(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    from penstock.connectors.postgres.config import PostgresSinkSpec

    table = f"t{folder.name}"

    def read() -> Bag:
        with psycopg.connect(server) as connection:
            return Counter(connection.execute(f"SELECT k, v FROM {table}".encode()).fetchall())

    return Place(PostgresSinkSpec(server, table, (key,) if isinstance(key, str) else key), read)


def files(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    def read() -> Bag:
        found: Bag = Counter()
        for path in (folder / "out").rglob("part-*"):
            found.update(pl.read_parquet(path, hive_partitioning=False).rows())
        return found

    return Place(registry.sink(f"files:{folder}/out", roll_rows=3), read, leave=lambda sink: None)


def topic(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    def read() -> Bag:
        found: Bag = Counter()
        with Topic.open(str(folder / "topic")) as opened:
            for partition in range(opened.partitions):
                frame = opened.read(partition, 0, 10_000).frame
                for row in frame.rows(named=True):
                    found[row["k"], row["v"]] += row.get(WEIGHT, 1)
        return +found

    return Place(registry.sink(f"topic:{folder}/topic"), read)


def immediate_topic(folder: Path, server: str, key: str | tuple[str, ...]) -> Place:
    place = topic(folder, server, key)
    return Place(registry.sink(f"topic:{folder}/topic", immediate=True), place.read)


KINDS: dict[str, tuple[Build, bool]] = {
    "duckdb append": (duck, False),
    "duckdb keyed": (duck, True),
    "duckdb refusing": (refusing(duck), False),
    "files": (files, False),
    "postgres append": (postgres, False),
    "postgres keyed": (postgres, True),
    "postgres refusing": (refusing(postgres), False),
    "sqlite append": (sqlite, False),
    "sqlite keyed": (sqlite, True),
    "sqlite refusing": (refusing(sqlite), False),
    "topic": (topic, False),
    "topic of changes": (topic, True),
}
AT_LEAST_ONCE: dict[str, tuple[Build, bool]] = {
    "immediate topic": (immediate_topic, False),
}
NOT_EXACTLY_ONCE = {"console", "http", "https", "websocket-server"}


def test_every_exactly_once_sink_is_simulated() -> None:
    kinds = {name.split()[0] for name in KINDS} | NOT_EXACTLY_ONCE | {"postgresql"}
    assert kinds == set(registry.SINKS) - {"amqp", "kafka", "mqtt", "nats", "rabbitmq", "redis"}, (
        "killed for real, in tests/systems"
    )


class World:
    """Rows over a script into a sink, either as they are or summed by key."""

    def __init__(self, kind: str, folder: Path, server: str, script: list[Action]) -> None:
        build, self.changes = {**KINDS, **AT_LEAST_ONCE}[kind]
        self.folder = folder
        folder.mkdir()
        self.place = build(folder, server, "k" if self.changes else ())
        self.spec = scripted_spec("s", SCHEMA, script=script)
        self.storage = LocalStorage(folder / "checkpoint")

    def query(self) -> Query:
        stream = ps.from_source(self.spec)
        if self.changes:
            stream = stream.group_by("k").agg(pl.col("v").sum())
            assert self.place.spec.accepts is not Accepts.APPEND
        return Query(SinkNode(input=stream.node, spec=self.place.spec))

    def run(self, points: CrashPoints, *, takeover: bool = False) -> None:
        query = points.query(self.query(), self.place.leave)
        run(query, points.storage(self.storage), takeover=takeover)

    def overtake(self) -> None:
        """Run beside the run that is on its way."""
        self.storage = LocalStorage(self.folder / "checkpoint")
        self.run(CrashPoints(), takeover=True)

    def runs_into(self, points: CrashPoints) -> bool:
        try:
            self.run(points)
        except Crash:
            return True
        return False

    def dead_letters(self) -> list[str]:
        with Topic.open(str(self.folder / "checkpoint" / "dead-letters")) as opened:
            return sorted(data.decode() for data in opened.read(0, 0, 1000).frame["bytes"])

    def split(self, given: Bag) -> tuple[Bag, list[str]]:
        """Return the rows that must be there, and the dead letters."""
        bad = Counter({row: n for row, n in given.items() if row[1] % 4 == 1})
        if not self.place.refusing:
            bad.clear()
        shown = [f'{{"k":{"null" if k is None else k},"v":{v}}}' for k, v in bad.elements()]
        return given - bad, sorted(["?", *shown])


def drawn(rng: random.Random) -> list[Action]:
    """Draw seven epochs of rows, a refused row among them."""
    values = iter(range(1000))
    frames = [
        pl.DataFrame(
            [(rng.choice([1, 2, 3, None]), next(values)) for _ in range(rng.randint(0, 4))],
            schema=SCHEMA,
            orient="row",
        )
        for _ in range(7)
    ]
    return [*map(rows, frames[:3]), refused((b"?", "odd")), *map(rows, frames[3:]), end()]


def expected(script: list[Action], *, changes: bool) -> Bag:
    """What must be there, in plain Python."""
    pairs: list[tuple[Any, int]] = []
    for action in script:
        frame = getattr(action, "frame", None)
        pairs += frame.rows() if frame is not None else []
    if not changes:
        return Counter(pairs)
    sums: dict[Any, int] = {}
    for key, value in pairs:
        sums[key] = sums.get(key, 0) + value
    return Counter(sums.items())


def simulate(kind: str, base: Path, server: str, points: int | None, seed: int) -> None:
    """Crash at some points of a run (None: all), then recover, perhaps with more crashes."""
    rng = random.Random(f"{kind}/{seed}")
    script = drawn(rng)
    folders = (base / uuid.uuid4().hex[:12] for _ in iter(int, 1))
    calm = World(kind, next(folders), server, script)
    wanted, letters = calm.split(expected(script, changes=calm.changes))
    notes = CrashPoints()
    calm.run(notes)
    assert calm.place.read() == wanted
    assert calm.dead_letters() == letters
    count = len(notes.reached)
    sinks = [n for n, point in enumerate(notes.reached) if point.name.startswith("sink.")]
    chosen = range(count) if points is None else rng.choices(range(count), k=points)
    for at in chosen if points is None else [*chosen, *rng.choices(sinks, k=points)]:
        world = World(kind, next(folders), server, script)
        crash = CrashPoints(at=at, torn=rng.random(), zeros=rng.random() < 0.5)
        crashes = [crash]
        try:
            assert world.runs_into(crash), "it did not get there"
            while rng.random() < 0.4:
                crashes.append(CrashPoints(at=rng.randrange(30), torn=rng.random(), atomic=True))
                if not world.runs_into(crashes[-1]):
                    break
            world.run(CrashPoints())
        except Exception as error:
            raise AssertionError(_told(kind, seed, at, crashes)) from error
        told = _told(kind, seed, at, crashes)
        found = world.place.read()
        lost, doubled = wanted - found, found - wanted
        assert not lost, f"{told}\nlost {lost}"
        assert not doubled or kind in AT_LEAST_ONCE, f"{told}\ndoubled {doubled}"
        assert world.dead_letters() == letters, told
        shutil.rmtree(world.folder)


def overtake(kind: str, base: Path, server: str, points: int | None, seed: int) -> None:
    """Let another run take over at some points of a run (None: all); both go on to their end."""
    rng = random.Random(f"overtake/{kind}/{seed}")
    script = drawn(rng)
    calm = World(kind, base / uuid.uuid4().hex[:12], server, script)
    wanted, letters = calm.split(expected(script, changes=calm.changes))
    notes = CrashPoints()
    calm.run(notes)
    # Within an apply the sink may hold a lock, for which the other run would have to wait.
    able = [n for n, point in enumerate(notes.reached) if point.name != "sink.apply.inside"]
    fenced = 0
    for at in able if points is None else rng.choices(able, k=points):
        world = World(kind, base / uuid.uuid4().hex[:12], server, script)
        told = f"{kind}, PENSTOCK_SEED={seed}, overtaken at {at}: {notes.reached[at]}"
        try:
            world.run(CrashPoints(at=at, then=world.overtake))
        except FencedError:
            fenced += 1
        except Exception as error:
            raise AssertionError(told) from error
        found = world.place.read()
        assert found == wanted, f"{told}\nlost {wanted - found}, doubled {found - wanted}"
        assert world.dead_letters() == letters, told
        shutil.rmtree(world.folder)
    assert points is not None or fenced > len(able) * 0.7


def _told(kind: str, seed: int, at: int, crashes: list[CrashPoints]) -> str:
    where = ", then at ".join(str(crash.reached[-1]) for crash in crashes)
    return f"{kind}, PENSTOCK_SEED={seed}, point {at}: died at {where}"


@pytest.fixture
def server(request: pytest.FixtureRequest, kind: str) -> str:
    return str(request.getfixturevalue("postgres_schema")) if "postgres" in kind else ""


@pytest.mark.parametrize("kind", KINDS)
def test_crashes_lose_and_double_nothing(kind: str, tmp_path: Path, server: str) -> None:
    simulate(kind, tmp_path, server, SHORT, SEED)


@pytest.mark.parametrize("kind", AT_LEAST_ONCE)
def test_crashes_lose_nothing_of_what_does_not_wait(kind: str, tmp_path: Path, server: str) -> None:
    """Such a sink is ahead of every checkpoint; that is no reason to refuse a start, nor to skip rows."""
    simulate(kind, tmp_path, server, 2 * SHORT, SEED)


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_write_what_one_does(kind: str, tmp_path: Path, server: str) -> None:
    overtake(kind, tmp_path, server, 1, SEED)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_every_point(kind: str, tmp_path: Path, server: str) -> None:
    for seed in range(SEED, SEED + 3):
        simulate(kind, tmp_path, server, None, seed)
        overtake(kind, tmp_path, server, None, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", AT_LEAST_ONCE)
def test_every_point_of_what_does_not_wait(kind: str, tmp_path: Path, server: str) -> None:
    simulate(kind, tmp_path, server, None, SEED)
