"""What was rehearsed is not refused in the end: random tables, rows and changes, none of which ends a run."""

from __future__ import annotations

import contextlib
import json
import os
import random
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from penstock.columns import WEIGHT
from penstock.connectors.contract import RefusingSink, SinkIdentity
from penstock.connectors.duckdb.config import DuckdbSinkSpec

SEED = int(os.environ.get("PENSTOCK_SEED", "1"))
TABLES = [
    "(k BIGINT UNIQUE, v BIGINT CHECK (v < 90))",
    "(k BIGINT UNIQUE, v BIGINT UNIQUE)",
    "(k BIGINT PRIMARY KEY, v BIGINT NOT NULL UNIQUE CHECK (v <> 5))",
    "(k BIGINT, v TINYINT, UNIQUE (k))",
    "(k BIGINT UNIQUE, v BIGINT REFERENCES others (id))",
]
SCHEMA = {"k": pl.Int64, "v": pl.Int64}
Rows = list[tuple[Any, ...]]


def drawn_value(rng: random.Random) -> int | None:
    return rng.choice([None, rng.randint(0, 10), rng.randint(0, 200)])


def drawn_rows(rng: random.Random) -> Rows:
    keys = (rng.choice([None, *range(8)]) for _ in range(rng.randint(1, 12)))
    return [(key, drawn_value(rng)) for key in keys]


def drawn_changes(rng: random.Random, living: dict[int, int | None]) -> Rows:
    """Draw deletions of living keys, then insertions, some of the same keys."""
    gone: Rows = []
    born: Rows = []
    for key in rng.sample(range(8), rng.randint(1, 5)):
        if key in living:
            gone.append((key, living.pop(key), -1))
        if rng.random() < 0.8:
            living[key] = drawn_value(rng)
            born.append((key, living[key], 1))
    return gone + born


def table(path: Path) -> Rows:
    with duckdb.connect(str(path)) as connection:
        return connection.execute("SELECT k, v FROM t").fetchall()


def letters(sink: RefusingSink, epoch: int) -> list[dict[str, Any]]:
    found = sink.refused(epoch)
    return [] if found is None else [json.loads(data) for data in found["bytes"]]


def course(folder: Path, rng: random.Random, *, keyed: bool) -> None:
    """Apply six epochs; each row is in the table, or a letter, or was replaced."""
    path, made = folder / "out.duckdb", rng.choice(TABLES)
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE others (id BIGINT PRIMARY KEY)")
        connection.execute("INSERT INTO others SELECT range FROM range(60)")
        connection.execute(f"CREATE TABLE t {made}")
        if rng.random() < 0.3:
            connection.execute("CREATE UNIQUE INDEX only_once ON t (v)")
    sink = DuckdbSinkSpec(str(path), "t", ("k",) if keyed else ()).open()
    assert isinstance(sink, RefusingSink)
    living: dict[int, int | None] = {}
    given, refused = 0, 0
    with contextlib.closing(sink):
        sink.begin(SinkIdentity("s", 1))
        for epoch in range(1, 7):
            if keyed:
                frames = [drawn_changes(rng, living) for _ in range(rng.randint(1, 3))]
                schema = {**SCHEMA, WEIGHT: pl.Int64}
            else:
                frames, schema = [drawn_rows(rng)], dict(SCHEMA)
            given += sum(len(rows) for rows in frames)
            sink.apply(epoch, [pl.DataFrame(rows, schema=schema, orient="row") for rows in frames])
            refused += len(letters(sink, epoch))
    found = table(path)
    if keyed:
        assert all(living.get(key, "none") == value for key, value in found)
    else:
        assert len(found) + refused == given


@pytest.mark.parametrize("keyed", [False, True])
def test_nothing_that_was_rehearsed_ends_a_run(tmp_path: Path, *, keyed: bool) -> None:
    course(tmp_path, random.Random(f"{SEED} {keyed}"), keyed=keyed)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(30))
@pytest.mark.parametrize("keyed", [False, True])
def test_of_many_courses_none_ends_a_run(number: int, tmp_path: Path, *, keyed: bool) -> None:
    course(tmp_path, random.Random(f"{SEED} {keyed} {number}"), keyed=keyed)
