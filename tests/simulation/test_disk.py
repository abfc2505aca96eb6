"""A disk that loses what was not forced to it: checkpoints on a folder, and the file sink."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from penstock.checkpoints.storage import LocalStorage
from penstock.testing import Crash, CrashPoints

from .disk import Disk
from .inline import run
from .test_sinks import SEED, World, drawn, expected

RUNS = 8


def attempt(world: World, disk: Disk) -> bool:
    """Run on the disk; tell whether it died."""
    query = disk.points.query(world.query(), leave=lambda sink: None)
    try:
        with disk.watching():
            run(query, world.storage)
    except Crash:
        return True
    return False


def count_points(base: Path, seed: str) -> int:
    world = World("files", base / "calm", "", drawn(random.Random(seed)))
    points = CrashPoints()
    assert not attempt(world, Disk(world.folder, base / "grave", points))
    return len(points.reached)


def simulate(base: Path, seed: str, at: int) -> None:
    """Cut the power at a point; what is left must do to go on from."""
    base.mkdir()
    rng = random.Random(f"{seed}/{at}")
    script = drawn(random.Random(seed))
    wanted = expected(script, changes=False)
    world = World("files", base / "world", "", script)
    told = f"PENSTOCK_SEED={SEED}, point {at}"
    died, crash = True, at
    while died:
        disk = Disk(world.folder, base / "grave", CrashPoints(at=crash))
        died = attempt(world, disk)
        if died:
            lost = disk.lose(rng)
            told += f"\n{disk.points.reached[-1]}: {lost}"
            crash = rng.choice([rng.randrange(40), 10**9])
        world.storage = LocalStorage(world.folder / "checkpoint")
    found = world.place.read()
    assert found == wanted, f"{told}\nlost {wanted - found}, doubled {found - wanted}"


def test_power_cuts_lose_and_double_nothing(tmp_path: Path) -> None:
    seed = f"disk/{SEED}"
    count = count_points(tmp_path, seed)
    rng = random.Random(seed)
    for number in range(RUNS):
        simulate(tmp_path / f"{number}", seed, rng.randrange(count))


@pytest.mark.nightly
@pytest.mark.parametrize("more", range(20))
def test_power_cuts_at_every_point(tmp_path: Path, more: int) -> None:
    seed = f"disk/{SEED + more}"
    for at in range(count_points(tmp_path, seed)):
        simulate(tmp_path / f"{at}", seed, at)


def test_what_a_storage_has_written_stays(tmp_path: Path) -> None:
    """With the folders that were made for it."""
    for number in range(20):
        root = tmp_path / f"{number}"
        root.mkdir()
        disk = Disk(root, tmp_path / "grave", CrashPoints())
        with disk.watching():
            storage = LocalStorage(root / "deep" / "state")
            storage.hold(takeover=False)
            storage.write("runs/a.arrow", b"a" * 50)
            assert storage.create("manifest-1", b"m" * 50)
            storage.delete("none")
        storage.release()
        disk.lose(random.Random(number))
        assert storage.read("manifest-1") == b"m" * 50
        assert storage.read("runs/a.arrow") == b"a" * 50


def test_the_disk_loses_what_was_not_forced(tmp_path: Path) -> None:
    """Files that were forced, in folders that were forced, stay; the others come and go."""
    root = tmp_path / "root"
    root.mkdir()
    kept = {"both": 0, "data": 0, "neither": 0, "removed": 0}
    for number in range(40):
        disk = Disk(root, tmp_path / "grave", CrashPoints())
        with disk.watching():
            for name in ("removed", "both", "data", "neither"):
                with (root / name).open("wb") as file:
                    file.write(b"x" * 100)
                    file.flush()
                    if name != "neither":
                        os.fsync(file.fileno())
                if name == "both":
                    handle = os.open(root, os.O_RDONLY)
                    os.fsync(handle)
                    os.close(handle)
            (root / "removed").unlink()
        disk.lose(random.Random(number))
        for name in kept:
            path = root / name
            kept[name] += path.exists() and path.read_bytes() == b"x" * 100
            path.unlink(missing_ok=True)
    assert kept["both"] == 40
    assert all(0 < kept[name] < 40 for name in ("data", "removed"))
    assert kept["neither"] < kept["data"]
