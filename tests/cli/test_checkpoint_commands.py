"""``penstock checkpoints`` and ``penstock state``, and the same from Python."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.manifest import path_of
from penstock.checkpoints.reading import chain
from penstock.checkpoints.storage import MemoryStorage
from penstock.cli.main import main
from penstock.errors import CheckpointError
from penstock.query import Query
from tests.checkpoints.conftest import s3
from tests.servers.objects import ObjectServer

__all__ = ["s3"]


def pipeline(folder: Path) -> Query:
    rows = ps.scan_batches([pl.DataFrame({"k": ["a", "b", "a", None], "n": [1, 2, 3, 4]})])
    names = ps.scan_batches([pl.DataFrame({"k": ["a", "c"], "name": ["Anna", "Cem"]})])
    return Query(
        *rows.group_by("k").agg(total=pl.col("n").min()).sink_topic(folder / "totals").roots,
        *rows.join(names, on="k").sink_topic(folder / "joined").roots,
        *rows.unique("k").sink_topic(folder / "once").roots,
    )


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    assert pipeline(tmp_path).start(checkpoint=tmp_path / "c").wait(60)
    return tmp_path / "c"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_list_names_every_checkpoint(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "list", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "epoch" in said
    assert "a run began" in said


def test_show_tells_steps_state_and_positions(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoints", "show", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    for word in ("join-1", "distinct-1", "source-1", '"frame"'):
        assert word in said


def test_texts_in_brackets_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ps.scan_batches([pl.DataFrame({"red": ["[/red]"], "n": [1]})], name="[/a]")
    counts = rows.group_by("red").agg(n=pl.len()).named("counts")
    assert counts.sink_topic(tmp_path / "t").start(checkpoint=tmp_path / "c").wait(60)
    for command in (["checkpoints", "show"], ["state", "list"]):
        assert main([*command, str(tmp_path / "c")]) == 0
        assert "Aggregate by [red]" in capsys.readouterr().out
    assert main(["state", "show", str(tmp_path / "c"), "counts"]) == 0
    assert "[/red]" in capsys.readouterr().out


class Going(MemoryStorage):
    """A run goes on, and lets go of its oldest checkpoint, while somebody reads."""

    def read(self, path: str) -> bytes:
        self.delete(path_of(1))
        return super().read(path)


def test_what_a_run_lets_go_of_meanwhile_is_not_damaged() -> None:
    storage = Going()
    for sequence in (1, 2):
        assert storage.create(path_of(sequence), b"damaged")
    assert [link.sequence for link in chain(storage)] == [2]


def test_verify_finds_a_damaged_file(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "verify", str(checkpoint)]) == 0
    assert "sound" in capsys.readouterr().out
    newest = max((checkpoint / "runs").iterdir())
    newest.write_bytes(newest.read_bytes()[:-9] + b"different")
    assert main(["checkpoints", "verify", str(checkpoint)]) == 1
    assert f"runs/{newest.name} is missing or damaged" in capsys.readouterr().out


def test_an_exported_checkpoint_is_gone_on_from(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    assert main(["checkpoints", "export", str(checkpoint), str(copy)]) == 0
    assert "copied" in capsys.readouterr().out
    assert ps.list_state(copy).equals(ps.list_state(checkpoint))
    assert main(["checkpoints", "export", str(checkpoint), str(copy)]) == 1
    assert "new folder" in capsys.readouterr().err
    assert pipeline(tmp_path).start(checkpoint=copy).wait(60)
    joined = ps.scan_topic(tmp_path / "joined", stop="at end").collect()
    assert joined["n"].to_list() == [1, 3]


def test_a_damaged_checkpoint_is_not_exported(checkpoint: Path, tmp_path: Path) -> None:
    for path in (checkpoint / "runs").iterdir():
        path.write_bytes(b"")
    assert main(["checkpoints", "export", str(checkpoint), str(tmp_path / "copy")]) == 1
    assert not list((tmp_path / "copy").glob("manifest-*"))


def test_state_shows_keys_and_values(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["state", "list", str(checkpoint)]) == 0
    assert "distinct-1" in capsys.readouterr().out
    assert main(["state", "show", str(checkpoint), "join-1", "--part", "right"]) == 0
    said = capsys.readouterr().out
    assert "Cem" in said
    assert "2 of 2 rows" in said


def test_state_is_read_as_a_frame(checkpoint: Path) -> None:
    listed = ps.list_state(checkpoint)
    assert set(listed["operator"]) >= {"join-1", "distinct-1"}
    seen = ps.read_state(checkpoint, "distinct-1")
    assert sorted(seen["k"].to_list(), key=str) == [None, "a", "b"]
    right = ps.read_state(checkpoint, "join-1", part="right")
    assert sorted(right["name"].to_list()) == ["Anna", "Cem"]
    totals = ps.read_state(checkpoint, "running-aggregate-1")
    assert dict(totals.select("k", "min").rows()) == {"a": 1, "b": 2, None: 4}


def test_what_an_aggregation_keeps_is_told_by_its_role(tmp_path: Path) -> None:
    rows = ps.scan_batches([pl.DataFrame({"len": ["a", "a"], "n": [1, 2], "m": [3, 4]})])
    sums = rows.group_by("len").agg(pl.len().alias("rows"), pl.col("n").sum(), pl.col("m").sum())
    assert sums.sink_topic(tmp_path / "t").start(checkpoint=tmp_path / "c").wait(60)
    state = ps.read_state(tmp_path / "c", "running-aggregate-1")
    assert [re.sub("_[0-9a-f]{4}$", "_#", name) for name in state.columns] == [
        "len",
        "len_#",
        "sum_#",
        "sum_#",
    ]
    assert sorted(state.row(0)[1:]) == [2, 3, 7]


@pytest.mark.parametrize(
    ("operator", "part", "message"),
    [("distinct-9", None, "distinct-1"), ("distinct-1", "rows", "seen")],
)
def test_what_is_not_there_is_named_with_what_is(
    checkpoint: Path, operator: str, part: str | None, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        ps.read_state(checkpoint, operator, part=part)


def test_a_place_without_checkpoints_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoints", "list", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert "there is no folder" in said
    assert "that the run has as its checkpoint" in said
    assert main(["checkpoints", "list", str(tmp_path)]) == 2
    assert "no checkpoint" in capsys.readouterr().err
    assert main(["checkpoints", "list", str(tmp_path), "--option", "region"]) == 2
    assert "KEY=VALUE" in capsys.readouterr().err


PROGRAM = """
import polars as pl, penstock as ps
rows = ps.scan_batches([pl.DataFrame({{"k": ["a", "b", "a"], "n": [1, 2, 3]}})])
counts = rows.group_by("k").agg({aggregate}).named("counts")
written = counts.sink_sqlite({path!r}, "t", key="k")
"""


def test_every_command_takes_an_object_store(
    s3: ObjectServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for pair in s3.options.items() for word in ("--option", "=".join(pair))]
    url, copy, path = s3.new_url(), str(tmp_path / "copy"), str(tmp_path / "out.db")
    file, changed = tmp_path / "counts.py", tmp_path / "changed.py"
    file.write_text(PROGRAM.format(path=path, aggregate='total=pl.col("n").sum()'))
    changed.write_text(PROGRAM.format(path=path, aggregate='most=pl.col("n").max()'))

    def said(expected: int, *words: str) -> str:
        assert main([*words, *given]) == expected, capsys.readouterr().err
        told = capsys.readouterr()
        return told.out + told.err

    assert "3 rows in" in said(0, "run", str(file), "--checkpoint", url)
    assert "0 rows in" in said(0, "run", str(file), "--checkpoint", url)
    assert "epoch" in said(0, "checkpoints", "list", url)
    assert "counts" in said(0, "checkpoints", "show", url)
    assert "sound" in said(0, "checkpoints", "verify", url)
    assert "copied" in said(0, "checkpoints", "export", url, copy)
    assert "counts" in said(0, "state", "list", url)
    assert "2 of 2 rows" in said(0, "state", "show", url, "counts")
    assert "nothing is lost" in said(0, "diff", str(file), url)
    assert "would be lost: counts" in said(1, "diff", str(changed), url)
    assert "starts empty" in said(0, "state", "reset", url, "counts")
    assert ps.read_state(copy, "counts").height == 2
    assert said(2, "run", str(file), "--checkpoint", s3.new_url(), "--option", "x")
