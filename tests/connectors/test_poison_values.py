"""Values that a database refuses: dead letters of their epoch, and all other rows are written."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

from penstock.columns import WEIGHT
from penstock.connectors.contract import RefusingSink, ReplacingSink, SinkIdentity, SinkSpec
from penstock.connectors.duckdb.config import DuckdbSinkSpec
from penstock.connectors.duckdb.sink import DuckdbSink
from penstock.connectors.poison import LETTERS_TABLE
from penstock.connectors.postgres.config import PostgresSinkSpec
from penstock.errors import ConnectorError
from penstock.letter_rows import unpacked
from tests.connectors.databases import Database

FIRST = SinkIdentity("counts", 1)
SECOND = SinkIdentity("counts", 2)
STRICT = "CREATE TABLE t (k BIGINT UNIQUE, v TEXT NOT NULL CHECK (length(v) < 4))"
LOOSE = "CREATE TABLE t (k BIGINT, v TEXT NOT NULL CHECK (length(v) < 4), UNIQUE (v))"


def made(database: Database, statement: str) -> None:
    if database.kind == "duckdb":
        database.open.execute(statement)  # type: ignore[attr-defined]
    else:
        database.query(statement)


def rows(*pairs: tuple[int | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"k": pl.Int64, "v": pl.String}, orient="row")


def changes(*triples: tuple[int | None, str | None, int]) -> pl.DataFrame:
    schema = {"k": pl.Int64, "v": pl.String, WEIGHT: pl.Int64}
    return pl.DataFrame(triples, schema=schema, orient="row")


def begun(spec: SinkSpec, identity: SinkIdentity | None = FIRST) -> RefusingSink:
    sink = spec.open()
    assert isinstance(sink, RefusingSink)
    sink.begin(identity)
    return sink


def table(database: Database) -> list[tuple[Any, ...]]:
    return sorted(database.query("SELECT k, v FROM t"), key=repr)


def values(letters: pl.DataFrame | None) -> list[str]:
    assert letters is not None
    assert all(step.endswith(":t") for step in letters["step"])
    return [data.decode() for data in letters["bytes"]]


def test_rows_that_break_a_constraint_are_letters_and_the_others_are_written(
    database: Database,
) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"))])
    assert sink.refused(0) is None
    sink.apply(1, [rows((2, "b"), (1, "c"), (3, None)), rows((4, "long"), (5, "e"), (5, "f"))])
    letters = sink.refused(1)
    sink.close()
    assert table(database) == [(1, "a"), (2, "b"), (5, "e")]
    shown = ['{"k":1,"v":"c"}', '{"k":3,"v":null}', '{"k":4,"v":"long"}', '{"k":5,"v":"f"}']
    assert values(letters) == shown
    assert letters is not None
    said = {"duckdb": "DuckDB", "sqlite": "SQLite", "postgres": "PostgreSQL"}[database.kind]
    reasons = letters["reason"].to_list()
    assert all(reason.startswith(said) for reason in reasons)
    assert re.search("(?i)unique|duplicate", reasons[0])
    assert re.search("(?i)not.null", reasons[1])
    assert re.search("(?i)check", reasons[2])
    assert unpacked(letters["row"][0]).rows() == [(1, "c")]
    assert database.query("SELECT epoch FROM penstock_epochs") == [(1,)]


def test_letters_stay_until_the_next_epoch(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"), (2, None))])
    sink.close()
    again = begun(database.spec("t"), SECOND)
    again.apply(0, [rows((1, "a"), (2, None))])
    assert values(again.refused(0)) == ['{"k":2,"v":null}']
    again.apply(1, [rows((3, "c"))])
    assert again.refused(1) is None
    again.close()
    assert database.query(f"SELECT count(*) FROM {LETTERS_TABLE}") == [(0,)]
    assert table(database) == [(1, "a"), (3, "c")]


def test_a_key_whose_new_row_is_refused_has_no_row(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((1, "a", 1), (2, "b", 1), (3, "c", 1))])
    sink.apply(1, [changes((1, "a", -1), (1, "long", 1), (2, "b", -1), (4, None, 1), (5, "e", 1))])
    letters = sink.refused(1)
    assert sorted(values(letters)) == ['{"k":1,"v":"long"}', '{"k":4,"v":null}']
    assert letters is not None
    assert letters["row"].null_count() == 2
    sink.apply(2, [changes((1, "long", -1), (1, "x", 1), (4, None, -1))])
    assert sink.refused(2) is None
    sink.close()
    assert table(database) == [(1, "x"), (3, "c"), (5, "e")]


def test_rows_by_key_keep_the_last_one_that_is_not_refused(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [rows((1, "a"), (2, "b"))])
    sink.apply(1, [rows((1, "x"), (1, None), (1, "long"), (2, None), (3, "c"), (3, "d"))])
    letters = sink.refused(1)
    sink.close()
    assert sorted(values(letters)) == sorted(
        ['{"k":1,"v":"long"}', '{"k":1,"v":null}', '{"k":2,"v":null}']
    )
    assert table(database) == [(1, "x"), (2, "b"), (3, "d")]


def test_what_is_unique_beside_the_key_is_kept_by_the_first(database: Database) -> None:
    made(database, LOOSE)
    sink = begun(database.spec("t"))
    sink.apply(0, [rows(*((n, f"{n % 7}") for n in range(40)))])
    letters = sink.refused(0)
    sink.close()
    assert table(database) == [(n, f"{n}") for n in range(7)]
    assert len(values(letters)) == 33


def test_rows_that_replace_others_are_not_blamed_for_those_refused(database: Database) -> None:
    made(database, "CREATE TABLE t (k BIGINT UNIQUE, v TEXT)")
    made(database, "CREATE UNIQUE INDEX names ON t (v)")
    sink = begun(database.spec("t", ("k",)))
    taken = {0: "x", 20: "y", 39: "z"}
    sink.apply(0, [rows(*((n, f"a{n}") for n in range(40)), *((-n - 1, taken[n]) for n in taken))])
    sink.apply(1, [rows(*((n, taken.get(n, f"b{n}")) for n in range(40)))])
    letters = sink.refused(1)
    sink.close()
    assert sorted(values(letters)) == sorted(f'{{"k":{n},"v":"{taken[n]}"}}' for n in taken)
    kept = [(n, f"a{n}" if n in taken else f"b{n}") for n in range(40)]
    assert [row for row in table(database) if row[0] >= 0] == sorted(kept, key=repr)


def test_a_replaced_view_is_written_without_what_is_refused(database: Database) -> None:
    made(database, STRICT)
    sink: Any = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((1, "a", 1))])
    sink.replace(1, [changes((2, "b", 1), (3, "long", 1))])
    assert values(sink.refused(1)) == ['{"k":3,"v":"long"}']
    sink.close()
    assert table(database) == [(2, "b")]


def test_what_ends_a_line_elsewhere_does_not_end_a_letter(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "one\u2028two"), (2, "b"), (3, "three\x85\r\n"))])
    assert values(sink.refused(0)) == [
        '{"k":1,"v":"one\u2028two"}',
        '{"k":3,"v":"three\x85\\r\\n"}',
    ]
    sink.close()
    assert table(database) == [(2, "b")]


def test_without_a_checkpoint_letters_are_handed_over_once(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t"), None)
    sink.apply(0, [rows((1, "a"), (2, None))])
    assert values(sink.refused(0)) == ['{"k":2,"v":null}']
    assert sink.refused(0) is None
    sink.close()
    assert table(database) == [(1, "a")]


def test_an_error_of_the_table_is_no_rows_fault(database: Database) -> None:
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"))])
    made(database, "DROP TABLE t")
    with pytest.raises(ConnectorError, match="refused"):
        sink.apply(1, [rows((2, "b"))])
    sink.close()
    assert database.query("SELECT epoch FROM penstock_epochs") == [(0,)]
    assert database.query(f"SELECT count(*) FROM {LETTERS_TABLE}") == [(0,)]


def test_postgres_refuses_by_its_types(postgres_schema: str) -> None:
    with psycopg.connect(postgres_schema, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE t (k SMALLINT, v VARCHAR(3), w NUMERIC(3, 1))")
        sink = begun(PostgresSinkSpec(postgres_schema, "t"))
        frame = pl.DataFrame(
            {
                "k": [1, 40_000, 3, 4, 5],
                "v": ["a", "b", "a\0b", "long", "e"],
                "w": [1.5] * 4 + [1e6],
            }
        )
        sink.apply(0, [frame])
        letters = sink.refused(0)
        sink.close()
        assert connection.execute(b"SELECT k, v FROM t").fetchall() == [(1, "a")]
    assert letters is not None
    said = ["out of range", "0x00", "too long", "overflow"]
    assert all(w in r for w, r in zip(said, letters["reason"], strict=True))


def test_postgres_checks_at_once_what_it_would_check_at_the_commit(postgres_schema: str) -> None:
    with psycopg.connect(postgres_schema, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE p (k BIGINT PRIMARY KEY)")
        connection.execute(
            b"CREATE TABLE t (k BIGINT REFERENCES p DEFERRABLE INITIALLY DEFERRED, v TEXT)"
        )
        connection.execute(b"INSERT INTO p VALUES (1)")
        sink = begun(PostgresSinkSpec(postgres_schema, "t"))
        sink.apply(0, [rows((1, "a"), (2, "b"), (1, "c"))])
        assert values(sink.refused(0)) == ['{"k":2,"v":"b"}']
        sink.close()
        assert connection.execute(b"SELECT v FROM t").fetchall() == [("a",), ("c",)]


def test_a_flood_is_refused_row_by_row(database: Database) -> None:
    made(database, STRICT)
    sink = begun(database.spec("t"))
    with contextlib.closing(sink):
        sink.apply(0, [rows(*((n, "long" if n % 2 else "ok") for n in range(300)))])
        assert len(values(sink.refused(0))) == 150
    assert len(table(database)) == 150


@pytest.mark.parametrize("cause", ["check", "null", "type", "unique"])
def test_a_flood_of_one_cause_has_one_reason(database: Database, cause: str) -> None:
    made(database, "CREATE TABLE t (k SMALLINT UNIQUE, v TEXT NOT NULL CHECK (length(v) < 4))")
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"))])
    bad = {"check": (2, "long"), "null": (2, None), "type": (40_000, "a"), "unique": (1, "b")}
    sink.apply(1, [rows(*([bad[cause]] * 60), (3, "c"))])
    letters = sink.refused(1)
    sink.close()
    if cause == "type" and database.kind == "sqlite":  # which keeps any number
        assert len(values(letters)) == 59
        return
    assert len(values(letters)) == 60
    assert letters is not None
    assert letters["reason"].n_unique() == 1
    assert table(database) == [(1, "a"), (3, "c")]


def test_rows_of_several_lines_do_not_mislead(postgres_schema: str) -> None:
    with psycopg.connect(postgres_schema, autocommit=True) as connection:
        connection.execute(b"CREATE TABLE t (k SMALLINT UNIQUE, v TEXT)")
        sink = begun(PostgresSinkSpec(postgres_schema, "t", ("k",)))
        text = "one\ntwo\nthree"
        sink.apply(
            0, [rows((1, text), (2, "b"), (40_000, "c"), (4, text), (50_000, "e"), (None, "f"))]
        )
        assert values(sink.refused(0)) == ['{"k":40000,"v":"c"}', '{"k":50000,"v":"e"}']
        sink.close()
        found = connection.execute(b"SELECT k FROM t ORDER BY k").fetchall()
        assert found == [(1,), (2,), (4,), (None,)]


def interfering(
    monkeypatch: pytest.MonkeyPatch, path: str, intruders: list[tuple[int, str]]
) -> None:
    """Have another connection write a row whenever an epoch has been rehearsed."""
    write_all = DuckdbSink._write_all

    def disturbed(self: DuckdbSink, *args: Any, **options: Any) -> list[pl.DataFrame]:
        found = write_all(self, *args, **options)
        if intruders:
            with duckdb.connect(path) as other:
                other.execute("INSERT INTO t VALUES (?, ?)", intruders.pop())
        return found

    monkeypatch.setattr(DuckdbSink, "_write_all", disturbed)


def test_what_another_connection_writes_meanwhile_is_reckoned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "out.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute(STRICT)
    with contextlib.closing(begun(DuckdbSinkSpec(path, "t"))) as sink:
        interfering(monkeypatch, path, [(2, "x"), (1, "y")])
        sink.apply(0, [rows((1, "a"), (2, "b"), (3, "c"), (4, "long"))])
        letters = sink.refused(0)
    assert sorted(values(letters)) == [
        '{"k":1,"v":"a"}',
        '{"k":2,"v":"b"}',
        '{"k":4,"v":"long"}',
    ]
    with duckdb.connect(path) as connection:
        assert sorted(connection.execute("SELECT k, v FROM t").fetchall()) == [
            (1, "y"),
            (2, "x"),
            (3, "c"),
        ]


def test_a_table_that_others_keep_writing_to_is_worth_another_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "out.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute(STRICT)
    with contextlib.closing(begun(DuckdbSinkSpec(path, "t"))) as sink:
        interfering(monkeypatch, path, [(3, "x"), (2, "y"), (1, "z")])
        with pytest.raises(ConnectorError, match="cannot be any more") as caught:
            sink.apply(0, [rows((1, "a"), (2, "b"), (3, "c"), (4, "long"))])
        assert caught.value.retry
        sink.apply(0, [rows((1, "a"), (5, "c"))])
        assert values(sink.refused(0)) == ['{"k":1,"v":"a"}']


def test_a_table_that_cannot_be_emptied_is_no_rows_fault(database: Database) -> None:
    made(database, "CREATE TABLE t (k BIGINT PRIMARY KEY, v TEXT)")
    sink = begun(database.spec("t"))
    with contextlib.closing(sink):
        assert isinstance(sink, ReplacingSink)
        sink.apply(0, [rows((1, "a"))])
        if database.kind == "sqlite":  # which looks at references only if it is told to
            sink._live.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]
        made(database, "CREATE TABLE others (k BIGINT REFERENCES t (k))")
        made(database, "INSERT INTO others VALUES (1)")
        with pytest.raises(ConnectorError) as caught:
            sink.replace(1, [rows((1, "a"), (2, "b"))])
        assert not caught.value.retry
    assert table(database) == [(1, "a")]
