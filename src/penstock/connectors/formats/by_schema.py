"""Formats whose messages need a schema of their own: Avro and Protobuf, from files or a registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.connectors.formats.avro import Avro
from penstock.connectors.formats.avro_schema import AvroSchema, schema_of
from penstock.connectors.formats.protobuf import Protobuf, ProtoSchema
from penstock.connectors.formats.schemas import checked_schema
from penstock.connectors.schema_registry import Registered, SchemaRegistry, registry_of
from penstock.errors import ConfigError


def avro(
    schema: Any = None, registry: str | SchemaRegistry | None = None, subject: str | None = None
) -> Avro:
    """Describe Avro records: of an ``.avsc`` file, a record as JSON, or the newest of a subject.

    With a ``registry`` messages are in Confluent's wire format. Columns and classes are taken for a
    schema whose fields may all be null.
    """
    found = None if registry is None else registry_of(registry)
    if schema is None:
        latest = _latest(found, subject, "AVRO", "avro")
        return Avro(AvroSchema(latest.text, tuple(each.text for each in latest.references)), found)
    return Avro(_avro_schema(schema), found)


def _avro_schema(schema: Any) -> AvroSchema:
    if isinstance(schema, Mapping) and schema.get("type") == "record":
        return AvroSchema(json.dumps(schema))
    if isinstance(schema, str) and schema.lstrip().startswith("{"):
        return AvroSchema(schema)
    if isinstance(schema, str | Path) and Path(schema).suffix == ".avsc":
        return AvroSchema(_text(schema, "avro"))
    return schema_of(checked_schema("avro", schema))


def protobuf(
    schema: Any = None,
    message: str | None = None,
    registry: str | SchemaRegistry | None = None,
    subject: str | None = None,
) -> Protobuf:
    """Describe Protobuf messages: of a ``.proto`` file or text, or the newest of a subject.

    ``message``: which one, if it is not the first of the file. With a ``registry`` messages are in
    Confluent's wire format.
    """
    found = None if registry is None else registry_of(registry)
    if schema is None:
        latest = _latest(found, subject, "PROTOBUF", "protobuf")
        imports = tuple((each.name, each.text) for each in _all(latest))
        return Protobuf(ProtoSchema(latest.text, message, imports), wrapped=True)
    is_text = isinstance(schema, str) and "message" in schema
    if not is_text and not isinstance(schema, str | Path):
        raise ConfigError(
            "Protobuf needs the numbers of the fields",
            step="protobuf",
            value=str(schema),
            hint='give the path of a .proto file: schema="order.proto"',
        )
    text = str(schema) if is_text else _text(schema, "protobuf")
    return Protobuf(ProtoSchema(text, message), wrapped=found is not None)


def _all(schema: Registered) -> list[Registered]:
    return [each for one in schema.references for each in (one, *_all(one))]


def _latest(
    registry: SchemaRegistry | None, subject: str | None, kind: str, step: str
) -> Registered:
    if registry is None or subject is None:
        raise ConfigError(
            "the format needs a schema",
            step=step,
            hint="give schema=, or registry= and subject= to take the newest of a subject",
        )
    found = registry.latest(subject)
    if found.kind != kind:
        raise ConfigError(f"{subject!r} is {found.kind}", step=step, value=subject)
    return found


def _text(path: str | Path, step: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ConfigError(
            f"the schema cannot be read: {error}", step=step, value=str(path)
        ) from error
