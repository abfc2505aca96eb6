"""``penstock dead-letters``: list, show, replay."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.cli.main import main
from penstock.cli.programs import load
from tests.checkpoints.conftest import s3
from tests.servers.objects import ObjectServer

__all__ = ["s3"]

PROGRAM = """
import polars as pl, penstock as ps
rows = ps.scan_ndjson("FOLDER/rows.ndjson", schema={"k": pl.String, "v": pl.String})
numbers = rows.with_columns(n=pl.col("v")REPAIR.cast(pl.Int64))
query = numbers.sink_sqlite("FOLDER/out.db", "t")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run over five lines of which one cannot be decoded and two not cast."""
    lines = [{"k": "a", "v": "1"}, {"k": "a", "v": "1 000"}, {"k": "b", "v": "n/a"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "rows.ndjson").write_text(
        text + "{broken\n" + json.dumps({"k": "b", "v": "2"}) + "\n"
    )
    (tmp_path / "first.py").write_text(program(tmp_path, ""))
    (tmp_path / "repaired.py").write_text(program(tmp_path, '.str.replace_all(" ", "")'))
    assert main(["run", str(tmp_path / "first.py"), "--checkpoint", str(tmp_path / "c")]) == 0
    return tmp_path


def program(folder: Path, repair: str) -> str:
    return PROGRAM.replace("FOLDER", str(folder)).replace("REPAIR", repair)


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    capsys.readouterr()
    assert main(["dead-letters", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def numbers(folder: Path) -> list[int]:
    with closing(sqlite3.connect(folder / "out.db")) as connection:
        return sorted(n for (n,) in connection.execute("SELECT n FROM t"))


def test_list_counts_and_shows_the_latest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = call(capsys, "list", str(folder / "c"))
    head = lines[0].split()
    assert head[:4] == ["letters", "replayed", "id", "step"]
    counts = [line.split() for line in lines[1 : lines.index("")]]
    assert sorted(line[1] for line in counts) == ["map-1", "map-1", "source-1"]
    rows = lines[lines.index("") + 2 :]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]
    assert any("rows.ndjson:4" in row and "{broken" in row for row in rows)
    assert any('{"k":"b","v":"n/a"}' in row for row in rows)


def test_list_takes_filters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(folder / "c")
    by_id = call(capsys, "list", where, "--step", "map-1")
    assert by_id == call(capsys, "list", where, "--step", "with_columns")
    assert not any("{broken" in line for line in by_id)
    assert call(capsys, "list", where, "--limit", "1")[-1] == "... the latest 1 of 3"
    assert call(capsys, "list", where, "--since", "2h") == call(capsys, "list", where)
    assert call(capsys, "list", where, "--until", "2020-01-01") == ["no dead letters"]
    assert main(["dead-letters", "list", where, "--step", "mapp-1"]) == 2
    assert "did you mean 'map-1'?" in capsys.readouterr().err
    assert main(["dead-letters", "list", where, "--since", "yesterday"]) == 2
    assert "--since" in capsys.readouterr().err


def test_show_gives_a_letter_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = ps.read_dead_letters(folder / "c")
    refused = frame.filter(pl.col("bytes") == b'{"k":"b","v":"n/a"}')["offset"].item()
    text = "\n".join(call(capsys, "show", str(folder / "c"), str(refused)))
    assert "step:     with_columns" in text
    assert "operator: map-1" in text
    assert "    v = 'n/a'" in text
    broken = frame.filter(pl.col("operator") == "source-1")["offset"].item()
    found = [
        json.loads(line)
        for line in call(capsys, "show", str(folder / "c"), str(refused), str(broken), "--json")
    ]
    assert {letter["offset"] for letter in found} == {refused, broken}
    by_offset = {letter["offset"]: letter for letter in found}
    assert by_offset[refused]["row"] == {"k": "b", "v": "n/a"}
    assert by_offset[refused]["row_types"] == {"k": "String", "v": "String"}
    assert by_offset[broken]["bytes"] == "{broken"
    assert by_offset[broken]["position"].endswith("rows.ndjson:4")
    assert main(["dead-letters", "show", str(folder / "c"), "7"]) == 2
    assert "there are: 0 to 2" in capsys.readouterr().err


def test_replay_by_a_repaired_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["replay", str(folder / "c"), str(folder / "repaired.py"), "--step", "map-1"]
    assert numbers(folder) == [1, 2]
    call(capsys, *arguments)
    assert numbers(folder) == [1, 2, 1000]
    assert ps.read_dead_letters(folder / "c")["replayed"].sum() == 2
    call(capsys, *arguments)
    assert numbers(folder) == [1, 2, 1000]


def test_letters_are_marked_for_the_next_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(folder / "c")
    (said,) = call(capsys, "replay", where, "--step", "map-1")
    assert said.startswith("2 dead letters will be replayed")
    assert main(["run", str(folder / "repaired.py"), "--checkpoint", where]) == 0
    assert numbers(folder) == [1, 2, 1000]
    assert main(["run", str(folder / "repaired.py"), "--checkpoint", where]) == 0
    assert numbers(folder) == [1, 2, 1000]
    assert main(["dead-letters", "replay", where, "--step", "map-1", "--offset", "0"]) == 2


def test_where_there_is_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", "list", str(tmp_path / "none")]) == 2
    assert "there is no checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_letters_on_an_object_store(
    s3: ObjectServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "rows.ndjson").write_text('{"k":"a","v":"1 000"}\n{"k":"b","v":"2"}\n')
    (tmp_path / "first.py").write_text(program(tmp_path, ""))
    (tmp_path / "repaired.py").write_text(program(tmp_path, '.str.replace_all(" ", "")'))
    url, pairs = s3.new_url(), [f"{key}={value}" for key, value in s3.options.items()]
    given = [word for pair in pairs for word in ("--option", pair)]
    queries = load(tmp_path / "first.py").queries
    ps.run(*queries, checkpoint=url, checkpoint_options=s3.options, restart=None)
    with monkeypatch.context() as environment:
        for key, value in s3.options.items():
            environment.setenv(f"AWS_{key.upper()}", value)
        found = call(capsys, "list", url, "--option", "allow_http=true")
        assert any("1 000" in line for line in found)
    assert call(capsys, "list", url, *given)[1].split()[1] == "map-1"
    assert "1 000" in "".join(call(capsys, "show", url, "0", *given))
    (said,) = call(capsys, "replay", url, "--offset", "0", *given)
    assert said.startswith("1 dead letters")
    for _ in range(2):
        call(capsys, "replay", url, str(tmp_path / "repaired.py"), *given)
        assert numbers(tmp_path) == [2, 1000]
    assert main(["dead-letters", "list", url, "--option", "region"]) == 2
