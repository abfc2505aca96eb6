"""Records of one Avro schema as those of another ("Schema Resolution" in the specification).

What is common is done by columns: fields that are the same, that were added with a default, that are
gone, numbers that became wider. Everything else is left to fastavro, record by record.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from penstock.connectors.formats.avro_schema import AvroSchema, column_type, nullable, shape

_WIDER = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
}


def incompatible(writer: AvroSchema, reader: AvroSchema) -> str | None:
    """Say why no record of ``writer`` can be read as one of ``reader``."""
    for field in reader.fields:
        if _written(field, writer) is None and "default" not in field:
            return f"the record has no field {field['name']!r}, which has no default"
    return None


def resolved(writer: AvroSchema, reader: AvroSchema) -> list[pl.Expr] | None:
    """Return the columns of ``reader`` as expressions over those of ``writer``; None: not so simply."""
    columns = []
    for field in reader.fields:
        found = _column(_written(field, writer), field)
        if found is None:
            return None
        columns.append(found.alias(field["name"]))
    return columns


def _written(field: Any, writer: AvroSchema) -> Any:
    """Return the writer's field of the same name, or of one that the reader's had before."""
    names = (field["name"], *field.get("aliases", ()))
    return next((each for name in names for each in writer.fields if each["name"] == name), None)


def _column(written: Any, field: Any) -> pl.Expr | None:
    dtype = column_type(field["type"], field["name"])
    if written is None:
        default = field["default"]
        plain = default is None or isinstance(default, bool | int | float)
        return pl.lit(default, dtype) if plain else None
    before, may_be_null = nullable(written["type"])
    after, takes_null = nullable(field["type"])
    if may_be_null and not takes_null:
        return None
    same = shape(before) == shape(after)
    if not same and not (isinstance(before, str) and after in _WIDER.get(before, ())):
        return None
    return pl.col(written["name"]).cast(dtype)
