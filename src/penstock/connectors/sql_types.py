"""Polars types as SQL column types, strictly: what cannot be stored exactly is refused by name.

| Polars | SQLite | DuckDB | PostgreSQL |
|---|---|---|---|
| Int8..Int64, UInt8..UInt32 | INTEGER | the same | SMALLINT, INTEGER, BIGINT (next wider) |
| UInt64 | (no type: INTEGER, or text) | UBIGINT | NUMERIC(20,0) |
| Int128, UInt128 | TEXT | HUGEINT, UHUGEINT | NUMERIC(39,0) |
| Float16, 32, 64 | REAL, NaN as text 'NaN' | FLOAT, DOUBLE | REAL, DOUBLE PRECISION |
| Decimal(p, 0) | (no type: INTEGER, or text) | DECIMAL(p,0) | NUMERIC(p,0) |
| Decimal(p, s) | TEXT | DECIMAL(p,s) | NUMERIC(p,s) |
| String, Categorical, Enum, Null | TEXT | VARCHAR | TEXT |
| Binary | BLOB | BLOB | BYTEA |
| Boolean | INTEGER 0, 1 | BOOLEAN | BOOLEAN |
| Date, Time | TEXT, ISO | DATE, TIME_NS | DATE, TIME (rounded to us) |
| Datetime, no zone | TEXT, ISO | TIMESTAMP_MS, TIMESTAMP, TIMESTAMP_NS | TIMESTAMP (ms, us) |
| Datetime, zone | TEXT, ISO in UTC, +00:00 | TIMESTAMPTZ (ms, us) | TIMESTAMPTZ (ms, us) |
| Duration | INTEGER of its own unit | INTERVAL (ms, us) | INTERVAL (ms, us) |
| List, Struct, Array | TEXT, JSON | the same, nested | JSONB |
"""

from __future__ import annotations

import enum

import polars as pl
from polars.datatypes import DataTypeClass

from penstock.connectors.sql_text import quoted
from penstock.errors import ConfigError


class Dialect(enum.Enum):
    """A database whose column types are known here."""

    SQLITE = "SQLite"
    DUCKDB = "DuckDB"
    POSTGRES = "PostgreSQL"


_INTEGERS: tuple[type[pl.DataType], ...] = (
    pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32,
)  # fmt: skip

_PLAIN: dict[Dialect, dict[type[pl.DataType], str]] = {
    Dialect.SQLITE: {
        **dict.fromkeys(_INTEGERS, "INTEGER"),
        pl.UInt64: "",  # without affinity: small values stay integers, large ones text, both exact
        pl.Int128: "TEXT",
        pl.UInt128: "TEXT",
        pl.Float16: "REAL",
        pl.Float32: "REAL",
        pl.Float64: "REAL",
        pl.Decimal: "TEXT",
        pl.String: "TEXT",
        pl.Categorical: "TEXT",
        pl.Enum: "TEXT",
        pl.Null: "TEXT",
        pl.Binary: "BLOB",
        pl.Boolean: "INTEGER",
        pl.Date: "TEXT",
        pl.Time: "TEXT",
        pl.Datetime: "TEXT",
        pl.Duration: "INTEGER",
        pl.List: "TEXT",
        pl.Struct: "TEXT",
        pl.Array: "TEXT",
    },
    Dialect.DUCKDB: {
        pl.Int8: "TINYINT",
        pl.Int16: "SMALLINT",
        pl.Int32: "INTEGER",
        pl.Int64: "BIGINT",
        pl.Int128: "HUGEINT",
        pl.UInt8: "UTINYINT",
        pl.UInt16: "USMALLINT",
        pl.UInt32: "UINTEGER",
        pl.UInt64: "UBIGINT",
        pl.UInt128: "UHUGEINT",
        pl.Float16: "FLOAT",
        pl.Float32: "FLOAT",
        pl.Float64: "DOUBLE",
        pl.String: "VARCHAR",
        pl.Categorical: "VARCHAR",
        pl.Enum: "VARCHAR",
        pl.Null: "VARCHAR",
        pl.Binary: "BLOB",
        pl.Boolean: "BOOLEAN",
        pl.Date: "DATE",
        pl.Time: "TIME_NS",
        pl.Duration: "INTERVAL",
    },
    Dialect.POSTGRES: {
        pl.Int8: "SMALLINT",
        pl.Int16: "SMALLINT",
        pl.Int32: "INTEGER",
        pl.Int64: "BIGINT",
        pl.Int128: "NUMERIC(39,0)",
        pl.UInt8: "SMALLINT",
        pl.UInt16: "INTEGER",
        pl.UInt32: "BIGINT",
        pl.UInt64: "NUMERIC(20,0)",
        pl.UInt128: "NUMERIC(39,0)",
        pl.Float16: "REAL",
        pl.Float32: "REAL",
        pl.Float64: "DOUBLE PRECISION",
        pl.String: "TEXT",
        pl.Categorical: "TEXT",
        pl.Enum: "TEXT",
        pl.Null: "TEXT",
        pl.Binary: "BYTEA",
        pl.Boolean: "BOOLEAN",
        pl.Date: "DATE",
        pl.Time: "TIME",
        pl.Duration: "INTERVAL",
        pl.List: "JSONB",
        pl.Struct: "JSONB",
        pl.Array: "JSONB",
    },
}

_NOT_INSIDE_DUCKDB = (pl.Int128, pl.UInt128, pl.Float16, pl.Null)
"""Types that reach DuckDB only by a cast of the whole column."""

_DUCKDB_TIMESTAMPS = {"ms": "TIMESTAMP_MS", "us": "TIMESTAMP", "ns": "TIMESTAMP_NS"}


def column_types(schema: pl.Schema, dialect: Dialect, step: str) -> dict[str, str]:
    """Return the SQL type of each column, or raise ``ConfigError`` naming the one that has none."""
    return {name: _column_type(name, dtype, dialect, step) for name, dtype in schema.items()}


def _column_type(name: str, dtype: pl.DataType, dialect: Dialect, step: str) -> str:
    if dtype.is_nested():
        _check_inside(name, dtype, dialect, step)
    found = _own_type(dtype, dialect)
    if found is None and not isinstance(dtype, pl.Datetime):
        found = _PLAIN[dialect].get(type(dtype))
    if found is None or (dialect is not Dialect.SQLITE and _is_nanoseconds(dtype, dialect)):
        raise ConfigError(
            f"column {name!r} is {dtype}, which {dialect.value} cannot store exactly",
            step=step,
            value=name,
            hint=_way_out(name, dtype),
        )
    return found


def _own_type(dtype: pl.DataType, dialect: Dialect) -> str | None:
    """Return the type where it depends on the Polars type's parameters."""
    if isinstance(dtype, pl.Datetime):
        return _timestamp(dtype, dialect)
    if isinstance(dtype, pl.Decimal) and dialect is Dialect.SQLITE and dtype.scale == 0:
        return _PLAIN[dialect][pl.UInt64]
    if isinstance(dtype, pl.Decimal) and dialect is not Dialect.SQLITE:
        name = "DECIMAL" if dialect is Dialect.DUCKDB else "NUMERIC"
        return f"{name}({dtype.precision},{dtype.scale})"
    if dialect is Dialect.DUCKDB and isinstance(dtype, pl.List | pl.Array | pl.Struct):
        return _duckdb_nested(dtype)
    return None


def _timestamp(dtype: pl.Datetime, dialect: Dialect) -> str:
    if dialect is Dialect.SQLITE:
        return "TEXT"
    if dtype.time_zone is not None:
        return "TIMESTAMPTZ"
    return _DUCKDB_TIMESTAMPS[dtype.time_unit] if dialect is Dialect.DUCKDB else "TIMESTAMP"


def _duckdb_nested(dtype: pl.List | pl.Array | pl.Struct) -> str:
    def inner(inside: pl.DataType | DataTypeClass) -> str:
        dtype = _instance(inside)
        return _own_type(dtype, Dialect.DUCKDB) or _PLAIN[Dialect.DUCKDB][type(dtype)]

    if isinstance(dtype, pl.List):
        return f"{inner(dtype.inner)}[]"
    if isinstance(dtype, pl.Array):
        return f"{inner(dtype.inner)}[{dtype.size}]"
    fields = (f"{quoted(f.name)} {inner(f.dtype)}" for f in dtype.fields)
    return f"STRUCT({', '.join(fields)})"


def _check_inside(name: str, dtype: pl.DataType, dialect: Dialect, step: str) -> None:
    for inside in _insides(dtype):
        as_json = dialect is not Dialect.DUCKDB
        if as_json and isinstance(inside, pl.Binary | pl.Duration):
            raise ConfigError(
                f"column {name!r} is {dtype}; JSON cannot hold the {inside} in it",
                step=step,
                value=name,
                hint="cast it first: binary with .bin.encode('base64'), durations to integers",
            )
        if not as_json and isinstance(inside, _NOT_INSIDE_DUCKDB):
            raise ConfigError(
                f"column {name!r} is {dtype}; DuckDB cannot take the {inside} in it",
                step=step,
                value=name,
                hint="cast it to a String, Int64 or Float32 first",
            )
        if not inside.is_nested():
            _column_type(name, inside, Dialect.SQLITE if as_json else dialect, step)


def _insides(dtype: pl.DataType) -> list[pl.DataType]:
    """Return every type within a nested one, itself included."""
    if isinstance(dtype, pl.Struct):
        inner = [_instance(field.dtype) for field in dtype.fields]
    elif isinstance(dtype, pl.List | pl.Array):
        inner = [_instance(dtype.inner)]
    else:
        inner = []
    return [dtype, *(deeper for inside in inner for deeper in _insides(inside))]


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    """Inner types may be given as bare classes, e.g. ``pl.List(pl.String)``."""
    return pl.Series(dtype=dtype).dtype if isinstance(dtype, DataTypeClass) else dtype


def _is_nanoseconds(dtype: pl.DataType, dialect: Dialect) -> bool:
    if isinstance(dtype, pl.Duration):
        return dtype.time_unit == "ns"
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        return dialect is Dialect.POSTGRES or dtype.time_zone is not None
    return False


def _way_out(name: str, dtype: pl.DataType) -> str:
    column = f"pl.col({name!r})"
    if isinstance(dtype, pl.Datetime):
        return f"round it to microseconds: {column}.dt.cast_time_unit('us')"
    if isinstance(dtype, pl.Duration):
        return f"round it to microseconds: {column}.dt.cast_time_unit('us')"
    return f"cast it first, e.g. {column}.cast(pl.String), or leave the column out"
