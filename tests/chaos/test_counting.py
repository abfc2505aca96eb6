"""What the count would say of a sink that has lost or doubled a row."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl
import pytest

from penstock.query import Query
from penstock.topics import Topic
from tests.chaos.counting import CHECKS, Missed
from tests.chaos.load import LogWriter, TopicWriter, Writer, write_dimensions
from tests.chaos.pipelines import PIPELINES

ROWS = 4000


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the lanes that need no server, undisturbed."""
    root = tmp_path_factory.mktemp("lanes")
    for name in ("log", "joined", "running"):
        folder = root / name
        folder.mkdir()
        writer: Writer
        if name == "running":
            writer = TopicWriter(folder / "in", "1", 0)
        else:
            writer = LogWriter(folder / "in.ndjson", "1", 0)
        if name == "joined":
            write_dimensions(folder / "cities")
        writer.write(ROWS)
        queries = PIPELINES[name](folder, "")
        query = Query(*(root for each in queries for root in each.roots))
        query.start(checkpoint=folder / "checkpoint", checkpoint_interval=0)
        assert query.drain(60)
        if isinstance(writer, TopicWriter):
            writer.close()
    return root


@pytest.fixture
def lanes(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "lanes"))


def missed(lanes: Path, name: str) -> dict[str, tuple[int, int]]:
    found: list[Missed] = CHECKS[name](lanes / name, "", ROWS)
    return {each.sink: (each.lost, each.doubled) for each in found}


def change(folder: Path, statement: str) -> None:
    if (folder / "out.duckdb").exists():
        with duckdb.connect(str(folder / "out.duckdb")) as connection:
            connection.execute(statement)
    else:
        with closing(sqlite3.connect(folder / "out.db", isolation_level=None)) as connection:
            connection.execute(statement)


def append_again(path: Path) -> None:
    """Append a row that is there already."""
    with Topic.open(path) as topic:
        partition = next(number for number, end in topic.end_offsets().items() if end)
        first = topic.read(partition, 0, max_rows=1).frame
        assert topic.schema is not None
        topic.append(first.select(topic.schema.names()))


def drop_file(folder: Path, pattern: str) -> int:
    path = sorted(folder.glob(pattern))[0]
    rows = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_ndjson(path)
    path.unlink()
    return rows.height


@pytest.mark.parametrize("name", ["log", "joined", "running"])
def test_an_undisturbed_run_has_lost_and_doubled_nothing(name: str, lanes: Path) -> None:
    assert set(missed(lanes, name).values()) == {(0, 0)}


CHANGES = {
    ("log", "sqlite"): ("UPDATE counts SET n = n + 1 WHERE key = 'k7'", (1, 1)),
    ("log", "topic"): (None, (0, 1)),
    ("joined", "ids"): ("DELETE FROM ids WHERE id = 7", (1, 0)),
    ("joined", "cities"): ("DELETE FROM cities", (17, 0)),
    ("running", "sqlite"): ("INSERT INTO sums SELECT * FROM sums", (0, ROWS)),
    ("running", "topic"): (None, (0, 1)),
}


@pytest.mark.parametrize(("name", "sink"), CHANGES)
def test_a_spoiled_sink_is_seen(name: str, sink: str, lanes: Path) -> None:
    statement, said = CHANGES[name, sink]
    if statement is None:
        append_again(lanes / name / "out")
    else:
        change(lanes / name, statement)
    found = missed(lanes, name)
    assert found.pop(sink) == said
    assert set(found.values()) == {(0, 0)}


@pytest.mark.parametrize(("name", "pattern"), [("log", "*.ndjson"), ("running", "part=1/*")])
def test_a_lost_file_is_seen(name: str, pattern: str, lanes: Path) -> None:
    rows = drop_file(lanes / name / "files", pattern)
    assert rows
    assert missed(lanes, name)["files"] == (rows, 0)
