"""What every database sink owes, asked of each: SQLite, DuckDB, and a real PostgreSQL server."""

from __future__ import annotations

import contextlib
import functools
import itertools
import uuid
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.connectors import tables
from penstock.connectors.changes import gathered
from penstock.connectors.contract import (
    Accepts,
    Guarantee,
    KeyedSink,
    ReplacingSink,
    Sink,
    SinkIdentity,
    SinkSpec,
    is_replaceable,
)
from penstock.connectors.postgres.config import PostgresSinkSpec
from penstock.connectors.probing import probed
from penstock.errors import ConfigError, ConnectorError, Fault, FencedError
from tests.connectors.databases import Database

FIRST = SinkIdentity("counts", 1)
SECOND = SinkIdentity("counts", 2)


def begun(spec: SinkSpec, identity: SinkIdentity | None = FIRST) -> Sink:
    sink = spec.open()
    sink.begin(identity)
    return sink


def rows(*pairs: tuple[int | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(pairs, schema={"k": pl.Int64, "v": pl.String}, orient="row")


def changes(*triples: tuple[int | None, str | None, int]) -> pl.DataFrame:
    schema = {"k": pl.Int64, "v": pl.String, WEIGHT: pl.Int64}
    return pl.DataFrame(triples, schema=schema, orient="row")


def table(database: Database, name: str = "t") -> list[tuple[Any, ...]]:
    found = database.query(f'SELECT k, v FROM "{name}"')
    return sorted(found, key=lambda row: tuple((v is not None, v) for v in row))


def test_specs_say_what_they_are(database: Database) -> None:
    append, keyed = database.spec("t"), database.spec("t", ("k",))
    assert (append.accepts, keyed.accepts) == (Accepts.APPEND, Accepts.UPSERT)
    assert append.guarantee is Guarantee.EXACTLY_ONCE
    assert append.name.endswith(":t")
    assert isinstance(append, SinkSpec)
    assert append == database.spec("t") != keyed


def test_rows_are_appended_epoch_by_epoch(database: Database) -> None:
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"), (1, "a"))])
    sink.apply(1, [rows((2, None)), rows(), rows((3, ""))])
    sink.close()
    assert table(database) == [(1, "a"), (1, "a"), (2, None), (3, "")]


def test_changes_replace_and_delete_by_key(database: Database) -> None:
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((1, "a", 1), (2, "b", 1), (3, "c", 1))])
    sink.apply(1, [changes((1, "a", -1), (1, "x", 1), (2, "b", -1))])
    sink.close()
    assert table(database) == [(1, "x"), (3, "c")]


def test_null_keys_are_one_key(database: Database) -> None:
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((None, "a", 1), (1, "b", 1))])
    sink.apply(1, [changes((None, "a", -1), (None, "c", 1))])
    sink.close()
    assert table(database) == [(None, "c"), (1, "b")]
    sink = begun(database.spec("t", ("k",)))
    sink.apply(2, [changes((None, "c", -1))])
    sink.close()
    assert table(database) == [(1, "b")]


def test_a_key_of_every_column_holds_each_row_once(database: Database) -> None:
    sink = begun(database.spec("t", ("v", "k")))
    sink.apply(0, [changes((1, "a", 1), (1, None, 1))])
    sink.apply(1, [changes((1, "a", -1), (1, "a", 1), (1, None, -1), (2, None, 1))])
    sink.close()
    assert table(database) == [(1, "a"), (2, None)]


def test_append_only_rows_by_key_keep_the_last(database: Database) -> None:
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [rows((1, "a"), (1, "b"))])
    sink.apply(1, [rows((2, "c")), rows((1, "d"))])
    sink.close()
    assert table(database) == [(1, "d"), (2, "c")]


def test_an_epoch_in_several_chunks_is_applied_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "gathered", functools.partial(gathered, rows=1))
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((1, "a", 1)), changes((1, "a", -1)), changes((1, "b", 1), (2, "c", 1))])
    steps = [((1, "b", -1),), ((1, "d", 1),), ((2, "c", -1),), ((2, "e", 1), (1, "d", -1))]
    sink.apply(1, [changes(*step) for step in steps])
    sink.apply(2, [changes((None, None, 1)), changes((None, None, -1)), changes((None, "x", 1))])
    sink.close()
    assert table(database) == [(None, "x"), (2, "e")]


def test_two_living_rows_of_a_key_write_nothing(database: Database) -> None:
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [changes((1, "a", 1))])
    with pytest.raises(ConnectorError, match="2 living rows") as caught:
        sink.apply(1, [changes((1, "a", -1), (5, "x", 1), (7, "b", 1), (7, "c", 1))])
    sink.close()
    assert caught.value.value == {"k": 7}
    assert caught.value.fault is Fault.USER
    assert table(database) == [(1, "a")]


def test_changes_without_a_key_are_refused(database: Database) -> None:
    sink = begun(database.spec("t"))
    with pytest.raises(ConnectorError, match="key="):
        sink.apply(0, [changes((1, "a", 1))])
    sink.close()


def test_an_epoch_already_applied_is_skipped(database: Database) -> None:
    sink = begun(database.spec("t"))
    sink.apply(4, [rows((1, "a"))])
    sink.apply(4, [rows((1, "a"))])
    sink.apply(3, [rows((0, "z"))])
    sink.close()
    again = database.spec("t").open()
    assert again.begin(SECOND) == 4
    again.apply(4, [rows((1, "a"))])
    again.apply(5, [rows((2, "b"))])
    again.close()
    assert table(database) == [(1, "a"), (2, "b")]


def test_the_first_begin_finds_nothing_applied(database: Database) -> None:
    sink = database.spec("t").open()
    assert sink.begin(FIRST) is None
    sink.close()
    sink = database.spec("t").open()
    assert sink.begin(FIRST) is None
    sink.close()


def test_without_identity_nothing_is_recorded(database: Database) -> None:
    for epoch in (0, 0):
        sink = begun(database.spec("t"), None)
        sink.apply(epoch, [rows((1, "a"))])
        sink.close()
    assert table(database) == [(1, "a"), (1, "a")]
    with pytest.raises(Exception, match="penstock_epochs"):
        database.query("SELECT * FROM penstock_epochs")


def test_a_crash_inside_an_epoch_leaves_no_trace(database: Database) -> None:
    def breaking() -> itertools.chain[pl.DataFrame]:
        return itertools.chain([rows((1, "a"))] * 3, (1 // 0 for _ in "x"))  # type: ignore[misc]

    sink = begun(database.spec("t"))
    with pytest.raises(ZeroDivisionError):
        sink.apply(0, breaking())
    sink.apply(0, [rows((2, "b"))])  # the same sink can go on: the table is created again
    sink.close()
    assert table(database) == [(2, "b")]


def replacing(spec: SinkSpec, identity: SinkIdentity | None = FIRST) -> ReplacingSink:
    assert is_replaceable(spec)
    sink = begun(spec, identity)
    assert isinstance(sink, ReplacingSink)
    return sink


@pytest.mark.parametrize("key", [(), ("k",)])
def test_a_rebuilt_view_replaces_all_rows_once(database: Database, key: tuple[str, ...]) -> None:
    sink = replacing(database.spec("t", key))
    sink.apply(0, [rows((1, "a"), (2, "b"), (None, "c"))])
    new = [changes((2, "x", 1), (3, "y", 1), (None, "z", 1))] if key else [rows((2, "x"), (3, "y"))]
    sink.replace(1, new)
    found = table(database)
    assert found == [*([(None, "z")] if key else []), (2, "x"), (3, "y")]
    sink.replace(1, [])
    assert table(database) == found
    sink.replace(2, [new[0].clear()])
    assert table(database) == []
    sink.apply(3, [rows((5, "e"))])
    sink.close()
    assert table(database) == [(5, "e")]


def test_a_table_that_nothing_was_written_to_can_be_replaced(database: Database) -> None:
    sink = replacing(database.spec("t", ("k",)))
    sink.replace(0, [changes((1, "a", 1))])
    sink.close()
    assert table(database) == [(1, "a")]


def test_a_replacement_that_fails_or_comes_too_late_leaves_the_table(database: Database) -> None:
    old = replacing(database.spec("t", ("k",)))
    old.apply(0, [rows((1, "a"))])
    with pytest.raises(ConnectorError, match="2 living rows"):
        old.replace(1, [changes((7, "b", 1), (7, "c", 1))])
    new = begun(database.spec("t", ("k",)), SECOND)
    with pytest.raises(FencedError):
        old.replace(1, [changes((2, "zombie", 1))])
    old.close()
    new.close()
    assert table(database) == [(1, "a")]


def test_a_newer_run_fences_an_older_one(database: Database) -> None:
    old = begun(database.spec("t"), FIRST)
    old.apply(0, [rows((1, "a"))])
    new = begun(database.spec("t"), SECOND)
    with pytest.raises(FencedError, match="replaced by run 2"):
        old.apply(1, [rows((2, "zombie"))])
    old.close()
    new.apply(1, [rows((2, "b"))])
    new.close()
    assert table(database) == [(1, "a"), (2, "b")]
    late = database.spec("t").open()
    with pytest.raises(FencedError):
        late.begin(FIRST)
    late.close()


def test_two_sinks_keep_their_books_apart(database: Database) -> None:
    one = begun(database.spec("t"), SinkIdentity("one", 9))
    two = begun(database.spec("u"), SinkIdentity("two", 1))
    one.apply(7, [rows((1, "a"))])
    two.apply(0, [rows((2, "b"))])
    one.close()
    two.close()
    assert table(database, "u") == [(2, "b")]
    recorded = database.query("SELECT sink_id, epoch, token FROM penstock_epochs ORDER BY 1")
    assert recorded == [("one", 7, 9), ("two", 0, 1)]


def test_an_epoch_of_nothing_is_recorded(database: Database) -> None:
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [])
    sink.apply(1, [rows()])
    sink.apply(2, [changes()])
    sink.close()
    assert table(database) == []
    assert database.query("SELECT epoch FROM penstock_epochs") == [(2,)]


def test_names_are_quoted(database: Database) -> None:
    name = 'odd "; DROP TABLE x; --'
    frame = pl.DataFrame({"a b": [1, None], 'q"%s': ["x", "y"], "select": [True, False]})
    spec = database.spec(name, ("a b", 'q"%s'))
    spec.validate(frame.schema)
    sink = begun(spec)
    sink.apply(0, [frame])
    sink.apply(1, [frame.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))[:1]])
    sink.apply(2, [frame.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))[1:]])
    sink.apply(3, [frame])
    sink.close()
    quoted = name.replace('"', '""')
    assert len(database.query(f'SELECT * FROM "{quoted}"')) == 2


def test_an_existing_table_is_used_by_column_name(database: Database) -> None:
    database.query("CREATE TABLE t (v TEXT, extra INTEGER DEFAULT 5, k BIGINT UNIQUE)")
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [rows((1, "a"))])
    sink.apply(1, [rows((1, "b"))])
    sink.close()
    assert database.query("SELECT k, v, extra FROM t") == [(1, "b", 5)]


def test_an_existing_table_that_does_not_fit_is_explained(database: Database) -> None:
    database.query("CREATE TABLE t (k BIGINT)")
    sink = begun(database.spec("t"))
    with pytest.raises(ConnectorError, match=r"without the column\(s\) 'v'; it has k"):
        sink.apply(0, [rows((1, "a"))])
    sink.close()
    database.query("CREATE TABLE u (k BIGINT, v TEXT)")
    sink = begun(database.spec("u", ("k",)))
    with pytest.raises(ConnectorError, match="UNIQUE constraint on the key columns"):
        sink.apply(0, [rows((1, "a"))])
    sink.close()


def test_columns_may_not_change_during_a_run(database: Database) -> None:
    sink = begun(database.spec("t"))
    sink.apply(0, [rows((1, "a"))])
    with pytest.raises(ConnectorError, match="columns changed"):
        sink.apply(1, [rows((1, "a")).with_columns(pl.col("k").cast(pl.Float64))])
    sink.close()


def test_200k_rows_go_in_and_out(database: Database) -> None:
    n = 200_000
    frame = pl.select(k=pl.int_range(n), v=pl.int_range(n).cast(pl.String))
    sink = begun(database.spec("t", ("k",)))
    sink.apply(0, [frame])
    old = frame.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))
    new = frame[: n // 2].with_columns(pl.lit("new").alias("v"), pl.lit(1, pl.Int64).alias(WEIGHT))
    sink.apply(1, [pl.concat([old, new])])
    sink.close()
    found = database.query("SELECT count(*), min(v), max(v), sum(k) FROM t")
    assert found == [(n // 2, "new", "new", sum(range(n // 2)))]


def test_a_wrong_key_is_found_before_anything_starts(database: Database) -> None:
    schema = pl.Schema({"user": pl.String(), "tags": pl.List(pl.String)})
    with pytest.raises(ConfigError, match="did you mean 'user'"):
        database.spec("t", ("usr",)).validate(schema)
    with pytest.raises(ConfigError, match="plain value"):
        database.spec("t", ("tags",)).validate(schema)
    with pytest.raises(ConfigError, match="twice"):
        database.spec("t", ("user", "user"))
    with pytest.raises(ConfigError, match=r"tuple of column names\n.*\('user',\)"):
        database.spec("t", "user")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="table name"):
        database.spec("")


@pytest.mark.parametrize("name", ["_weight", "_penstock_x", ""])
def test_reserved_column_names_are_refused(database: Database, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        database.spec("t").validate(pl.Schema({name: pl.Int64}))


def test_what_cannot_be_stored_is_refused_with_a_way_out(database: Database) -> None:
    spec = database.spec("t")
    with pytest.raises(ConfigError, match=r"column 'o' is Object.*\n.*cast"):
        spec.validate(pl.Schema({"o": pl.Object()}))
    with pytest.raises(ConfigError, match="no columns"):
        spec.validate(pl.Schema())
    if database.kind != "postgres":
        with pytest.raises(ConfigError, match="only in case"):
            spec.validate(pl.Schema({"A": pl.Int64, "a": pl.Int64}))
    if database.kind != "sqlite":
        finer: list[pl.DataType] = [pl.Datetime("ns", "UTC"), pl.Duration("ns")]
        for dtype in finer:
            with pytest.raises(ConfigError, match="cast_time_unit"):
                spec.validate(pl.Schema({"t": dtype}))


KEYS = st.one_of(st.none(), st.integers(0, 4))
VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "é"]))
EPOCHS = st.lists(
    st.lists(st.tuples(KEYS, st.one_of(st.just("delete"), st.tuples(VALUES))), max_size=6),
    max_size=6,
)


@given(EPOCHS)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_changelog_leaves_what_a_dict_would(
    database: Database, epochs: list[list[tuple[int | None, str | tuple[str | None]]]]
) -> None:
    name = f"t{uuid.uuid4().hex}"
    sink = begun(database.spec(name, ("k",)), SinkIdentity(name, 1))
    oracle: dict[int | None, str | None] = {}
    for epoch, actions in enumerate(epochs):
        log: list[tuple[int | None, str | None, int]] = []
        for key, action in actions:
            if key in oracle:
                log.append((key, oracle.pop(key), -1))
            if isinstance(action, tuple):
                (oracle[key],) = action
                log.append((key, oracle[key], 1))
        sink.apply(epoch, [changes(*log[:2]), changes(*log[2:])])
        sink.apply(epoch, [changes((99, "again", 1))])
        assert dict(table(database, name)) == oracle
    sink.close()


def test_keys_that_are_there_are_found(database: Database) -> None:
    schema = {"k": pl.Int64, "s": pl.String, "v": pl.Int64}
    sink = database.spec("t", ("k", "s")).open()
    assert isinstance(sink, KeyedSink)
    with contextlib.closing(sink):
        sink.begin(SinkIdentity("s", 1), pl.Schema(schema))
        given = [(1, "a", 1), (None, "a", 2), (2, None, 3), (None, None, 4)]
        sink.apply(1, [pl.DataFrame(given, schema=schema, orient="row")])
        asked = [(2, "a"), (1, "a"), (None, "b"), (None, "a"), (None, None), (2, None), (1, "a")]
        keys = pl.DataFrame(asked, schema={"k": pl.Int64, "s": pl.String}, orient="row")
        found = sink.present(keys)
        assert found is not None
        assert found.to_list() == [False, True, False, True, True, True, True]
        nothing = sink.present(keys.clear())
        assert nothing is not None
        assert nothing.is_empty()


def test_a_key_that_cannot_be_held_is_not_there(postgres_schema: str) -> None:
    sink = PostgresSinkSpec(postgres_schema, "t", ("s",)).open()
    assert isinstance(sink, KeyedSink)
    with contextlib.closing(sink):
        sink.begin(SinkIdentity("s", 1), pl.Schema({"s": pl.String}))
        sink.apply(1, [pl.DataFrame({"s": ["a", "b"]})])
        found = sink.present(pl.DataFrame({"s": ["a", "nul \0", "c"]}))
        assert found is not None
        assert found.to_list() == [True, False, False]


def test_a_database_is_probed_without_leaving_anything(database: Database) -> None:
    spec = database.spec("probed")
    assert probed(spec)
    sink = spec.open()
    sink.begin(None, pl.Schema({"k": pl.Int64()}))
    sink.close()
    assert probed(spec)
    assert database.query("SELECT count(*) FROM probed") == [(0,)]
