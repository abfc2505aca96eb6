"""Queries in queries in queries: how often each is planned, and which columns they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock.sql_plan import queries
from tests.sql_plan.oracle import DuckDB, same_rows

LEVELS = 8
TABLE = pl.DataFrame({"a": [1, 2, 2, None], "b": [2, 1, 3, 1]})


def scalar(levels: int) -> str:
    query = f"SELECT max(t{levels}.b) FROM t t{levels} WHERE t{levels}.a = t{levels - 1}.a"
    for level in range(levels - 1, -1, -1):
        around = f"t{level}.a = t{level - 1}.a AND " if level else ""
        query = f"SELECT max(t{level}.b) FROM t t{level} WHERE {around}t{level}.b = ({query})"
    return query


def exists(levels: int) -> str:
    query = "SELECT 1"
    for level in range(levels, 0, -1):
        query = f"SELECT 1 FROM t t{level} WHERE t{level}.a = t{level - 1}.b AND EXISTS ({query})"
    return f"SELECT a, b FROM t t0 WHERE EXISTS ({query})"


def lateral(levels: int) -> str:
    query = "SELECT 1 AS c"
    for level in range(levels, 0, -1):
        query = (
            f"SELECT t{level}.b + l{level}.c AS c FROM t t{level}, LATERAL ({query}) l{level} "
            f"WHERE t{level}.a <= t{level - 1}.b AND t{level}.b < 2"
        )
    return f"SELECT t0.a, l.c FROM t t0, LATERAL ({query}) l"


@pytest.mark.parametrize("nested", [scalar, exists, lateral])
def test_planning_does_not_double_with_each_level(
    nested: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = 0
    select = queries.select

    def counted(*given: Any) -> Any:
        nonlocal planned
        planned += 1
        return select(*given)

    monkeypatch.setattr(queries, "select", counted)
    ps.sql(nested(LEVELS), t=TABLE)
    assert LEVELS < planned <= (LEVELS + 2) * (LEVELS + 3) // 2


@pytest.mark.parametrize("nested", [scalar, exists, lateral])
def test_nested_queries_name_the_right_columns(nested: Callable[[int], str]) -> None:
    query = nested(3)
    assert same_rows(ps.sql(query, t=TABLE).collect().rows(), DuckDB({"t": TABLE}).answer(query))


def test_the_same_query_twice_means_what_stands_around_each() -> None:
    query = """
        SELECT (SELECT max(u.b) FROM t u WHERE u.a = t.a) AS one,
               (SELECT sum(x) FROM (SELECT (SELECT max(u.b) FROM t u WHERE u.a = t.a) AS x
                                    FROM t WHERE b > 1) s) AS two
        FROM t
    """
    assert same_rows(ps.sql(query, t=TABLE).collect().rows(), DuckDB({"t": TABLE}).answer(query))
