"""Avro schemas: read, made flat, and as Polars types.

    {"type": "record", "name": "Order", "fields": [            id    Int64
      {"name": "id", "type": "long"},                    <->   note  String
      {"name": "note", "type": ["null", "string"]}]}

Types (https://avro.apache.org/docs/1.12.0/specification): a union of null and one other type is that
type; maps are lists of ``key`` and ``value``; enums are ``Enum``, uuids texts, fixed bytes. A union of
several types and a record that holds itself have no column type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from penstock.connectors.formats.schemas import checked_schema
from penstock.errors import ConfigError

_STEP = "avro"
_PRIMITIVE: dict[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "bytes": pl.Binary(),
    "string": pl.String(),
}
_LOGICAL: dict[str, pl.DataType] = {
    "date": pl.Date(),
    "time-millis": pl.Time(),
    "time-micros": pl.Time(),
    "timestamp-millis": pl.Datetime("ms", "UTC"),
    "timestamp-micros": pl.Datetime("us", "UTC"),
    "timestamp-nanos": pl.Datetime("ns", "UTC"),
    "local-timestamp-millis": pl.Datetime("ms"),
    "local-timestamp-micros": pl.Datetime("us"),
    "local-timestamp-nanos": pl.Datetime("ns"),
}
_NAMED = ("record", "enum", "fixed", "error")


@dataclass(frozen=True)
class AvroSchema:
    """A record, as JSON text; ``named`` holds the texts of schemas it refers to by name."""

    text: str
    named: tuple[str, ...] = ()

    @cached_property
    def tree(self) -> Any:
        """The schema with every name replaced by what it stands for."""
        names: dict[str, Any] = {}
        for text in self.named:
            _flat(_loaded(text), names, None)
        tree = _flat(_loaded(self.text), names, None)
        if not isinstance(tree, dict) or tree["type"] != "record":
            raise ConfigError("the schema is not a record", step=_STEP, value=self.text)
        return tree

    @cached_property
    def columns(self) -> pl.Schema:
        """The columns of its records."""
        found = {each["name"]: column_type(each["type"], each["name"]) for each in self.fields}
        return checked_schema(_STEP, found)

    @property
    def fields(self) -> list[Any]:
        """Its fields, in order."""
        found: list[Any] = self.tree["fields"]
        return found


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if text.strip().isidentifier():
            return text.strip()
        raise ConfigError(f"the schema is not JSON: {error}", step=_STEP) from error


def _flat(node: Any, names: dict[str, Any], space: str | None) -> Any:
    if isinstance(node, str):
        return node if node in (*_PRIMITIVE, "null") else _named(node, names, space)
    if isinstance(node, list):
        return [_flat(each, names, space) for each in node]
    kind = node.get("type") if isinstance(node, dict) else None
    if kind in _NAMED:
        return _definition(node, names, space)
    if kind == "array":
        return {"type": "array", "items": _flat(node["items"], names, space)}
    if kind == "map":
        return {"type": "map", "values": _flat(node["values"], names, space)}
    if not isinstance(kind, str):
        if kind is None:
            raise ConfigError(f"{node!r} is not a type", step=_STEP, value=str(node))
        return _flat(kind, names, space)
    logical = node.get("logicalType")
    inner = _flat(kind, names, space)
    if logical is None or not isinstance(inner, str):
        return inner
    kept = ("logicalType", "precision", "scale")
    return {"type": inner} | {name: node[name] for name in kept if name in node}


def _definition(node: dict[str, Any], names: dict[str, Any], space: str | None) -> Any:
    space = node.get("namespace", space)
    name = str(node["name"])
    full = name if "." in name or not space else f"{space}.{name}"
    found = dict(node)
    names[full] = None  # being made: a name within it is a record that holds itself
    if node["type"] in ("record", "error"):
        inside = full.rpartition(".")[0] or None
        found["type"] = "record"
        found["fields"] = [
            each | {"type": _flat(each["type"], names, inside)} for each in node["fields"]
        ]
    names[full] = found
    return found


def _named(name: str, names: dict[str, Any], space: str | None) -> Any:
    full = name if "." in name or not space else f"{space}.{name}"
    for known in (full, name):
        if names.get(known) is not None:
            return names[known]
    if full in names or name in names:
        raise ConfigError(
            f"the record {name!r} holds itself, which no column can", step=_STEP, value=name
        )
    raise ConfigError(f"there is no type {name!r}", step=_STEP, value=name, alternatives=names)


def nullable(node: Any) -> tuple[Any, bool]:
    """Return the type of a union of it and null, and whether it is one; unions of several as is."""
    if not isinstance(node, list):
        return node, False
    others = [each for each in node if each != "null"]
    return (others[0] if len(others) == 1 else others), len(others) < len(node)


def column_type(node: Any, name: str) -> pl.DataType:
    """Return the Polars type of a field."""
    node, _ = nullable(node)
    if isinstance(node, str) and node in _PRIMITIVE:
        return _PRIMITIVE[node]
    if not isinstance(node, dict):
        raise ConfigError(
            f"field {name!r}: no column can hold {json.dumps(node)}",
            step=_STEP,
            value=name,
            hint="read the topic without a format, and take the bytes apart in map_batches",
        )
    kind = node["type"]
    if kind == "record":
        return pl.Struct({f["name"]: column_type(f["type"], f["name"]) for f in node["fields"]})
    if kind == "enum":
        return pl.Enum(node["symbols"])
    if kind == "array":
        return pl.List(column_type(node["items"], name))
    if kind == "map":
        value = column_type(node["values"], name)
        return pl.List(pl.Struct({"key": pl.String(), "value": value}))
    if node.get("logicalType") == "decimal":
        return pl.Decimal(node["precision"], node.get("scale", 0))
    if kind == "fixed":
        return pl.Binary()
    return _LOGICAL.get(node.get("logicalType", ""), _PRIMITIVE[kind])


def in_columns(node: Any) -> bool:
    """Tell whether the reader of Polars takes the type; of some it panics."""
    node, _ = nullable(node)
    if isinstance(node, list):
        return False
    if isinstance(node, str):
        return node != "null"
    kind, logical = node["type"], node.get("logicalType", "")
    if kind == "record":
        return bool(node["fields"]) and all(in_columns(each["type"]) for each in node["fields"])
    if kind == "array":
        return in_columns(node["items"])
    if kind == "map" or (kind == "fixed" and logical):
        return False
    return "nanos" not in logical


def shape(node: Any) -> Any:
    """Return what of a type decides about its bytes and its values, and nothing else."""
    if isinstance(node, list):
        return [shape(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = ("type", "symbols", "size", "logicalType", "precision", "scale")
    found = {name: node[name] for name in kept if name in node}
    for name in ("items", "values"):
        if name in node:
            found[name] = shape(node[name])
    if "fields" in node:
        found["fields"] = [(each["name"], shape(each["type"])) for each in node["fields"]]
    return found


def schema_of(columns: Mapping[str, pl.DataType], name: str = "Row") -> AvroSchema:
    """Return the schema of rows with these columns; each field may be null."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    name = name if name[:1].isidentifier() else f"_{name}"
    fields = [_field(column, dtype, [name, column]) for column, dtype in columns.items()]
    return AvroSchema(json.dumps({"type": "record", "name": name, "fields": fields}))


def _field(name: str, dtype: pl.DataType, path: list[str]) -> dict[str, Any]:
    if not name.isascii() or not name.isidentifier():
        raise ConfigError(
            f"Avro has no field called {name!r}",
            step=_STEP,
            value=name,
            hint="rename it: letters, digits and underscores",
        )
    return {"name": name, "type": ["null", _type(dtype, path)], "default": None}


_WRITTEN: dict[type[pl.DataType], str] = {
    pl.Boolean: "boolean",
    pl.Int8: "int",
    pl.Int16: "int",
    pl.Int32: "int",
    pl.Int64: "long",
    pl.UInt8: "int",
    pl.UInt16: "int",
    pl.UInt32: "long",
    pl.Float32: "float",
    pl.Float64: "double",
    pl.String: "string",
    pl.Categorical: "string",
    pl.Enum: "string",
    pl.Binary: "bytes",
    pl.Duration: "long",
}


def _type(dtype: pl.DataType, path: list[str]) -> Any:
    if isinstance(dtype, pl.Struct):
        fields = [_field(f.name, _made(f.dtype), [*path, f.name]) for f in dtype.fields]
        return {"type": "record", "name": "_".join(path), "fields": fields}
    if isinstance(dtype, pl.List | pl.Array):
        inner = _type(_made(dtype.inner), [*path, "item"])
        return {"type": "array", "items": ["null", inner]}
    if isinstance(dtype, pl.Datetime):
        unit = {"ms": "millis", "us": "micros", "ns": "nanos"}[dtype.time_unit]
        local = "" if dtype.time_zone else "local-"
        return {"type": "long", "logicalType": f"{local}timestamp-{unit}"}
    if isinstance(dtype, pl.Date):
        return {"type": "int", "logicalType": "date"}
    if isinstance(dtype, pl.Time):
        return {"type": "long", "logicalType": "time-micros"}
    if isinstance(dtype, pl.Decimal):
        precision = {"precision": dtype.precision or 38, "scale": dtype.scale}
        return {"type": "bytes", "logicalType": "decimal"} | precision
    if type(dtype) not in _WRITTEN:
        raise ConfigError(
            f"column {path[1]!r}: Avro has no type for {dtype}", step=_STEP, value=str(dtype)
        )
    return _WRITTEN[type(dtype)]


def _made(dtype: Any) -> pl.DataType:
    found: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return found
