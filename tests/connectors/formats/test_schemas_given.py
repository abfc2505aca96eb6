"""Schemas as people have them already: classes, models, JSON Schema; MessagePack and Protobuf."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl
import pydantic
import pytest

from penstock.connectors.formats import registry
from penstock.connectors.formats.json import Json
from penstock.connectors.formats.protobuf import Protobuf
from penstock.errors import ConfigError

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: float


@dataclasses.dataclass
class Order:
    id: int
    note: str | None
    tags: list[str]
    at: dt.datetime
    colour: Colour
    size: Literal["s", "m"]
    where: Point


class Struct(msgspec.Struct):
    id: int
    note: str | None = msgspec.field(name="Note", default=None)


class Model(pydantic.BaseModel):
    id: int
    note: str | None = pydantic.Field(None, alias="Note")


COLUMNS = {
    "id": pl.Int64(),
    "note": pl.String(),
    "tags": pl.List(pl.String()),
    "at": pl.Datetime("us", "UTC"),
    "colour": pl.Enum(["red"]),
    "size": pl.Enum(["s", "m"]),
    "where": pl.Struct({"x": pl.Float64()}),
}


def test_classes_and_models_are_schemas() -> None:
    assert registry.build("json", Order).schema == COLUMNS
    assert registry.build("json", Struct).schema == {"id": pl.Int64(), "Note": pl.String()}
    assert registry.build("json", Model) == registry.build("json", Struct)
    assert registry.build("csv", Struct).schema == {"id": pl.Int64(), "Note": pl.String()}


def test_json_schema(tmp_path: Path) -> None:
    document = {
        "type": "object",
        "$defs": {"p": {"type": "object", "properties": {"x": {"type": "number"}}}},
        "properties": {
            "id": {"type": "integer"},
            "note": {"type": ["string", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}},
            "at": {"type": "string", "format": "date-time"},
            "colour": {"enum": ["red"]},
            "size": {"anyOf": [{"enum": ["s", "m"]}, {"type": "null"}]},
            "where": {"$ref": "#/$defs/p"},
        },
    }
    path = tmp_path / "order.json"
    path.write_text(json.dumps(document))
    assert registry.build("json", path).schema == COLUMNS
    assert Json(document).schema == COLUMNS


@pytest.mark.parametrize("schema", [int, "nowhere.json", {"type": "object", "properties": {}}])
def test_what_is_no_schema_is_told(schema: Any) -> None:
    with pytest.raises(ConfigError):
        registry.build("json", schema)


PACKED = {
    "id": pl.Int64,
    "at": pl.Datetime("us", "UTC"),
    "b": pl.Binary,
    "m": pl.Decimal(9, 2),
    "l": pl.List(pl.Struct({"x": pl.Float64})),
}


def test_messagepack() -> None:
    row = {"id": 7, "at": WHEN, "b": b"\0", "m": Decimal("1.25"), "l": [{"x": 1.5}, None]}
    good = msgspec.msgpack.encode(row)
    bad = msgspec.msgpack.encode(row | {"id": "x"})
    messages = pl.Series([good, bad, b"\xc1", None, good + b"\0", msgspec.msgpack.encode({"z": 1})])
    decoded = registry.build("msgpack", PACKED).decode(messages)
    assert decoded.frame.rows(named=True) == [row, dict.fromkeys(row)]
    assert decoded.errors["index"].to_list() == [1, 2, 3, 4]
    assert "Expected `int" in decoded.errors["reason"][0]


PROTO = """
syntax = "proto3";
import "google/protobuf/timestamp.proto";
enum Kind { NONE = 0; SOME = 1; }
message Point { double x = 1; }
message Order {
  int64 id = 1; optional string note = 2; repeated int32 list = 3; Point at = 4;
  google.protobuf.Timestamp when = 5; Kind kind = 6; map<string, int32> map = 7;
}
message Node { Node next = 1; }
"""
_VARINT, _BYTES = 0, 2


def tagged(number: int, kind: int, value: bytes) -> bytes:
    return bytes([number << 3 | kind]) + (bytes([len(value)]) if kind == _BYTES else b"") + value


def test_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "order.proto"
    path.write_text(PROTO)
    form = registry.build("protobuf", path, message="Order")
    assert form.schema == {
        "id": pl.Int64(),
        "note": pl.String(),
        "list": pl.List(pl.Int32()),
        "at": pl.Struct({"x": pl.Float64()}),
        "when": pl.Datetime("us", "UTC"),
        "kind": pl.String(),
        "map": pl.List(pl.Struct({"key": pl.String(), "value": pl.Int32()})),
    }
    message = b"".join(
        (
            tagged(1, _VARINT, b"\x07"),
            tagged(2, _BYTES, b"n"),
            tagged(6, _VARINT, b"\x01"),
            tagged(7, _BYTES, tagged(1, _BYTES, b"k") + tagged(2, _VARINT, b"\x05")),
            tagged(15, _VARINT, b"\x01"),  # a field that came later
        )
    )
    decoded = form.decode(pl.Series([message, b"\xff", b"", None]))
    assert decoded.frame.rows() == [
        (7, "n", [], None, None, "SOME", [{"key": "k", "value": 5}]),
        (0, None, [], None, None, "NONE", []),
    ]
    assert decoded.errors["index"].to_list() == [1, 3]


def test_protobuf_in_the_wire_format_of_a_registry() -> None:
    form = registry.build("protobuf", PROTO, message="Order", registry="http://h:1")
    assert isinstance(form, Protobuf)
    row = tagged(1, _VARINT, b"\x07")
    messages = [
        b"\0\0\0\0\x01\0" + row,
        b"\0\0\0\0\x01\x02\x02" + row,  # the second message of the file
        row,
        b"\0\0\0\0\x01\x80",
    ]
    decoded = form.decode(pl.Series(messages))
    assert decoded.frame["id"].to_list() == [7, 7]
    assert decoded.errors["index"].to_list() == [2, 3]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"message": "Nobody"}, "no message 'Nobody'"),
        ({"message": "Node"}, "holds itself"),
    ],
)
def test_what_protobuf_refuses(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.build("protobuf", PROTO, **options)


@pytest.mark.parametrize("form", ["avro", "protobuf"])
def test_a_format_needs_a_schema_or_a_subject(form: str) -> None:
    with pytest.raises(ConfigError, match="needs a schema"):
        registry.build(form)
