"""At every crash point another run takes over, and ends; the first one then goes on where it was.

It must notice, and what both wrote together must be what one run writes.
"""

from __future__ import annotations

import random

import pytest

from penstock.errors import FencedError
from penstock.testing import CrashPoints
from tests.conformance.pipelines import CASES

from .test_operators import SEED, World, compare, scripts

SHORT = 2


def overtake(name: str, lag: int, points: int | None, seed: int) -> tuple[int, int]:
    """Overtake a run at some points (None: all); return how often it was fenced, and of how many."""
    case = CASES[name]
    rng = random.Random(f"overtake/{name}/{seed}")
    script = scripts(case, rng)
    calm, notes = World(name, case, script), CrashPoints()
    calm.run(notes, lag)
    count, fenced = len(notes.reached), 0
    chosen = list(range(count)) if points is None else rng.choices(range(count), k=points)
    for at in chosen:
        world = World(name, case, script)
        second = World(name, case, script)
        second.table, second.storage = world.table, world.storage
        overtaken = CrashPoints(at=at, then=lambda second=second: second.run(CrashPoints(), lag))  # type: ignore[misc]
        told = f"{name}, lag {lag}, PENSTOCK_SEED={seed}, overtaken at {at}: {notes.reached[at]}"
        try:
            world.run(overtaken, lag)
        except FencedError:
            fenced += 1
        except Exception as error:
            raise AssertionError(told) from error
        second.stream = calm.stream
        compare(second, calm, told)
    return fenced, len(chosen)


@pytest.mark.parametrize("name", CASES)
def test_two_runs_write_what_one_does(name: str) -> None:
    overtake(name, 0, SHORT, SEED)


def test_every_point_of_one_pipeline() -> None:
    fenced, count = overtake("map", 0, None, SEED)
    assert fenced > count * 0.7, (
        "only at its beginning and its end a run may be overtaken unnoticed"
    )


@pytest.mark.nightly
@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_two_runs_at_every_point(name: str, lag: int) -> None:
    overtake(name, lag, None, SEED)
