"""What a database refuses, in whole runs: counted, limited, kept, shown and replayed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.storage import MemoryStorage
from penstock.errors import QueryFailed
from penstock.testing import Crash, CrashPoints, end, rows, scripted
from tests.simulation.inline import run

SMALL = "CREATE TABLE t (n BIGINT CHECK (n < 10))"


def database(folder: Path, statement: str = SMALL) -> str:
    execute(folder, statement)
    return str(folder / "out.db")


def execute(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        found = connection.execute(statement).fetchall()
        connection.commit()
        return found


def query(folder: Path, *frames: list[int]) -> ps.Query:
    script = [*(rows({"n": values}) for values in frames), end()]
    return scripted("s", {"n": pl.Int64}, script=script).sink_sqlite(folder / "out.db", "t")


def test_refused_rows_are_kept_counted_and_replayed(tmp_path: Path) -> None:
    database(tmp_path)
    checkpoint = tmp_path / "c"
    done = ps.run(query(tmp_path, [1, 10], [2, 11]), checkpoint=checkpoint)
    assert done.progress().dead_letters == 2
    assert done.dead_letters()["bytes"].to_list() == [b'{"n":10}', b'{"n":11}']
    letters = ps.read_dead_letters(checkpoint)
    assert letters.select("operator", "bytes").rows() == [
        ("sink-1", b'{"n":10}'),
        ("sink-1", b'{"n":11}'),
    ]
    assert all("CHECK constraint failed" in reason for reason in letters["reason"])
    execute(tmp_path, "DROP TABLE t")
    database(tmp_path, "CREATE TABLE t (n BIGINT)")
    for _ in range(2):
        again = query(tmp_path, [1, 10], [2, 11])
        ps.run(again, checkpoint=checkpoint, replay_dead_letters=True)
        assert execute(tmp_path, "SELECT n FROM t") == [(10,), (11,)]
    assert ps.read_dead_letters(checkpoint)["replayed"].all()


def test_letters_of_changes_are_not_replayed(tmp_path: Path) -> None:
    database(tmp_path, "CREATE TABLE t (k BIGINT UNIQUE, n BIGINT CHECK (n < 10))")
    script = [rows({"k": [1, 2], "n": [3, 30]}), end()]
    schema = {"k": pl.Int64, "n": pl.Int64}
    sums = scripted("s", schema, script=script).group_by("k").agg(pl.col("n").sum())
    summed = sums.sink_sqlite(tmp_path / "out.db", "t", key="k")
    ps.run(summed, checkpoint=tmp_path / "c")
    assert ps.read_dead_letters(tmp_path / "c")["bytes"].to_list() == [b'{"k":2,"n":30}']
    with pytest.raises(QueryFailed, match="no row that could be given"):
        ps.run(summed, checkpoint=tmp_path / "c", replay_dead_letters=[0])


def test_without_a_checkpoint_they_are_shown(tmp_path: Path) -> None:
    database(tmp_path)
    done = ps.run(query(tmp_path, [1, 10]))
    assert done.dead_letters()["bytes"].to_list() == [b'{"n":10}']
    assert execute(tmp_path, "SELECT n FROM t") == [(1,)]


@pytest.mark.parametrize("kept", [True, False])
def test_a_limit_counts_them(tmp_path: Path, *, kept: bool) -> None:
    database(tmp_path)
    checkpoint = tmp_path / "c" if kept else None
    with pytest.raises(QueryFailed, match="2 dead letters are more than dead_letter_limit=1"):
        ps.run(query(tmp_path, [1, 10, 11]), checkpoint=checkpoint, dead_letter_limit=1)
    assert execute(tmp_path, "SELECT n FROM t") == [(1,)]


def crashed(folder: Path, points: CrashPoints) -> bool:
    """Run into a crash point, then to the end; all is there once."""
    frames = [[1, 10], [11], [2, 12, 3]]
    folder.mkdir()
    database(folder)
    storage, died = MemoryStorage(), False
    try:
        run(points.query(query(folder, *frames)), points.storage(storage))
    except Crash:
        died = True
    run(query(folder, *frames), storage)
    assert execute(folder, "SELECT n FROM t ORDER BY n") == [(1,), (2,), (3,)], points.at
    letters = ps.read_dead_letters(storage)
    assert letters["bytes"].to_list() == [b'{"n":10}', b'{"n":11}', b'{"n":12}'], points.at
    assert letters["offset"].to_list() == [0, 1, 2]
    return died


def test_a_crash_on_an_object_store_neither_loses_nor_doubles_letters(tmp_path: Path) -> None:
    notes = CrashPoints()
    assert not crashed(tmp_path / "calm", notes)
    for at, point in enumerate(notes.reached):
        if at % 12 == 0 or point.name == "sink.apply.after":
            assert crashed(tmp_path / str(at), CrashPoints(at=at))
