"""Every crash point of a checkpoint, for a pipeline of every operator.

A run is ended at each point in turn, and a new one recovers; sometimes that one is ended too. What
reached the sink must be what it is without crashes. ``PENSTOCK_SEED`` repeats a failure.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

from penstock.checkpoints.storage import MemoryStorage
from penstock.plan.sinks import SinkNode
from penstock.query import Query
from penstock.stream import Stream
from penstock.testing import (
    Action,
    Crash,
    CrashPoints,
    difference,
    end,
    random_frames,
    rows,
    scripted_spec,
)
from penstock.testing import refused as refused_rows
from penstock.testing.deltas import Integral
from tests.conformance.pipelines import CASES, Case

from .inline import run
from .tables import Table, TableSpec

SEED = int(os.environ.get("PENSTOCK_SEED", "1"))
EPOCHS = 5
SHORT = 4
"""Points tried of each pipeline in CI; all of them at night."""


@dataclass
class World:
    """A pipeline over scripts, its sink's table and its checkpoint: what outlives a crash."""

    name: str
    case: Case
    script: dict[str, list[Action]]

    def __post_init__(self) -> None:
        self.table = Table()
        self.storage = MemoryStorage()
        self.specs = {
            name: scripted_spec(
                name, given.sourced, script=self.script[name], changelog=given.changelog
            )
            for name, given in self.case.inputs.items()
        }

    def query(self) -> Query:
        import penstock as ps

        self.stream: Stream = self.case.pipeline(*map(ps.from_source, self.specs.values()))
        return Query(SinkNode(input=self.stream.node, spec=TableSpec(self.table)))

    def run(self, points: CrashPoints, lag: int) -> None:
        run(points.query(self.query()), points.storage(self.storage), lag)

    def runs_into(self, points: CrashPoints, lag: int) -> bool:
        """Run; tell whether it died at a point."""
        try:
            self.run(points, lag)
        except Crash:
            return True
        return False

    def dead_letters(self) -> list[tuple[Any, ...]]:
        files = sorted(p for p in self.storage.files if p.startswith("dead-letters/"))
        frames = [pl.read_ipc(self.storage.files[path]) for path in files]
        return sorted(pl.concat(frames).rows()) if frames else []


def scripts(case: Case, rng: random.Random) -> dict[str, list[Action]]:
    """Draw what the sources bring; a refused row in the midst."""
    made = {}
    for name, given in case.inputs.items():
        actions: list[Action] = [rows(frame) for frame in random_frames(given, EPOCHS, rng)]
        actions.insert(2, refused_rows((b"?", f"refused by {name}")))
        made[name] = [*actions, end()]
    return made


def compare(world: World, calm: World, told: str) -> None:
    """Hold what came of crashes against what came without."""
    schema = calm.stream.schema
    expected, found = calm.table.rows(schema), world.table.rows(schema)
    differs = difference(found, expected)
    assert differs is None, f"{told}\n{differs}"
    assert world.dead_letters() == calm.dead_letters(), told
    assert world.table.epochs == sorted(set(world.table.epochs)), f"{told}: an epoch came twice"
    integral = Integral(calm.stream, told)
    for frame in world.table.frames:
        integral.add(frame)


def simulate(name: str, lag: int, points: Sequence[int] | None, seed: int) -> int:
    """Crash at each of these points of a run (None: all); return how many there are."""
    case = CASES[name]
    rng = random.Random(f"{name}/{seed}")
    script = scripts(case, rng)
    calm = World(name, case, script)
    notes = CrashPoints()
    calm.run(notes, lag)
    count = len(notes.reached)
    assert calm.dead_letters(), "the refused rows are dead letters"
    for at in points if points is not None else range(count):
        world = World(name, case, script)
        crash = CrashPoints(at=at % count, torn=rng.random(), zeros=rng.random() < 0.5)
        told = f"{name}, lag {lag}, PENSTOCK_SEED={seed}, point {at % count}"
        crashes = [crash]
        try:
            assert world.runs_into(crash, lag), "it did not get there"
            while rng.random() < 0.4:  # the recovery dies too, soon
                crashes.append(CrashPoints(at=rng.randrange(25), torn=rng.random(), atomic=True))
                if not world.runs_into(crashes[-1], lag):
                    break
            world.run(CrashPoints(), lag)
        except Exception as error:
            raise AssertionError(_told(told, crashes)) from error
        told = _told(told, crashes)
        compare(world, calm, told)
    return count


def _told(told: str, crashes: Sequence[CrashPoints]) -> str:
    return f"{told}: died at {', then at '.join(str(crash.reached[-1]) for crash in crashes)}"


@pytest.mark.parametrize("name", CASES)
def test_crashes_lose_and_double_nothing(name: str) -> None:
    rng = random.Random(f"short/{name}/{SEED}")
    for lag in (0, 3):
        simulate(name, lag, [rng.randrange(10**6) for _ in range(SHORT // 2)], SEED)


@pytest.mark.parametrize("name", ["windows"])
def test_every_point_of_some_pipelines(name: str) -> None:
    assert simulate(name, 0, None, SEED) > 50


def test_a_first_claim_that_is_torn_has_lost_nothing() -> None:
    script = scripts(CASES["aggregate"], random.Random(1))
    worlds = [World("aggregate", CASES["aggregate"], script) for _ in range(2)]
    assert worlds[1].runs_into(CrashPoints(name="storage.create.torn"), 0)
    assert len(worlds[1].storage.files) == 1
    for world in worlds:
        world.run(CrashPoints(), 0)
    compare(worlds[1], worlds[0], "a torn first claim")


@pytest.mark.nightly
@pytest.mark.parametrize("lag", [0, 1, 2, 5])
@pytest.mark.parametrize("name", CASES)
def test_every_point_of_every_pipeline(name: str, lag: int) -> None:
    for seed in range(SEED, SEED + 5):
        simulate(name, lag, None, seed)
