"""A replayed row comes after all that came meanwhile: it must not take the place of a newer one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.storage import LocalStorage
from penstock.cli.main import main
from penstock.testing import Crash, CrashPoints, end, rows, scripted
from tests.simulation.inline import run

SCHEMA: dict[str, Any] = {"k": pl.Int64, "v": pl.String}
REASON = "a row of this key is there already, and may be newer"


def query(folder: Path, *, repaired: bool = False) -> ps.Query:
    """Rows by key; of keys 1 and 2 one is refused, of key 1 there is a newer row."""
    script = [
        rows({"k": [1, 2, 3], "v": ["x", "x", "3"]}),
        rows({"k": [1], "v": ["10"]}),
        end(),
    ]
    number = pl.col("v").replace("x", "100") if repaired else pl.col("v")
    read = scripted("s", SCHEMA, script=script).with_columns(number.str.to_integer())
    return read.sink_sqlite(folder / "out.db", "t", key="k")


def table(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        return connection.execute("SELECT k, v FROM t ORDER BY k").fetchall()


def test_a_replayed_row_replaces_no_row(tmp_path: Path) -> None:
    ps.run(query(tmp_path), checkpoint=tmp_path / "c")
    again = query(tmp_path, repaired=True)
    done = ps.run(again, checkpoint=tmp_path / "c", replay_dead_letters=True)
    assert table(tmp_path) == [(1, 10), (2, 100), (3, 3)]
    assert done.progress().dead_letters == 1
    letters = ps.read_dead_letters(tmp_path / "c")
    assert letters.select("operator", "bytes", "first").row(2) == ("sink-1", b'{"k":1,"v":100}', 0)
    assert REASON in letters["reason"][2]
    assert letters["replayed"].to_list() == [True, True, False]


@pytest.mark.parametrize("kept", [0, 2])
def test_unless_it_is_to(tmp_path: Path, kept: int) -> None:
    """Either at the first replay, or that of the letter which says so."""
    ps.run(query(tmp_path), checkpoint=tmp_path / "c")
    if kept:
        again = query(tmp_path, repaired=True)
        ps.run(again, checkpoint=tmp_path / "c", replay_dead_letters=True)
    ps.run(
        query(tmp_path, repaired=True),
        checkpoint=tmp_path / "c",
        replay_dead_letters=[kept],
        replay_overwrites=True,
    )
    assert table(tmp_path)[0] == (1, 100)


def test_of_letters_of_one_key_the_last_one_counts(tmp_path: Path) -> None:
    def made(number: pl.Expr) -> ps.Query:
        script = [rows({"k": [1, 1], "v": ["x", "y"]}), end()]
        read = scripted("s", SCHEMA, script=script)
        return read.with_columns(number.str.to_integer()).sink_sqlite(
            tmp_path / "out.db", "t", key="k"
        )

    ps.run(made(pl.col("v")), checkpoint=tmp_path / "c")
    repaired = made(pl.col("v").replace_strict({"x": "1", "y": "2"}))
    ps.run(repaired, checkpoint=tmp_path / "c", replay_dead_letters=True)
    assert table(tmp_path) == [(1, 2)]


def test_rows_that_wait_for_the_next_checkpoint_count(tmp_path: Path) -> None:
    """The rows of the second run, of key 2 too, are not in the table when it replays."""
    ps.run(query(tmp_path), checkpoint=tmp_path / "c")
    more = scripted("more", SCHEMA, script=[rows({"k": [2], "v": ["20"]}), end()])
    script = [rows({"k": [1, 2, 3], "v": ["x", "x", "3"]}), rows({"k": [1], "v": ["10"]}), end()]
    both = ps.concat([scripted("s", SCHEMA, script=script), more])
    number = pl.col("v").replace("x", "100").str.to_integer()
    joined = both.with_columns(number).sink_sqlite(tmp_path / "out.db", "t", key="k")
    ps.run(joined, checkpoint=tmp_path / "c", allow_lost_state=True)
    assert table(tmp_path) == [(1, 10), (2, 20), (3, 3)]
    ps.run(joined, checkpoint=tmp_path / "c", replay_dead_letters=True)
    assert table(tmp_path) == [(1, 10), (2, 20), (3, 3)]


def test_where_the_pipeline_keeps_the_newest_an_old_row_changes_nothing(tmp_path: Path) -> None:
    schema = {"k": pl.Int64, "at": pl.Int64, "v": pl.String}

    def newest(number: pl.Expr) -> ps.Query:
        script = [rows({"k": [1, 1, 2], "at": [2, 1, 1], "v": ["20", "x", "x"]}), end()]
        read = scripted("s", schema, script=script).with_columns(number.str.to_integer())
        latest = read.top_k(1, by="at", group_by="k").select("k", "v")
        return latest.sink_sqlite(tmp_path / "out.db", "t", key="k")

    ps.run(newest(pl.col("v")), checkpoint=tmp_path / "c")
    repaired = newest(pl.col("v").replace("x", "10"))
    ps.run(repaired, checkpoint=tmp_path / "c", replay_dead_letters=True)
    assert table(tmp_path) == [(1, 20), (2, 10)]


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ps.run(query(tmp_path), checkpoint=tmp_path / "c")
    program = tmp_path / "repaired.py"
    program.write_text(
        "from pathlib import Path\n"
        "from tests.engine.test_replay_overwrites import query\n"
        f"again = query(Path({str(tmp_path)!r}), repaired=True)\n"
    )
    kept = str(tmp_path / "c")
    assert main(["dead-letters", "replay", kept, "--overwrite"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["dead-letters", "replay", kept, str(program), "--overwrite"]) == 0
    assert table(tmp_path)[0] == (1, 100)


def test_a_crash_at_any_point_leaves_the_newer_row(tmp_path: Path) -> None:
    def crashed(folder: Path, points: CrashPoints) -> bool:
        folder.mkdir()
        run(query(folder), LocalStorage(folder / "c"))
        died = False
        try:
            run(
                points.query(query(folder, repaired=True)),
                points.storage(LocalStorage(folder / "c")),
                replay=True,
            )
        except Crash:
            died = True
        again = query(folder, repaired=True)
        run(
            again,
            LocalStorage(folder / "c"),
            replay=not ps.read_dead_letters(folder / "c")["replayed"][0],
        )
        assert table(folder) == [(1, 10), (2, 100), (3, 3)], points.at
        letters = ps.read_dead_letters(folder / "c")
        assert letters["first"].to_list() == [None, None, 0], points.at
        return died

    notes = CrashPoints()
    assert not crashed(tmp_path / "calm", notes)
    for at in range(0, len(notes.reached), 7):
        assert crashed(tmp_path / str(at), CrashPoints(at=at))
