"""Avro records, one per message: plain, or in Confluent's wire format with a schema registry.

    00 00 00 00 07 | 02 61 ...        the schema 7 of the registry, then the record

How: messages of one schema are joined into one container file in memory, which Polars reads at once.
Behind each message stands a mark of eight random bytes, a field more of the schema: where a message
is shorter or longer than its record, a mark is not in its place, and the messages are read in
smaller groups, at last one by one by fastavro, which tells the fault.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import polars as pl

from penstock.connectors.drivers import load_driver
from penstock.connectors.formats.avro_resolution import incompatible, resolved
from penstock.connectors.formats.avro_schema import AvroSchema, in_columns
from penstock.connectors.formats.contract import Decoded, LineByLine
from penstock.connectors.formats.wire import Unwrapped, each_kind, one_by_one, sliced, unwrapped
from penstock.connectors.schema_registry import SchemaRegistry

_END = "_penstock_end"
_MARK_BYTES = 8


@dataclass(frozen=True)
class Avro(LineByLine):
    """Records, given the columns of ``reader``; written with it, or with what the registry says.

    Schemas that differ are resolved as Avro says: fields by name, defaults for those that are
    missing, ``int`` to ``long`` and the like.
    """

    reader: AvroSchema
    registry: SchemaRegistry | None = None

    def __post_init__(self) -> None:
        assert self.schema  # refuses what no column can hold, where the user wrote it

    @property
    def name(self) -> str:
        """The format's name."""
        return "avro"

    @cached_property
    def schema(self) -> pl.Schema:
        """The columns of the reader's schema."""
        return self.reader.columns

    def decode(self, messages: pl.Series) -> Decoded:
        """Decode one record per message."""
        load_driver("fastavro", "avro", self.name)
        if self.registry is None:
            found = unwrapped(messages, wrapped=False)
            return found.completed(self._written_with(self.reader, found.messages))
        found = unwrapped(messages, wrapped=True)
        return found.completed(each_kind(found, self._of_kind, self.schema))

    def _of_kind(self, kind: int, found: Unwrapped) -> Decoded:
        assert self.registry is not None
        written = self.registry.by_id(kind, "AVRO")
        if isinstance(written, str):
            return one_by_one(found.messages, self.schema, lambda _: written)
        writer = AvroSchema(written.text, tuple(each.text for each in written.references))
        return self._written_with(writer, found.messages)

    def _written_with(self, writer: AvroSchema, messages: pl.Series) -> Decoded:
        reading = Reading(writer, self.reader)
        problem = reading.problem
        if problem is not None:
            return one_by_one(messages, self.schema, lambda _: problem)
        return sliced(messages, reading.together, reading.alone, self.schema)


@dataclass(frozen=True)
class Reading:
    """Reads records written with one schema as those of another."""

    writer: AvroSchema
    reader: AvroSchema

    @property
    def problem(self) -> str | None:
        """Why no record can be read."""
        return incompatible(self.writer, self.reader)

    def together(self, messages: pl.Series) -> pl.DataFrame | None:
        """Read all at once; None if one of them is at fault, or the schema is too much for it."""
        columns = resolved(self.writer, self.reader)
        if columns is None or not in_columns(self.writer.tree):
            return None
        if messages.is_empty():
            return self.reader.columns.to_frame()
        mark = os.urandom(_MARK_BYTES)
        data = mark.join(messages.to_list()) + mark
        try:
            frame = pl.read_avro(io.BytesIO(container(_marked(self.writer), len(messages), data)))
            ends = frame.get_column(_END)
            whole = frame.height == len(messages) and bool((ends == pl.Series([mark])).all())
            return frame.select(columns) if whole else None
        except (pl.exceptions.PolarsError, OSError, ValueError):  # too short: an OSError
            return None
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # Polars' panics are BaseExceptions
                raise
            return None

    def alone(self, message: bytes) -> dict[str, Any] | str:
        """Read one record; or say why it cannot be."""
        import fastavro

        writer, reader = _parsed(self.writer), _parsed(self.reader)
        stream = io.BytesIO(message)
        try:
            row: Any = fastavro.schemaless_reader(stream, writer, reader)
            plain: dict[str, Any] = _plain(row, self.reader.tree)
        except Exception as error:  # noqa: BLE001 - any: the bytes are whatever was sent
            return f"not an Avro record of this schema: {str(error) or type(error).__name__}"
        left = len(message) - stream.tell()
        return f"{left} bytes are left behind the record" if left else plain


def container(schema: str, count: int, data: bytes) -> bytes:
    """Return a container file of one block, not compressed."""
    sync = bytes(16)
    head = {b"avro.schema": schema.encode(), b"avro.codec": b"null"}
    pairs = b"".join(_text(name) + _text(value) for name, value in head.items())
    meta = varint(len(head)) + pairs + varint(0)
    return b"".join((b"Obj\x01", meta, sync, varint(count), varint(len(data)), data, sync))


def varint(number: int) -> bytes:
    """Return a whole number as Avro writes it: zigzag, seven bits a byte."""
    rest = number << 1 ^ number >> 63
    found = bytearray()
    while rest > 0x7F:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _text(value: bytes) -> bytes:
    return varint(len(value)) + value


@lru_cache(maxsize=256)
def _marked(schema: AvroSchema) -> str:
    """Return the schema with a mark behind each record."""
    mark = {"name": _END, "type": {"type": "fixed", "name": _END, "size": _MARK_BYTES}}
    tree = schema.tree
    return json.dumps({"type": "record", "name": "r", "fields": [*tree["fields"], mark]})


@lru_cache(maxsize=256)
def _parsed(schema: AvroSchema) -> Any:
    import fastavro

    names: dict[str, Any] = {}
    for text in schema.named:
        fastavro.parse_schema(json.loads(text), named_schemas=names)
    return fastavro.parse_schema(json.loads(schema.text), named_schemas=names)


def _plain(value: Any, node: Any) -> Any:
    """Return a value as Polars takes it: maps as lists, uuids as texts."""
    if isinstance(node, list):
        others = [each for each in node if each != "null"]
        return None if value is None else _plain(value, others[0])
    kind = node["type"] if isinstance(node, dict) else node
    if value is None:
        return None
    if kind == "record":
        return {each["name"]: _plain(value[each["name"]], each["type"]) for each in node["fields"]}
    if kind == "array":
        return [_plain(each, node["items"]) for each in value]
    if kind == "map":
        pairs: Mapping[str, Any] = value
        return [{"key": k, "value": _plain(v, node["values"])} for k, v in pairs.items()]
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value
    return str(value) if isinstance(value, uuid.UUID) else value
