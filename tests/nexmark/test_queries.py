"""The 23 queries of Nexmark, kept up to date, after every epoch equal to DuckDB's answers."""

from __future__ import annotations

import os
import random
from pathlib import Path

import polars as pl
import pytest
from benchmarks.nexmark import batch
from benchmarks.nexmark.generator import Nexmark

import penstock as ps
from penstock.operators.deltas import repeat_rows
from penstock.sql_plan.types import sql_type
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Column, Table, reading
from penstock.testing.deltas import Integral
from tests.sql_plan.oracle import DuckDB, same_rows

SEED = int(os.environ.get("PENSTOCK_TEST_SEED", "1"))
SECOND = 1_000_000_000
EVENTS, EPOCHS = 1_500, 6
SIDE = pl.DataFrame({"key": range(10_000), "value": [str(n) for n in range(10_000)]})
CHANGING = [name for name in batch.NAMES if name != "q12"]
"""Processing time is that of rows that stay."""

Tables = dict[str, pl.DataFrame]


def events(group: int = 1) -> Tables:
    """Thirty seconds, no two bids at one instant and none of the same price on one auction."""
    made = Nexmark(seed=SEED, rate=50, group=group).events(0, EVENTS)
    bids = made["bid"].unique(["auction", "price"], keep="first", maintain_order=True)
    assert bids["dateTime"].is_unique().all()
    return {**made, "bid": bids}


def append_only(name: str, like: pl.DataFrame) -> ps.Stream:
    columns = tuple(Column(c, dtype) for c, dtype in like.schema.items())
    return reading(Table(name, columns, (), True, ("dateTime", SECOND)))


def cut(tables: Tables, seed: int) -> list[Tables]:
    """Divide the rows of each table, in order, into epochs of random lengths, some of them empty."""
    chance = random.Random(seed)
    ends = {
        name: [0, *sorted(chance.choices(range(frame.height + 1), k=EPOCHS - 1)), frame.height]
        for name, frame in tables.items()
    }
    return [{n: f[ends[n][i] : ends[n][i + 1]] for n, f in tables.items()} for i in range(EPOCHS)]


def timed(frame: pl.DataFrame, now: int) -> pl.DataFrame:
    return frame.with_columns(p_time=pl.lit(now // 1000, pl.Int64).cast(pl.Datetime("us", "UTC")))


def check(found: pl.DataFrame, tables: Tables, name: str, where: str) -> None:
    if name != "q12":  # whose oracle alone reads the time of processing
        tables = {table: frame.drop("p_time", strict=False) for table, frame in tables.items()}
    rows, wanted = found.rows(), DuckDB({**tables, "side_input": SIDE}).answer(batch.duckdb(name))
    assert same_rows(rows, wanted), f"{name}, {where}, seed {SEED}: {rows[:3]}, {wanted[:3]}"


@pytest.mark.parametrize("name", batch.NAMES)
def test_rows_that_only_come(name: str) -> None:
    tables = events(group=20)
    streams = {table: append_only(table, frame) for table, frame in tables.items()}
    stream = ps.sql(batch.streaming(name), **streams, side_input=SIDE)
    maintained, integral = Maintained(stream), Integral(stream)
    now = {table: timed(frame.clear(), 0) for table, frame in tables.items()}
    for number, deltas in enumerate(cut(tables, SEED)):
        clock = (1_767_225_600 + 7 * number) * SECOND
        given = {table: delta for table, delta in deltas.items() if delta.height}
        integral.add(maintained.step(given, now=clock))
        now = {t: pl.concat([now[t], timed(deltas[t], clock)]) for t in tables}
        check(repeat_rows(integral.table), now, name, f"epoch {number}")


@pytest.mark.parametrize("name", batch.WINDOWED)
def test_windows_that_leave_once(name: str) -> None:
    tables = events(group=20)
    streams = {table: append_only(table, frame) for table, frame in tables.items()}
    stream = ps.sql(batch.streaming(name) + " EMIT ON WINDOW CLOSE", **streams)
    assert not stream.is_changelog
    maintained, found, now = Maintained(stream), [], []
    for number, deltas in enumerate(cut(tables, SEED)):
        clock = (1_767_225_600 + 7 * number) * SECOND
        found.append(maintained.step({t: d for t, d in deltas.items() if d.height}, now=clock))
        now.append(timed(deltas["bid"], clock))
    found.append(maintained.step({}, ended=True, now=clock))
    rows = pl.concat([frame for frame in found if frame is not None])
    check(rows, {**tables, "bid": pl.concat(now)}, name, "at the end")


@pytest.mark.parametrize("name", CHANGING)
def test_a_materialized_view_under_changes(name: str, tmp_path: Path) -> None:
    chance, tables = random.Random(SEED), events()
    with ps.Session() as session:
        for table, frame in {**tables, "side_input": SIDE}.items():
            listed = ", ".join(f"{c} {sql_type(t)}" for c, t in frame.schema.items())
            session.sql(f"CREATE TABLE {table} ({listed})")
        SIDE.write_parquet(tmp_path / "side.parquet")
        session.sql(f"INSERT INTO side_input SELECT * FROM '{tmp_path / 'side.parquet'}'")
        made, _, query = batch.streaming(name).rpartition(";")
        session.sql(f"{made}; CREATE MATERIALIZED VIEW answer AS {query}")
        waiting = {t: f.sample(fraction=1.0, shuffle=True, seed=SEED) for t, f in tables.items()}
        for number in range(12):
            table = chance.choice(["person", "auction", "bid", "bid"])
            kind = chance.choice(["insert", "insert", "delete", "update"])
            if kind == "insert":
                rest = waiting[table]
                count = chance.randint(1, max(1, rest.height * 3 // 4))
                path = tmp_path / f"{number}.parquet"
                rest.head(count).write_parquet(path)
                waiting[table] = rest.slice(count)
                session.sql(f"INSERT INTO {table} SELECT * FROM '{path}'")
            elif kind == "delete":
                session.sql(f"DELETE FROM {table} WHERE {some(table, chance)}")
            else:
                session.sql(f"UPDATE {table} SET {CHANGES[table]} WHERE {some(table, chance)}")
            check(session.table("answer"), {t: session.table(t) for t in tables}, name,
                  f"{kind} {number}")  # fmt: skip


CHANGES = {
    "person": "state = 'OR', dateTime = dateTime + INTERVAL '3' SECOND",
    "auction": "category = 10, expires = expires + INTERVAL '5' SECOND",
    "bid": "price = price * 3, dateTime = dateTime + INTERVAL '1' MILLISECOND",
}


def some(table: str, chance: random.Random) -> str:
    column = {"person": "id", "auction": "id", "bid": "bidder"}[table]
    return f"MOD({column}, 7) = {chance.randrange(7)}"


def spelled_as_flink(query: str) -> str:
    """``TUMBLE(bid, dateTime, ...)`` -> ``TABLE(TUMBLE(TABLE bid, DESCRIPTOR(dateTime), ...))``."""
    for table in ("bid", "bid PARTITION BY bidder", "person", "auction"):
        query = query.replace(f"({table}, dateTime,", f"(TABLE {table}, DESCRIPTOR(dateTime),")
    for kind in ("TUMBLE", "HOP", "SESSION"):
        query = query.replace(f"FROM {kind}(", f"FROM TABLE({kind}(")
    return query.replace("SECOND)", "SECOND))")


@pytest.mark.parametrize("name", ["q5", "q7", "q8", "q11"])
def test_both_spellings_are_one_plan(name: str) -> None:
    streams = {table: append_only(table, frame) for table, frame in events().items()}
    query = batch.streaming(name)
    other = spelled_as_flink(query)
    assert other.count("DESCRIPTOR") == other.count("TABLE(") > 0
    one, two = (ps.sql(text, **streams).explain() for text in (query, other))
    assert one == two


@pytest.mark.parametrize("name", ["q9", "q18", "q19"])
def test_the_best_rows_are_kept_not_all(name: str) -> None:
    streams = {table: append_only(table, frame) for table, frame in events().items()}
    plan = ps.sql(batch.streaming(name), **streams).explain()
    assert "TopK" in plan
    assert "Over" not in plan
