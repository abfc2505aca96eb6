"""Columns and fields of structs that nobody reads are left out.

a, b {c, d, e}; wanted ("a",), ("b", "d")   ->   a, b {d}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from penstock.connectors.formats.json_types import as_instance

Path = tuple[str, ...]
"""A column, or a column and the names of fields that lead into it."""


def narrowed(schema: Mapping[str, pl.DataType], wanted: Collection[Path]) -> pl.Schema:
    """Return the columns and fields to which the wanted paths lead, or that lie on their way."""
    found = {}
    for name, dtype in schema.items():
        inside = [path[1:] for path in wanted if path[0] == name]
        if not inside:
            continue
        found[name] = dtype
        if () not in inside and isinstance(dtype, pl.Struct):
            fields = {f.name: as_instance(f.dtype) for f in dtype.fields}
            found[name] = pl.Struct(narrowed(fields, inside))
    return pl.Schema(found)


def cut(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Leave out of a frame what ``schema`` does not have."""
    if frame.schema == schema:
        return frame
    return frame.select(
        _cut(pl.col(name), frame.schema[name], dtype).alias(name) for name, dtype in schema.items()
    )


def _cut(values: pl.Expr, whole: pl.DataType, part: pl.DataType) -> pl.Expr:
    if whole == part:
        return values
    assert isinstance(whole, pl.Struct)
    assert isinstance(part, pl.Struct)
    types = {f.name: as_instance(f.dtype) for f in whole.fields}
    fields = [
        _cut(values.struct.field(f.name), types[f.name], as_instance(f.dtype)).alias(f.name)
        for f in part.fields
    ]
    return pl.when(values.is_not_null()).then(pl.struct(fields))
