"""Avro records: types, evolution, faults; fastavro is the oracle."""

from __future__ import annotations

import datetime as dt
import io
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.connectors.formats import registry
from penstock.connectors.formats.avro import Avro, Reading
from penstock.connectors.formats.avro_schema import AvroSchema, schema_of
from penstock.connectors.formats.avro_writing import records
from penstock.errors import ConfigError

UTC = dt.UTC
WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
FIELDS: list[tuple[str, Any, Any, Any]] = [
    ("long", "long", -7, pl.Int64()),
    ("int", "int", 7, pl.Int32()),
    ("text", ["null", "string"], "é", pl.String()),
    ("gone", ["null", "string"], None, pl.String()),
    ("bytes", "bytes", b"\0\xff", pl.Binary()),
    ("flag", "boolean", True, pl.Boolean()),
    ("double", "double", 0.1, pl.Float64()),
    ("single", "float", 0.5, pl.Float32()),
    ("list", {"type": "array", "items": "long"}, [1, 2], pl.List(pl.Int64())),
    ("day", {"type": "int", "logicalType": "date"}, WHEN.date(), pl.Date()),
    ("ms", {"type": "long", "logicalType": "timestamp-millis"}, WHEN, pl.Datetime("ms", "UTC")),
    ("us", {"type": "long", "logicalType": "timestamp-micros"}, WHEN, pl.Datetime("us", "UTC")),
    ("tm", {"type": "long", "logicalType": "time-micros"}, dt.time(1, 2, 3), pl.Time()),
    ("money", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
     Decimal("1.25"), pl.Decimal(9, 2)),
    ("kind", {"type": "enum", "name": "K", "symbols": ["A", "B"]}, "B", pl.Enum(["A", "B"])),
    ("four", {"type": "fixed", "name": "F", "size": 4}, b"abcd", pl.Binary()),
    ("sub", ["null", {"type": "record", "name": "S", "fields": [{"name": "x", "type": "long"}]}],
     {"x": 3}, pl.Struct({"x": pl.Int64()})),
]  # fmt: skip
MAPS: list[tuple[str, Any, Any, Any]] = [
    ("map", {"type": "map", "values": "long"}, {"a": 1},
     pl.List(pl.Struct({"key": pl.String(), "value": pl.Int64()}))),
    ("id", {"type": "string", "logicalType": "uuid"}, uuid.UUID(int=7), pl.String()),
]  # fmt: skip


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "R",
        "fields": [{"name": name, "type": kind} for name, kind in fields],
    }


def encoded(schema: Any, *rows: dict[str, Any]) -> pl.Series:
    parsed, found = fastavro.parse_schema(schema), []
    for row in rows:
        into = io.BytesIO()
        fastavro.schemaless_writer(into, parsed, row)
        found.append(into.getvalue())
    return pl.Series(found, dtype=pl.Binary)


def avro(schema: Any) -> Avro:
    form = registry.build("avro", schema)
    assert isinstance(form, Avro)
    return form


@pytest.mark.parametrize("fields", [FIELDS, [*FIELDS, *MAPS]], ids=["columns", "one by one"])
def test_values_of_every_type(fields: list[tuple[str, Any, Any, Any]]) -> None:
    schema = record(*((name, kind) for name, kind, _, _ in fields))
    row = {name: value for name, _, value, _ in fields}
    form = avro(schema)
    assert form.schema == pl.Schema({name: dtype for name, _, _, dtype in fields})
    decoded = form.decode(encoded(schema, row, row))
    assert decoded.kept is None
    at_once = Reading(form.reader, form.reader).together(encoded(schema, row, row))
    assert (at_once is None) == (len(fields) > len(FIELDS))
    expected = row | {"map": [{"key": "a", "value": 1}], "id": str(uuid.UUID(int=7))}
    assert decoded.frame.rows(named=True) == [{n: expected[n] for n in row}] * 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.binary(max_size=8)), max_size=12))
def test_a_message_decodes_to_the_same_whatever_its_neighbours(faults: list[Any]) -> None:
    schema = record(("n", "long"), ("t", "string"), ("b", "bytes"))
    good = encoded(schema, *({"n": n, "t": "x" * n, "b": b"y"} for n in range(5))).to_list()
    messages = [
        [m, m + extra, m[: len(m) - 1], extra, None][kind]
        for m, (kind, extra) in zip(good * 3, faults, strict=False)
    ]
    form = avro(schema)
    together = form.decode(pl.Series(messages, dtype=pl.Binary))
    alone = [form.decode(pl.Series([message], dtype=pl.Binary)) for message in messages]
    rows = [row for each in alone for row in each.frame.rows()]
    assert together.frame.rows() == rows
    bad = [number for number, each in enumerate(alone) if each.errors.height]
    assert together.errors["index"].to_list() == bad


def test_faults_are_told() -> None:
    schema = record(("n", "long"), ("t", "string"))
    (good,) = encoded(schema, {"n": 1, "t": "ab"})
    decoded = avro(schema).decode(pl.Series([good, good + b"!", good[:-1], None, b""]))
    assert decoded.frame.rows() == [(1, "ab")]
    reasons = decoded.errors["reason"].to_list()
    assert reasons[0] == "1 bytes are left behind the record"
    assert reasons[1].startswith("not an Avro record")
    assert reasons[2] == "no message (null)"


def test_many_messages_of_which_some_are_bad() -> None:
    schema = record(
        ("n", "long"),
    )
    messages = encoded(schema, *({"n": n} for n in range(1000))).to_list()
    messages[300], messages[999] = b"\xff", b""
    decoded = avro(schema).decode(pl.Series(messages))
    assert decoded.errors["index"].to_list() == [300, 999]
    assert decoded.frame["n"].to_list() == [n for n in range(1000) if n not in (300, 999)]
    assert decoded.kept is not None
    assert decoded.kept.to_list() == decoded.frame["n"].to_list()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (["int", "string"], "no column can hold"),
        ("Nothing", "there is no type 'Nothing'"),
        (["null", "R"], "holds itself"),
    ],
)
def test_schemas_without_columns_are_refused(kind: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        avro(record(("a", kind)))


def test_a_schema_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "order.avsc"
    path.write_text(json.dumps(record(("n", "long"))))
    assert avro(path).schema == {"n": pl.Int64()}
    assert avro(str(path)) == avro(path)
    assert avro({"n": pl.Int64}).reader == schema_of({"n": pl.Int64()})
    with pytest.raises(ConfigError, match="cannot be read"):
        avro(tmp_path / "none.avsc")


ROWS = pl.DataFrame(
    {
        "i": pl.Series([1, None], dtype=pl.UInt32),
        "small": pl.Series([-1, None], dtype=pl.Int8),
        "t": ["é" * 300, None],
        "b": [b"\0\x10", None],
        "at": pl.Series([WHEN, None], dtype=pl.Datetime("us", "UTC")),
        "local": pl.Series([WHEN.replace(tzinfo=None), None], dtype=pl.Datetime("ms")),
        "d": [WHEN.date(), None],
        "tm": [dt.time(1, 2, 3), None],
        "m": pl.Series([Decimal("-1.25"), None], dtype=pl.Decimal(12, 2)),
        "e": pl.Series(["A", None], dtype=pl.Enum(["A"])),
        "l": [["a", None], None],
        "s": [{"x": 1.5, "y": WHEN}, None],
    }
)


def test_rows_that_are_written_are_read_back_by_another_library() -> None:
    schema = schema_of(ROWS.schema)
    parsed = fastavro.parse_schema(json.loads(schema.text))
    values = records(ROWS, b"head!")
    assert all(value.startswith(b"head!") for value in values)
    found: list[Any] = [fastavro.schemaless_reader(io.BytesIO(v[5:]), parsed, None) for v in values]
    assert [found[0][name] for name in ROWS.columns] == list(ROWS.row(0))
    assert all(value is None for value in found[1].values())
    assert (
        Avro(schema).decode(values.bin.slice(5)).frame.select("i", "t", "s").rows()
        == ROWS.select("i", "t", "s").rows()
    )


def test_columns_that_avro_lacks_are_refused() -> None:
    with pytest.raises(ConfigError, match="no type for UInt64"):
        schema_of({"n": pl.UInt64()})
    with pytest.raises(ConfigError, match="no field called 'a b'"):
        schema_of({"a b": pl.Int64()})


def test_a_newer_schema_reads_older_records() -> None:
    """Every promotion and default that is done by columns agrees with fastavro."""
    before = record(("a", "int"), ("b", "float"), ("gone", "string"), ("s", "string"))
    after = record(("b", "double"), ("a", ["null", "long"]), ("s", ["null", "string"]))
    after["fields"].append({"name": "new", "type": "long", "default": 7})
    reading = Reading(AvroSchema(json.dumps(before)), AvroSchema(json.dumps(after)))
    (message,) = encoded(before, {"a": 1, "b": 0.5, "gone": "x", "s": "y"})
    at_once = reading.together(pl.Series([message]))
    assert at_once is not None
    assert at_once.row(0, named=True) == reading.alone(message)
    assert at_once.schema == reading.reader.columns
    lacking = Reading(reading.reader, reading.writer)
    assert lacking.problem == "the record has no field 'gone', which has no default"


def test_names_that_are_defined_once_and_used_again() -> None:
    point = {
        "type": "record",
        "name": "P",
        "namespace": "n",
        "fields": [{"name": "x", "type": "int"}],
    }
    schema = record(("a", point), ("b", "n.P"))
    decoded = avro(schema).decode(encoded(schema, {"a": {"x": 1}, "b": {"x": 2}}))
    assert decoded.frame.rows() == [({"x": 1}, {"x": 2})]
    split = AvroSchema(json.dumps(record(("b", "n.P"))), (json.dumps(point),))
    assert Avro(split).schema == {"b": pl.Struct({"x": pl.Int32()})}
