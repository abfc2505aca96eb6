from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.connectors.files.reading import opened, texts, wait_for, wait_until

from penstock.connectors.contract import SourceSpec
from penstock.connectors.files.config import folder
from penstock.errors import ConnectorError


def put(path: Path, data: str | bytes) -> None:
    """Write beside, rename into place."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(data.encode() if isinstance(data, str) else data)
    beside.rename(path)


def caught_up(polled: Any) -> bool:
    return bool(polled.caught_up)


def test_files_are_read_once_as_they_come(tmp_path: Path) -> None:
    spec = folder(f"{tmp_path}/*.txt*", format="text", settle="0s")
    assert isinstance(spec, SourceSpec)
    assert not spec.bounded
    source = opened(spec)
    wait_until(source, caught_up)
    put(tmp_path / "b.txt", "1\n2\n")
    assert texts(wait_for(source, 2)) == ["1", "2"]
    put(tmp_path / "a.txt.gz", gzip.compress(b"3"))
    (tmp_path / "sub.txt").mkdir()
    assert texts(wait_for(source, 1)) == ["3"]
    wait_until(source, caught_up)
    source.close()


def test_a_growing_file_is_waited_for(tmp_path: Path) -> None:
    spec = folder(f"{tmp_path}/*.txt", format="text", settle="300ms")
    source = opened(spec)
    path = tmp_path / "a.txt"
    path.write_text("1\n")
    assert not source.poll(10, 0).caught_up
    with path.open("a") as file:
        for i in range(2, 5):
            assert source.poll(10, 0.1).frame.height == 0
            file.write(f"{i}\n")
            file.flush()
    assert texts(wait_for(source, 4)) == ["1", "2", "3", "4"]
    source.close()


def test_a_position_resumes_within_a_file_and_skips_what_is_done(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        put(tmp_path / f"{name}.txt", f"{name}1\n{name}2\n")
    spec = folder(tmp_path, format="text", settle="0s")
    source = opened(spec)
    polls = wait_for(source, 6, max_rows=1)
    source.close()
    every = texts(polls)
    assert every == ["b1", "b2", "a1", "a2", "c1", "c2"]
    for i, polled in enumerate(polls[:-1]):
        again = opened(spec, json.loads(json.dumps(polled.position)))
        assert texts(wait_for(again, 5 - i)) == every[i + 1 :]
        wait_until(again, caught_up)
        again.close()


def test_an_old_file_moved_in_is_not_missed(tmp_path: Path) -> None:
    spec = folder(tmp_path, format="text", settle="0s")
    put(tmp_path / "new.txt", "new\n")
    source = opened(spec)
    position = wait_for(source, 1)[-1].position
    source.close()
    put(tmp_path / "old.txt", "old\n")
    os.utime(tmp_path / "old.txt", (1, 1))
    again = opened(spec, position)
    assert texts(wait_for(again, 1)) == ["old"]
    again.close()


def forgotten(polled: Any) -> bool:
    return bool(polled.position["done"] == [])


def test_files_that_left_are_forgotten(tmp_path: Path) -> None:
    spec = folder(f"{tmp_path}/*.txt", format="text", settle="0s")
    source = opened(spec)
    put(tmp_path / "a.txt", "1\n")
    wait_for(source, 1)
    polled = wait_until(source, caught_up)
    assert isinstance(polled.position, dict)
    assert polled.position["done"] == [str(tmp_path / "a.txt")]
    (tmp_path / "a.txt").unlink()
    wait_until(source, forgotten)
    source.close()


def test_tables_and_typed_formats(tmp_path: Path) -> None:
    schema = {"a": pl.Int64()}
    tables = folder(f"{tmp_path}/*.parquet", schema=schema, settle="0s")
    source = opened(tables)
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / ".x")
    (tmp_path / ".x").rename(tmp_path / "x.parquet")
    assert wait_for(source, 2)[0].frame.rows() == [(1,), (2,)]
    source.close()
    records = folder(f"{tmp_path}/*.csv", schema=schema, settle="0s")
    put(tmp_path / "x.csv", "a\n1\nq\n")
    source = opened(records)
    polls = wait_for(source, 2)
    assert polls[0].frame.rows() == [(1,)]
    assert polls[0].dead is not None
    assert polls[0].dead["position"][0] == f"{tmp_path / 'x.csv'}:3"
    source.close()


def test_a_file_that_is_taken_away_before_it_is_read_is_passed_over(tmp_path: Path) -> None:
    """It was chosen, and vanished before it was opened: here, while the run was down."""
    put(tmp_path / "b.txt", "1\n")
    source = folder(f"{tmp_path}/*.txt", format="text", settle="0s").open()
    gone = str(tmp_path / "a.txt")
    source.seek({"file": gone, "offset": 0, "line": 1, "done": []})
    assert texts(wait_for(source, 1)) == ["1"]
    source.seek({"file": gone, "offset": 10, "line": 3, "done": []})
    with pytest.raises(ConnectorError, match="cannot open") as caught:
        source.poll(10, 0)
    assert not caught.value.retry
    source.close()
