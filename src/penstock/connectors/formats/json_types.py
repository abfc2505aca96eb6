"""How JSON values become Polars types: what to read them as, and what to make of that.

Polars' NDJSON reader knows a few types well (``Int64 UInt64 Int128 Float64 Boolean String``, lists
and structs of them); these are the *wire* types. All others are read as a wire type and converted
here, where what does not fit can be named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import polars as pl
from polars.datatypes import DataTypeClass

from penstock.connectors.formats import casting
from penstock.connectors.formats.casting import Converted
from penstock.errors import ConfigError

_NATIVE = (pl.Int64, pl.UInt64, pl.Int128, pl.Float64, pl.Boolean, pl.String)
_NARROW = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32)
_FROM_TEXT = (
    pl.Datetime, pl.Date, pl.Time, pl.Decimal, pl.Enum, pl.Categorical, pl.Binary,
)  # fmt: skip

_RANGES: dict[type[pl.DataType], tuple[int, int]] = {
    pl.Int64: (-(2**63), 2**63 - 1),
    pl.UInt64: (0, 2**64 - 1),
    pl.Int128: (-(2**127), 2**127 - 1),
}


def wire_type(dtype: pl.DataType) -> pl.DataType:
    """Return the type that Polars is to read for a column of type ``dtype``."""
    if isinstance(dtype, pl.List):
        return pl.List(wire_type(as_instance(dtype.inner)))
    if isinstance(dtype, pl.Struct):
        return pl.Struct([pl.Field(f.name, wire_type(as_instance(f.dtype))) for f in dtype.fields])
    if dtype in _NATIVE:
        return dtype
    if dtype in _NARROW:
        return pl.Int64()
    if dtype == pl.Float32:
        return pl.Float64()
    if dtype.base_type() in _FROM_TEXT:
        return pl.String()
    known = sorted(str(known) for known in (*_NATIVE, *_NARROW, pl.Float32, *_FROM_TEXT))
    raise ConfigError(
        f"JSON cannot hold the type {dtype}",
        step="json",
        value=str(dtype),
        alternatives=[*known, "List", "Struct"],
    )


def as_instance(dtype: DataTypeClass | pl.DataType) -> pl.DataType:
    """Return ``pl.Int64()`` for ``pl.Int64``."""
    return dtype() if isinstance(dtype, type) else dtype


def python_type(wire: pl.DataType) -> Any:
    """Return the msgspec type that takes at least what Polars takes for a wire type."""
    if isinstance(wire, pl.List):
        inner = python_type(as_instance(wire.inner))
        return list[inner | None]  # type: ignore[valid-type]
    if isinstance(wire, pl.Struct):
        return dict[str, Any]
    if wire == pl.Int64:
        return Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    if wire == pl.UInt64:
        return Annotated[int, msgspec.Meta(ge=0)]
    return {pl.Int128: int, pl.Float64: float, pl.Boolean: bool}.get(wire.base_type(), Any)


def fault(value: object, wire: pl.DataType, path: str) -> str | None:
    """Say why ``value`` (as ``json.loads`` gives it) cannot be of the wire type; None if it can."""
    if value is None or wire == pl.String:
        return None
    if isinstance(wire, pl.List):
        return _list_fault(value, wire, path)
    if isinstance(wire, pl.Struct):
        return _struct_fault(value, wire, path)
    if wire == pl.Boolean:
        return None if isinstance(value, bool) else _said(path, value, wire)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _said(path, value, wire)
    if wire == pl.Float64:
        return None
    low, high = _RANGES[wire.base_type()]
    fits = isinstance(value, int) and low <= value <= high
    return None if fits else _said(path, value, wire)


def _list_fault(value: object, wire: pl.List, path: str) -> str | None:
    if not isinstance(value, list):
        return _said(path, value, wire)
    inner = as_instance(wire.inner)
    found = (fault(item, inner, f"{path}[{i}]") for i, item in enumerate(value))
    return next((reason for reason in found if reason), None)


def _struct_fault(value: object, wire: pl.Struct, path: str) -> str | None:
    if not isinstance(value, dict):
        return _said(path, value, wire)
    found = (
        fault(value.get(f.name), as_instance(f.dtype), f"{path}.{f.name}") for f in wire.fields
    )
    return next((reason for reason in found if reason), None)


def _said(path: str, value: object, wire: pl.DataType) -> str:
    shown = (
        msgspec.json.encode(value).decode() if not isinstance(value, int) else str(value).lower()
    )
    return f"column {path}: cannot read {shown[: casting.SHOWN]} as {wire}"


def convert(values: pl.Series, dtype: pl.DataType) -> Converted:
    """Convert a column read as ``wire_type(dtype)``; mark what does not fit."""
    if values.dtype == dtype:
        return values, pl.repeat(value=False, n=len(values), dtype=pl.Boolean, eager=True)
    if isinstance(dtype, pl.List):
        return _convert_list(values, as_instance(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return _convert_struct(values, dtype)
    if values.dtype == pl.String:
        return casting.text_to(values, dtype)
    cast = values.cast(dtype, strict=False)
    if dtype == pl.Float32:
        cast = cast.set(cast.is_infinite(), None)
    return cast, cast.is_null() & values.is_not_null()


def _convert_list(values: pl.Series, inner: pl.DataType) -> Converted:
    def each(part: Callable[[Converted], pl.Series], dtype: pl.DataType) -> pl.Expr:
        element = pl.element().map_batches(lambda s: part(convert(s, inner)), return_dtype=dtype)
        return pl.col("v").list.eval(element)

    both = (
        values.alias("v")
        .to_frame()
        .select(
            each(lambda pair: pair[0], inner).alias("values"),
            each(lambda pair: pair[1], pl.Boolean()).list.any().fill_null(value=False).alias("bad"),
        )
    )
    return both["values"], both["bad"]


def _convert_struct(values: pl.Series, dtype: pl.Struct) -> Converted:
    fields, bad = [], pl.repeat(value=False, n=len(values), dtype=pl.Boolean, eager=True)
    for field in dtype.fields:
        inner, wrong = convert(values.struct.field(field.name), as_instance(field.dtype))
        fields.append(inner.alias(field.name))
        bad |= wrong
    whole = pl.DataFrame({"v": pl.DataFrame(fields).to_struct(), "there": values.is_not_null()})
    return whole.select(pl.when("there").then("v")).to_series(), bad
