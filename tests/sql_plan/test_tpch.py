"""The 22 TPC-H queries, kept up to date while rows come, go and change, equal to DuckDB's answers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.operators.deltas import consolidate, repeat_rows, weighted
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Column, Table, reading
from penstock.testing.deltas import Integral
from tests.sql_plan.oracle import DuckDB, same_rows

QUERIES = sorted((Path(__file__).parent / "tpch").glob("q*.sql"))
NAMES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
SEED = int(os.environ.get("PENSTOCK_TEST_SEED", "1"))
EPOCHS = 5

Tables = dict[str, pl.DataFrame]


def generated(folder: Path, scale: str) -> Tables:
    """Return the tables that the TPC-H generator makes."""
    command = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run(
        [command, "parquet", "--scale-factor", scale, "--output-dir", folder],
        check=True,
        capture_output=True,
        timeout=300,
    )
    return {name: pl.read_parquet(folder / f"{name}.parquet") for name in NAMES}


def history(tables: Tables, seed: int) -> Iterator[tuple[Tables, Tables]]:
    """Yield the deltas of each epoch and what the tables hold after it; in the end everything.

    Rows come in random order; some go again, and come back in this epoch or a later one.
    """
    chance = random.Random(seed)
    shuffle = {"fraction": 1.0, "shuffle": True}
    waiting = {n: f.sample(**shuffle, seed=seed) for n, f in tables.items()}
    present = {n: f.clear() for n, f in tables.items()}
    for epoch in range(EPOCHS):
        deltas = {}
        for name in NAMES:
            rest, there = waiting[name], present[name].sample(**shuffle, seed=seed + epoch)
            share = 1.0 if epoch >= EPOCHS - 2 else chance.random()
            added, rest = rest.head(int(rest.height * share)), rest.slice(int(rest.height * share))
            last = epoch == EPOCHS - 1
            gone = there.head(0 if last else int(there.height * chance.random() * 0.1))
            back = gone.head(gone.height // 2)
            waiting[name] = pl.concat([rest, gone.slice(back.height)])
            delta = [weighted(gone, -1), weighted(added, 1), weighted(back, 1)]
            deltas[name] = consolidate(pl.concat(delta))
            present[name] = pl.concat([there.slice(gone.height), added, back])
        yield deltas, dict(present)


def check(query: str, tables: Tables, seed: int) -> None:
    streams = {
        name: reading(Table(name, tuple(Column(c, t) for c, t in frame.schema.items())))
        for name, frame in tables.items()
    }
    stream = ps.sql(query, **streams)
    maintained, integral = Maintained(stream), Integral(stream)
    for number, (deltas, now) in enumerate(history(tables, seed)):
        integral.add(maintained.step(deltas))
        found = repeat_rows(integral.table).rows()
        wanted = DuckDB(now).answer(query)
        assert same_rows(found, wanted), f"epoch {number}, seed {seed}: {found[:3]}, {wanted[:3]}"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return generated(tmp_path_factory.mktemp("tpch"), "0.01")


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_a_query_is_kept_up_to_date(path: Path, small: Tables) -> None:
    check(path.read_text(), small, SEED)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return generated(tmp_path_factory.mktemp("tpch-large"), "0.1")


@pytest.mark.nightly
@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_ten_times_as_many_rows(path: Path, large: Tables) -> None:
    check(path.read_text(), large, SEED)
