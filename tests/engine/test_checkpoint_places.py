"""Pipelines whose checkpoints lie on every kind of storage: stopped, gone on with, taken over."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.checkpoints.opening import open_storage
from penstock.errors import FencedError, QueryFailed
from penstock.query import Query
from tests.checkpoints.conftest import KINDS, azurite, s3
from tests.servers.objects import ObjectServer

__all__ = ["azurite", "s3"]  # fixtures

LIMIT = 60.0
SCHEMA = {"id": pl.Int64(), "key": pl.String()}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Mapping[str, str]]:
    if request.param == "local":
        return str(tmp_path / "checkpoint"), {}
    if request.param == "memory":
        return f"memory://{tmp_path}", {}
    server: ObjectServer = request.getfixturevalue(request.param)
    return server.new_url(), server.options


def append(path: Path, begin: int, end: int, *, bad: str = "") -> None:
    with path.open("a") as file:
        file.writelines(f'{{"id": {n}, "key": "k{n % 5}"}}\n' for n in range(begin, end))
        file.write(bad)


def pipeline(folder: Path) -> Query:
    rows = ps.scan_tail(folder / "in.ndjson", "json", schema=SCHEMA, start="beginning")
    counts = rows.group_by("key").agg(n=pl.len().cast(pl.Int64))
    return Query(
        *counts.sink_sqlite(folder / "counts.db", "counts", key="key").roots,
        *rows.sink_topic(folder / "topic").roots,
    )


def counts(folder: Path) -> dict[str, int]:
    with closing(sqlite3.connect(folder / "counts.db")) as connection:
        return dict(connection.execute("select key, n from counts").fetchall())


def copied(folder: Path) -> list[int]:
    rows = ps.scan_topic(folder / "topic", stop="at end").collect()
    return sorted(rows["id"].to_list())


def wait_for_rows(query: Query, folder: Path, rows: int) -> None:
    deadline = time.monotonic() + LIMIT
    while query.progress().state == "created" or len(copied(folder)) < rows:
        assert time.monotonic() < deadline
        assert not query.wait(0.02)


def test_a_pipeline_goes_on_from_any_storage(
    place: tuple[str, Mapping[str, str]], tmp_path: Path
) -> None:
    url, options = place
    for part in range(3):
        append(tmp_path / "in.ndjson", part * 500, part * 500 + 500)
        query = pipeline(tmp_path).start(
            checkpoint=url, checkpoint_options=options, checkpoint_interval="20ms"
        )
        rows = part * 500 + 500
        wait_for_rows(query, tmp_path, rows)
        query.stop()
        assert counts(tmp_path) == {f"k{k}": rows // 5 for k in range(5)}
        assert copied(tmp_path) == list(range(rows))
        assert query.progress().checkpoint_epoch == query.progress().epoch


def test_dead_letters_are_kept_on_any_storage(
    place: tuple[str, Mapping[str, str]], tmp_path: Path
) -> None:
    url, options = place
    append(tmp_path / "in.ndjson", 0, 100, bad="not json\n")
    query = pipeline(tmp_path).start(checkpoint=url, checkpoint_options=options)
    wait_for_rows(query, tmp_path, 100)
    query.stop()
    storage = open_storage(url, options)
    if storage.folder is not None:
        kept = ps.scan_topic(storage.folder / "dead-letters", stop="at end").collect()
    else:
        files = storage.list("dead-letters/")
        kept = pl.concat([pl.read_ipc(io.BytesIO(storage.read(path))) for path in files])
    assert kept["bytes"].to_list() == [b"not json"]


@pytest.mark.parametrize("kind", ["s3", "azurite"])
def test_secrets_are_in_no_file_of_a_checkpoint(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: ObjectServer = request.getfixturevalue(kind)
    url = server.new_url()
    append(tmp_path / "in.ndjson", 0, 100)
    query = pipeline(tmp_path).start(checkpoint=url, checkpoint_options=server.options)
    wait_for_rows(query, tmp_path, 100)
    query.stop()
    storage = open_storage(url, server.options)
    assert storage.list("")
    for path in storage.list(""):
        assert server.secret.encode() not in storage.read(path)


def test_a_run_that_is_taken_over_stops_and_writes_nothing_more(
    place: tuple[str, Mapping[str, str]], tmp_path: Path
) -> None:
    url, options = place
    append(tmp_path / "in.ndjson", 0, 100)

    def started() -> Query:
        return pipeline(tmp_path).start(
            checkpoint=url, checkpoint_options=options, checkpoint_interval="20ms", takeover=True
        )

    first = started()
    wait_for_rows(first, tmp_path, 100)
    second = started()
    while second.progress().state == "created":
        assert not second.wait(0.01)
    append(tmp_path / "in.ndjson", 100, 200)
    with pytest.raises(QueryFailed) as caught:
        first.wait(LIMIT)
    assert isinstance(caught.value.__cause__, FencedError)
    wait_for_rows(second, tmp_path, 200)
    second.stop()
    assert copied(tmp_path) == list(range(200))
