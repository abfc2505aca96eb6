"""Queries over streams give what DuckDB gives, and keep giving it while their tables change."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.errors import PlanError
from penstock.operators.deltas import consolidate, repeat_rows, weighted
from penstock.sql_session.maintenance import Maintained
from penstock.sql_session.relations import Column, Table, reading
from penstock.stream import Stream
from penstock.testing.deltas import Integral
from tests.sql_plan.oracle import DuckDB, same_rows

QUERIES = (Path(__file__).parent / "queries.sql").read_text().splitlines()
A = pl.DataFrame(
    {"k": [1, 1, 2, 3, None], "v": [10, 20, None, 5, 7], "s": ["x", "y", "x", None, "z"]}
)
B = pl.DataFrame({"k": [1, 2, 2, 4], "w": [1.5, 2.5, 3.5, 4.5]})


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_answers_as_duckdb(query: str) -> None:
    found = ps.sql(query, a=A, b=B).collect().rows()
    wanted = DuckDB({"a": A, "b": B}).answer(query)
    assert same_rows(found, wanted), f"\nfound  {found}\nwanted {wanted}"


ROWS_A = st.tuples(
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, 5, 7, 10, 20]),
    st.sampled_from([None, "x", "y", "z"]),
)
ROWS_B = st.tuples(st.sampled_from([None, 1, 2, 4]), st.sampled_from([None, 1.5, 2.5, 3.5]))


def changing(name: str, like: pl.DataFrame) -> Stream:
    """A table of which rows come and go."""
    return reading(Table(name, tuple(Column(c, dtype) for c, dtype in like.schema.items())))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, pl.DataFrame]]:
    """Epochs of insertions, and of deletions of rows that are there."""
    present: dict[str, list[tuple[object, ...]]] = {"a": [], "b": []}
    epochs = []
    for _ in range(draw(st.integers(1, 4))):
        deltas = {}
        for name, like, rows in (("a", A, ROWS_A), ("b", B, ROWS_B)):
            there = present[name]
            gone = [there.pop(draw(st.integers(0, len(there) - 1)))
                    for _ in range(draw(st.integers(0, min(3, len(there)))))]  # fmt: skip
            added = draw(st.lists(rows, max_size=5))
            there += added
            frames = [weighted(pl.DataFrame(r, schema=like.schema, orient="row"), w)
                      for r, w in ((gone, -1), (added, 1))]  # fmt: skip
            deltas[name] = consolidate(pl.concat(frames))
        epochs.append(deltas)
    return epochs


@settings(max_examples=settings().max_examples // 2)
@given(st.data())
def test_a_query_is_kept_up_to_date(data: st.DataObject) -> None:
    query = data.draw(st.sampled_from(QUERIES))
    epochs = data.draw(histories())
    stream = ps.sql(query, a=changing("a", A), b=changing("b", B))
    tables = {"a": weighted(A.clear(), 1), "b": weighted(B.clear(), 1)}
    integral = Integral(stream)
    maintained = Maintained(stream)
    for deltas in epochs:
        integral.add(maintained.step(deltas))
        tables = {n: consolidate(pl.concat([tables[n], deltas[n]])) for n in tables}
        now = {name: repeat_rows(frame) for name, frame in tables.items()}
        found = repeat_rows(integral.table).rows()
        wanted = DuckDB(now).answer(query)
        assert same_rows(found, wanted), f"{query}\n{now}\nfound  {found}\nwanted {wanted}"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT kk FROM a", "no column 'kk' at line 1, column 8"),
        ("SELECT k FROM c", "no table 'c' at line 1, column 15"),
        ("SELECT k FROM a, b", "column 'k' at line 1, column 8 is ambiguous"),
        ("SELECT k, v FROM a GROUP BY k", "neither in GROUP BY nor inside an aggregate"),
        ("SELECT foo(k) FROM a", "no function 'foo'"),
        ("SELECT k FROM a WHERE v", "must be boolean"),
        ("SELECT k + s FROM a", "no such operator"),
        ("SELECT (SELECT v FROM a) FROM b", "at most one row"),
        ("SELECT k FROM a UNION SELECT k, w FROM b", "1 columns beside 2"),
        ("SELECT k FROM a TABLESAMPLE BERNOULLI (10)", "not supported"),
        ("SELECT k FROM a FOR UPDATE", "not supported"),
        ("SELEC k FROM a", "not"),
        ("SELECT k FROM a; SELECT v FROM a", "one query is needed"),
        ("WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t", "RECURSIVE is not supported"),
        ("SELECT k FROM a WHERE k IN (SELECT k, w FROM b)", "1 values beside 2 columns"),
        ("SELECT 'x'::integer", "wrong types"),
        ("SELECT k FROM a ORDER BY 3", "position 3 is not in the select list"),
        ("SELECT k FROM a LIMIT k", "must be a constant"),
        ("SELECT sum(sum(v)) FROM a", "SUM cannot stand here"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(query: str, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        ps.sql(query, a=A, b=B)
    assert says in str(caught.value)
