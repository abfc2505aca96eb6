"""Values beside a statement: never read as SQL, of the type they have in Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.errors import PlanError


@pytest.fixture(scope="module")
def session() -> Iterator[ps.Session]:
    with ps.Session() as opened:
        yield opened


VALUES: list[tuple[str, Any]] = [
    ("INT", -5),
    ("BIGINT", -(2**63) + 1),
    ("TEXT", "x'; DROP TABLE t; --"),
    ("TEXT", "$1 ? :a %(b)s {c} \\"),
    ("DOUBLE PRECISION", float("inf")),
    ("NUMERIC(10, 3)", Decimal("-1.250")),
    ("TIMESTAMP", dt.datetime(2024, 1, 2, 3, 4, 5, 6)),
    ("DATE", dt.date(2024, 2, 29)),
    ("TIME", dt.time(1, 2, 3, 4)),
    ("INTERVAL", dt.timedelta(days=1, microseconds=-3)),
    ("BYTEA", b"\x00\xff'"),
    ("INT[]", [1, -2, None]),
    ("BOOLEAN", True),
    ("INT", None),
]


@pytest.mark.parametrize(("kind", "value"), VALUES)
def test_a_value_arrives_as_it_is(kind: str, value: Any) -> None:
    with ps.Session() as session:
        session.sql(f"CREATE TABLE t (a {kind})")
        session.sql("INSERT INTO t VALUES ($1)", [value])
        assert session.table("t").rows() == [(value,)]


def test_an_instant_keeps_its_moment(session: ps.Session) -> None:
    instant = dt.datetime(2024, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    found = session.sql("SELECT ? = TIMESTAMPTZ '2024-01-01 00:00:00' AS same", [instant])
    assert found is not None
    assert found.item() is True


@given(st.text())
def test_no_text_is_read_as_sql(session: ps.Session, text: str) -> None:
    found = session.sql("SELECT :a || '' AS said, :a = $$'$$ AS quote", {"a": text})
    assert found is not None
    assert found.row(0) == (text, text == "'")


@pytest.mark.parametrize(
    ("query", "values", "found"),
    [
        ("SELECT $2 AS a, $1 AS b, $2 AS c", [1, "x"], ("x", 1, "x")),
        ("SELECT ? AS a, '?' AS b, ? AS c -- ?", [1, 2], (1, "?", 2)),
        ("SELECT %(a)s AS x, :b AS y", {"a": 1, "b": "z"}, (1, "z")),
        ("SELECT 1 AS one WHERE 3 = ANY(?) LIMIT ?", [[1, 3], 1], (1,)),
        (
            "SELECT ?::jsonb ? ? AS a, j ? 'b' AS b FROM (SELECT $${\"b\": 1}$$::jsonb AS j) x",
            ['{"a": 1}', "a"],
            (True, True),
        ),
        ("SELECT TIMESTAMP '2024-01-01' AT TIME ZONE ? IS NULL AS a", ["UTC"], (False,)),
        ("SELECT ?::int + 1 AS a, ?||?||'-' AS b", ["5", "x", "y"], (6, "xy-")),
        ("SELECT 'costs $1,$2' AS a, $1 AS b", [1], ("costs $1,$2", 1)),
    ],
)
def test_every_way_to_write_them(
    session: ps.Session, query: str, values: Any, found: tuple[Any, ...]
) -> None:
    result = session.sql(query, values)
    assert result is not None
    assert result.row(0) == found


@pytest.mark.parametrize(
    ("query", "values", "says"),
    [
        ("SELECT $1", None, "a parameter has no value at line 1, column 8"),
        ("SELECT $2", [1], "'2' has no value: there are 1"),
        ("SELECT :a", {"b": 1}, "'a' has no value"),
        ("SELECT $1", [object()], "is a object"),
        ("CREATE VIEW v AS SELECT $1 AS a", [1], "a definition is kept as its text"),
    ],
)
def test_what_cannot_be_is_refused(session: ps.Session, query: str, values: Any, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        session.sql(query, values)
    assert says in str(caught.value)


def test_statements_share_the_values_of_a_text(session: ps.Session) -> None:
    with ps.Session() as own:
        own.sql("CREATE TABLE t (a INT)")
        own.sql("INSERT INTO t VALUES (?); INSERT INTO t VALUES (?)", [1, 2])
        assert own.stream("SELECT a FROM t WHERE a > $1", [1]).collect().rows() == [(2,)]


def test_a_table_in_braces() -> None:
    bids = ps.Session()
    with bids:
        bids.sql("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
        stream = bids.stream("SELECT a FROM t")
    found = ps.sql(
        "SELECT max(x.a) AS a FROM {given} AS x JOIN {given} AS y USING (a)", given=stream
    )
    assert found.collect().rows() == [(2,)]


def test_explain_takes_values(session: ps.Session) -> None:
    session.sql("CREATE TABLE IF NOT EXISTS known (a INT)")
    plan = session.sql("EXPLAIN SELECT a FROM known WHERE a = ?", [41])
    assert plan is not None
    assert "(41)" in "\n".join(plan["plan"])
    with pytest.raises(PlanError, match="a parameter has no value at line 1, column 39"):
        session.sql("EXPLAIN SELECT a FROM known WHERE a = ?")
