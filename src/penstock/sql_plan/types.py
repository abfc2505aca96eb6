"""SQL types as Polars types, and the types that operators promote to."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.errors import closest
from penstock.sql_plan.dialect import refuse

_D = exp.DType
_SIMPLE: dict[exp.DType, pl.DataType] = {
    _D.BOOLEAN: pl.Boolean(),
    _D.TINYINT: pl.Int8(),
    _D.SMALLINT: pl.Int16(),
    _D.INT: pl.Int32(),
    _D.BIGINT: pl.Int64(),
    _D.INT128: pl.Int128(),
    _D.UTINYINT: pl.UInt8(),
    _D.USMALLINT: pl.UInt16(),
    _D.UINT: pl.UInt32(),
    _D.UBIGINT: pl.UInt64(),
    _D.FLOAT: pl.Float32(),
    _D.DOUBLE: pl.Float64(),
    _D.TEXT: pl.String(),
    _D.VARCHAR: pl.String(),
    _D.CHAR: pl.String(),
    _D.BPCHAR: pl.String(),
    _D.NAME: pl.String(),
    _D.UUID: pl.String(),
    _D.JSON: pl.String(),
    _D.JSONB: pl.String(),
    _D.VARBINARY: pl.Binary(),
    _D.BINARY: pl.Binary(),
    _D.DATE: pl.Date(),
    _D.TIME: pl.Time(),
    _D.TIMESTAMP: pl.Datetime("us"),
    _D.TIMESTAMPNTZ: pl.Datetime("us"),
    _D.DATETIME: pl.Datetime("us"),
    _D.TIMESTAMPTZ: pl.Datetime("us", "UTC"),
    _D.INTERVAL: pl.Duration("us"),
}
MAX_DIGITS = 38
"""Digits of the widest decimal that Polars holds."""

NUMERIC_SCALE = 6
"""Digits after the point of a plain ``numeric``, which in PostgreSQL has as many as are needed."""


def dtype_of(node: exp.DataType) -> pl.DataType:
    """Return the Polars type of an SQL type; refuses those that have none."""
    kind = node.this
    if kind == _D.DECIMAL:
        digits = [int(part.name) for part in node.expressions]
        precision = digits[0] if digits else MAX_DIGITS
        scale = digits[1] if len(digits) > 1 else (0 if digits else NUMERIC_SCALE)
        if not 0 < precision <= MAX_DIGITS or not 0 <= scale <= precision:
            raise refuse(node, f"a numeric has up to {MAX_DIGITS} digits")
        return pl.Decimal(precision, scale)
    if kind in (_D.ARRAY, _D.LIST) and node.expressions:
        return pl.List(dtype_of(node.expressions[0]))
    if kind == _D.STRUCT:
        return pl.Struct({part.name: dtype_of(part.args["kind"]) for part in node.expressions})
    if kind not in _SIMPLE:
        near = closest(node.sql().lower(), [str(known.value).lower() for known in _SIMPLE])
        raise refuse(node, "unknown type", hint=f"did you mean {near}?" if near else None)
    return _SIMPLE[kind]


def common(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """Return the type that holds the values of both, as in UNION, CASE and comparisons."""
    if left == right or right == pl.Null:
        return left
    if left == pl.Null:
        return right
    if left.is_decimal() and right.is_decimal():
        return _wider(left, right)
    if isinstance(left, pl.Datetime) and isinstance(right, pl.Datetime):
        return _same_time(left, right)
    for one, two in ((left, right), (right, left)):
        if one.is_decimal() and two.is_integer():
            return pl.Decimal(MAX_DIGITS, scale_of(one))
        if one.is_decimal() and two.is_float():
            return pl.Float64()
        if one == pl.Date and isinstance(two, pl.Datetime):
            return two
    try:
        frames = [pl.DataFrame(schema={"x": dtype}) for dtype in (left, right)]
        return pl.concat(frames, how="vertical_relaxed").schema["x"]
    except pl.exceptions.PolarsError:
        return None


def _wider(left: pl.DataType, right: pl.DataType) -> pl.DataType:
    scale = max(scale_of(left), scale_of(right))
    whole = max(digits_of(t) - scale_of(t) for t in (left, right))
    return pl.Decimal(min(MAX_DIGITS, whole + scale), scale)


def _same_time(left: pl.Datetime, right: pl.Datetime) -> pl.DataType:
    """Instants are instants: of two zones in UTC, which a time without a zone is read in."""
    unit = left.time_unit if left.time_unit == right.time_unit else "us"
    return pl.Datetime(unit, left.time_zone if left.time_zone == right.time_zone else "UTC")


def scale_of(dtype: pl.DataType) -> int:
    """Digits after the point; 0 for whole numbers."""
    return dtype.scale if isinstance(dtype, pl.Decimal) else 0


def digits_of(dtype: pl.DataType) -> int:
    """Digits of a decimal."""
    return (dtype.precision or MAX_DIGITS) if isinstance(dtype, pl.Decimal) else MAX_DIGITS


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def sql_type(dtype: pl.DataType) -> str:
    """Return a Polars type as SQL writes it."""
    if isinstance(dtype, pl.Decimal):
        return f"NUMERIC({digits_of(dtype)}, {dtype.scale})"
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        return f"{sql_type(inner if isinstance(inner, pl.DataType) else inner())}[]"
    if isinstance(dtype, pl.Datetime):
        return "TIMESTAMP" if dtype.time_zone is None else "TIMESTAMPTZ"
    if isinstance(dtype, pl.Duration):
        return "INTERVAL"
    if isinstance(dtype, pl.Struct):
        parts = (f"{quoted(f.name)} {sql_type(f.dtype)}" for f in dtype.fields)  # type: ignore[arg-type]
        return f"STRUCT<{', '.join(parts)}>"
    return _NAMES.get(dtype, str(dtype).upper())


_NAMES: dict[pl.DataType, str] = {
    pl.Boolean(): "BOOLEAN",
    pl.Int8(): "TINYINT",
    pl.Int16(): "SMALLINT",
    pl.Int32(): "INTEGER",
    pl.Int64(): "BIGINT",
    pl.Int128(): "INT128",
    pl.UInt8(): "UTINYINT",
    pl.UInt16(): "USMALLINT",
    pl.UInt32(): "UINTEGER",
    pl.UInt64(): "UBIGINT",
    pl.Float32(): "REAL",
    pl.Float64(): "DOUBLE PRECISION",
    pl.String(): "TEXT",
    pl.Binary(): "BYTEA",
    pl.Date(): "DATE",
    pl.Time(): "TIME",
}
