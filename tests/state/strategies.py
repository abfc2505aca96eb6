"""Random values of every type the state must hold, and how to compare them in plain Python."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

_FLOATS = st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), -1e300])
_TEXT = st.sampled_from(
    ["", "a", "b", "longer than twelve bytes", "ä\0ö", "another long string here"]
)
_MICROS = st.integers(-(2**40), 2**40)
_EPOCH = dt.datetime(1970, 1, 1)


def _nullable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


TYPES: list[tuple[pl.DataType, st.SearchStrategy[Any]]] = [
    (pl.Int8(), st.integers(-128, 127)),
    (pl.Int64(), st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)])),
    (pl.UInt64(), st.sampled_from([0, 1, 2**64 - 1])),
    (pl.UInt16(), st.integers(0, 3)),
    (pl.Float64(), _FLOATS),
    (pl.Float32(), st.sampled_from([0.0, -0.0, float("nan"), 0.5])),
    (pl.Boolean(), st.booleans()),
    (pl.Date(), st.dates()),
    (pl.Time(), st.times()),
    (pl.Datetime("us"), _MICROS.map(lambda us: _EPOCH + dt.timedelta(microseconds=us))),
    (
        pl.Datetime("ns", "Europe/Paris"),
        _MICROS.map(lambda us: _EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(microseconds=us)),
    ),
    (pl.Duration("ms"), st.integers(-(10**6), 10**6).map(lambda ms: dt.timedelta(milliseconds=ms))),
    (pl.String(), _TEXT),
    (pl.Binary(), _TEXT.map(str.encode)),
    (pl.Decimal(20, 2), st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)),
    (pl.Int128(), st.sampled_from([0, -(2**100), 2**100])),
    (pl.Categorical(), st.sampled_from(["x", "y", "z"])),
    (pl.Enum(["red", "blue"]), st.sampled_from(["red", "blue"])),
    (pl.Null(), st.none()),
    (pl.List(pl.Float64()), st.lists(_nullable(_FLOATS), max_size=3)),
    (pl.List(pl.String()), st.lists(_nullable(_TEXT), max_size=2)),
    (pl.Array(pl.Int32(), 2), st.lists(_nullable(st.integers(0, 2)), min_size=2, max_size=2)),
    (
        pl.Struct({"a": pl.Int64(), "b": pl.List(pl.String())}),
        st.fixed_dictionaries(
            {"a": _nullable(st.integers(0, 2)), "b": _nullable(st.lists(_TEXT, max_size=2))}
        ),
    ),
]


def rows_of(count: int, pairs: list[tuple[pl.DataType, Any]]) -> st.SearchStrategy[list[Any]]:
    row = st.tuples(*(_nullable(values) for _, values in pairs))
    return st.lists(row, min_size=count, max_size=count)


def schemas(prefix: str = "c", max_size: int = 4) -> st.SearchStrategy[Any]:
    """Draw (schema, pairs) with up to ``max_size`` columns."""
    return st.lists(st.sampled_from(TYPES), max_size=max_size).map(
        lambda pairs: (pl.Schema({f"{prefix}{i}": t for i, (t, _) in enumerate(pairs)}), pairs)
    )


def frame_of(rows: list[Any], schema: pl.Schema) -> pl.DataFrame:
    if not schema:
        return pl.DataFrame(height=len(rows))
    columns = {
        name: pl.Series(name, [row[i] for row in rows], dtype=dtype)
        for i, (name, dtype) in enumerate(schema.items())
    }
    return pl.DataFrame(columns)


def exact(value: Any) -> Any:
    """Return a comparable form that tells -0.0 from 0.0 and finds NaN equal to itself."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else repr(value))
    if isinstance(value, list | tuple):
        return tuple(exact(item) for item in value)
    if isinstance(value, pl.Series):
        return exact(value.to_list())
    if isinstance(value, dict):
        return tuple((name, exact(item)) for name, item in value.items())
    if isinstance(value, bool | int):
        return (type(value).__name__, value)
    return value


def grouped(value: Any) -> Any:
    """Return a form in which values are equal exactly if they are the same key."""
    if isinstance(value, float):
        return ("float", "nan" if math.isnan(value) else value + 0.0)
    if isinstance(value, list | tuple):
        return tuple(grouped(item) for item in value)
    if isinstance(value, dict):
        return tuple(sorted((name, grouped(item)) for name, item in value.items()))
    return value


def contents(frame: pl.DataFrame) -> list[Any]:
    """Return the rows of a frame in exact form."""
    return [exact(row) for row in frame.rows()] if frame.width else [()] * frame.height
