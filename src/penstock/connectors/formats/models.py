"""Columns from what people have already: dataclasses, msgspec structs, pydantic models, JSON Schema.

class Order(msgspec.Struct):           {"id": Int64, "note": String, "tags": List(String)}
    id: int
    note: str | None = None       ->
    tags: list[str]
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import types
import typing
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from polars.datatypes import parse_into_dtype

from penstock.errors import ConfigError

_SEQUENCES = (list, tuple, set, frozenset)
_JSON: dict[str, pl.DataType] = {
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "string": pl.String(),
    "boolean": pl.Boolean(),
}
_FORMATS: dict[str, pl.DataType] = {
    "date-time": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "time": pl.Time(),
}


def columns_of(step: str, schema: Any) -> Mapping[str, Any]:
    """Return the columns that ``schema`` describes; a mapping of columns as it is."""
    if isinstance(schema, Path | str):
        return _of_file(step, Path(schema))
    if isinstance(schema, type):
        return _of_class(step, schema)
    if isinstance(schema, Mapping):
        document = schema.get("type") == "object" and isinstance(schema.get("properties"), Mapping)
        return of_json_schema(step, schema) if document else schema
    raise ConfigError(f"{schema!r} is not a schema", step=step, value=str(schema), hint=_HINT)


_HINT = (
    "give columns and their types, a dataclass, a msgspec Struct, a pydantic model, or the path of a "
    "JSON Schema"
)


def _of_file(step: str, path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the schema cannot be read: {error}", step=step, value=str(path), hint=_HINT
        ) from error
    return of_json_schema(step, found)


# -- classes


def _of_class(step: str, kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=False)
    names = _names(kind)
    if names is None:
        raise ConfigError(
            f"{kind.__name__} is no class with fields", step=step, value=kind.__name__, hint=_HINT
        )
    return {column: _of_hint(step, column, hints[field]) for field, column in names.items()}


def _names(kind: type) -> dict[str, str] | None:
    """Return fields and how they are called in messages."""
    if dataclasses.is_dataclass(kind):
        return {each.name: each.name for each in dataclasses.fields(kind)}
    if issubclass(kind, msgspec.Struct):
        return {each.name: each.encode_name for each in msgspec.structs.fields(kind)}
    found = getattr(kind, "model_fields", None)  # pydantic, which need not be installed
    if isinstance(found, Mapping):
        return {name: getattr(each, "alias", None) or name for name, each in found.items()}
    return None


def _of_hint(step: str, name: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _of_hint(step, name, arguments[0])
    if origin in (typing.Union, types.UnionType):
        others = [each for each in arguments if each is not type(None)]
        if len(others) == 1:
            return _of_hint(step, name, others[0])
    if origin is typing.Literal and all(isinstance(each, str) for each in arguments):
        return pl.Enum(arguments)
    if origin in _SEQUENCES and arguments:
        return pl.List(_of_hint(step, name, arguments[0]))
    if isinstance(hint, type):
        return _of_type(step, name, hint)
    raise ConfigError(f"field {name!r}: no column can hold {hint}", step=step, value=str(hint))


def _of_type(step: str, name: str, hint: type) -> Any:
    if issubclass(hint, enum.Enum):
        values = [each.value for each in hint]
        return pl.Enum(values) if all(isinstance(v, str) for v in values) else pl.Int64()
    if _names(hint) is not None:
        return pl.Struct(dict(_of_class(step, hint)))
    if hint is uuid.UUID:
        return pl.String()
    if hint is dt.datetime:
        return pl.Datetime("us", "UTC")
    try:
        return parse_into_dtype(hint)
    except TypeError as error:
        raise ConfigError(
            f"field {name!r}: no column can hold {hint.__name__}", step=step, value=hint.__name__
        ) from error


# -- JSON Schema


def of_json_schema(step: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the columns of the objects that a JSON Schema describes (draft 4 and later)."""
    properties = _referred(step, document, document).get("properties")
    if not isinstance(properties, Mapping):
        raise ConfigError("the JSON Schema describes no object", step=step, hint=_HINT)
    return {name: _of_node(step, name, each, document) for name, each in properties.items()}


def _of_node(step: str, name: str, node: Any, document: Mapping[str, Any]) -> pl.DataType:
    node = _referred(step, node, document)
    for word in ("anyOf", "oneOf"):
        others = [each for each in node.get(word, ()) if each.get("type") != "null"]
        if len(others) == 1:
            return _of_node(step, name, others[0], document)
    given = node.get("type")
    kinds = [each for each in (given if isinstance(given, list) else [given]) if each != "null"]
    texts = [each for each in node.get("enum", ()) if each is not None]
    if texts and all(isinstance(each, str) for each in texts):
        return pl.Enum(texts)
    if kinds == ["string"]:
        return _FORMATS.get(node.get("format", ""), pl.String())
    if kinds == ["array"] and isinstance(node.get("items"), Mapping):
        return pl.List(_of_node(step, name, node["items"], document))
    if kinds == ["object"] and isinstance(node.get("properties"), Mapping):
        fields = node["properties"].items()
        return pl.Struct({n: _of_node(step, n, each, document) for n, each in fields})
    if len(kinds) == 1 and kinds[0] in _JSON:
        return _JSON[kinds[0]]
    return pl.String()  # anything else is kept as its JSON text


def _referred(step: str, node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow ``$ref`` within the document."""
    seen: set[str] = set()
    while "$ref" in node:
        place = str(node["$ref"])
        if not place.startswith("#/") or place in seen:
            raise ConfigError(f"{place!r} is not in the document", step=step, value=place)
        seen.add(place)
        found: Any = document
        for part in place[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        node = found
    return node
