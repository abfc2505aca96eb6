"""A bound of WHERE on a rank keeps the best rows only, where that is the same."""

from __future__ import annotations

import polars as pl
import pytest

import penstock as ps
from penstock.operators.deltas import repeat_rows, weighted
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Column, Table, reading
from penstock.testing.deltas import Integral
from tests.sql_plan.oracle import DuckDB, same_rows

T = pl.DataFrame(
    {
        "k": [1, 1, 1, 1, 2, 2, None, None],
        "v": [5, 3, None, 9, 4, 7, 1, 2],
        "w": [1.5, 2.5, 3.5, 0.5, 1.0, 2.0, 8.0, 9.0],
    }
)
U = pl.DataFrame({"k": [1, 2, 3], "name": ["one", "two", "three"]})
RANKED = "(SELECT *, {} OVER (PARTITION BY k ORDER BY v DESC NULLS LAST) AS rn FROM t) AS r"
NUMBERED = RANKED.format("ROW_NUMBER()")


def plan(query: str) -> str:
    return ps.sql(query, t=T, u=U).explain()


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("rn <= 2", 2),
        ("r.rn < 3", 2),
        ("rn = 2", 2),
        ("3 >= rn", 3),
        ("3 > rn", 2),
        ("1 = rn", 1),
        ("rn BETWEEN 2 AND 3", 3),
        ("rn <= 3 AND rn <= 2", 2),
        ("rn <= 2 AND w > 1", 2),
    ],
)
def test_a_bound_keeps_that_many_rows(condition: str, kept: int) -> None:
    query = f"SELECT k, v, rn FROM {NUMBERED} WHERE {condition}"
    assert f"TopK {kept} " in plan(query)
    found = ps.sql(query, t=T).collect().rows()
    assert same_rows(found, DuckDB({"t": T}).answer(query))


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT u.name, r.v FROM u JOIN {NUMBERED} ON u.k = r.k WHERE r.rn <= 1",
        f"SELECT u.name, r.v FROM u LEFT JOIN {NUMBERED} ON u.k = r.k WHERE r.rn <= 1",
        "SELECT k % 2, v FROM (SELECT *, row_number() OVER (PARTITION BY k % 2 ORDER BY v + w) rn "
        "FROM t WHERE v IS NOT NULL) r WHERE rn <= 2",
        "SELECT k, s FROM (SELECT k, sum(v) AS s, row_number() OVER (ORDER BY sum(v) DESC NULLS LAST) rn "
        "FROM t GROUP BY k) r WHERE rn <= 2",
    ],
)
def test_what_is_around_does_not_matter(query: str) -> None:
    assert "TopK" in plan(query)
    found = ps.sql(query, t=T, u=U).collect().rows()
    assert same_rows(found, DuckDB({"t": T, "u": U}).answer(query))


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT * FROM {NUMBERED} WHERE rn > 2",
        f"SELECT * FROM {NUMBERED} WHERE rn <= 0",
        f"SELECT * FROM {NUMBERED} WHERE rn <= 2 OR w > 2",
        f"SELECT * FROM {NUMBERED} WHERE rn <= v",
        f"SELECT * FROM {NUMBERED} WHERE w <= 2",
        f"SELECT * FROM {RANKED.format('RANK()')} WHERE rn <= 2",
        f"SELECT * FROM {RANKED.format('DENSE_RANK()')} WHERE rn <= 2",
        "SELECT * FROM (SELECT k, row_number() OVER (ORDER BY w) rn, sum(v) OVER (PARTITION BY k) s "
        "FROM t) r WHERE rn <= 2",
        "SELECT * FROM (SELECT DISTINCT k, row_number() OVER (ORDER BY w) rn FROM t) r WHERE rn <= 2",
        "SELECT * FROM (SELECT k, row_number() OVER (ORDER BY w) AS rn FROM t LIMIT 3) r WHERE rn <= 2",
    ],
)
def test_otherwise_all_rows_are_ranked(query: str) -> None:
    assert "Over" in plan(query)


def test_a_rank_without_ties_is_a_number() -> None:
    query = (
        "SELECT k, s FROM (SELECT k, sum(v) AS s, rank() OVER (PARTITION BY k % 2 ORDER BY k) AS rn "
        "FROM t GROUP BY k) r WHERE rn <= 1"
    )
    assert "TopK 1 " in plan(query)
    assert same_rows(ps.sql(query, t=T).collect().rows(), DuckDB({"t": T}).answer(query))


def test_best_rows_move_up_when_better_ones_go() -> None:
    query = f"SELECT k, v, rn FROM {NUMBERED} WHERE rn <= 2"
    table = Table("t", tuple(Column(c, dtype) for c, dtype in T.schema.items()))
    stream = ps.sql(query, t=reading(table))
    maintained, integral, now = Maintained(stream), Integral(stream), T
    integral.add(maintained.step({"t": weighted(T, 1)}))
    while now.height:
        integral.add(maintained.step({"t": weighted(now.sort("w").tail(1), -1)}))
        now = now.sort("w").head(now.height - 1)
        wanted = DuckDB({"t": now}).answer(query)
        assert same_rows(repeat_rows(integral.table).rows(), wanted)
