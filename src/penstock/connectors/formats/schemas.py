"""Schemas as users write them, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.datatypes import parse_into_dtype

from penstock.columns import is_reserved
from penstock.connectors.formats.casting import castable, text_to
from penstock.connectors.formats.models import columns_of
from penstock.errors import ConfigError

SchemaLike = Mapping[str, Any] | type | str | Path
"""Columns and their types; a dataclass, msgspec Struct or pydantic model; the path of a schema."""


def checked_schema(step: str, schema: SchemaLike) -> pl.Schema:
    """Return ``schema`` with instances of Polars types; refuse reserved names and no columns."""
    schema = columns_of(step, schema)
    if not schema:
        raise ConfigError("the schema has no columns", step=step, value=schema)
    for name in schema:
        if is_reserved(name):
            raise ConfigError(f"the column name {name!r} is reserved", step=step, value=name)
    return pl.Schema({name: _dtype(step, name, value) for name, value in schema.items()})


def _dtype(step: str, name: str, value: object) -> pl.DataType:
    try:
        dtype = parse_into_dtype(value)
        return dtype() if isinstance(dtype, type) else dtype
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"column {name!r}: {value!r} is not a type",
            step=step,
            value=value,
            hint='use a Polars or Python type, e.g. {"id": pl.Int64, "name": str}',
        ) from error


def text_schema(step: str, schema: SchemaLike) -> pl.Schema:
    """Return ``schema`` checked, and made only of types that text can become."""
    checked = checked_schema(step, schema)
    for name, dtype in checked.items():
        if not castable(dtype):
            raise ConfigError(
                f"column {name!r}: text cannot become {dtype}", step=step, value=str(dtype)
            )
    return checked


_GUESSES = (pl.Int64(), pl.Float64(), pl.Boolean(), pl.Datetime("us", "UTC"))


def guessed(text: pl.DataFrame) -> pl.Schema:
    """Guess a type for each String column: the first that takes every value of the sample."""
    return pl.Schema({column.name: _guess(column.drop_nulls()) for column in text})


def _guess(values: pl.Series) -> pl.DataType:
    values = values.filter(values != "")
    fits = (dtype for dtype in _GUESSES if not text_to(values, dtype)[1].any())
    return next(fits, pl.String()) if len(values) else pl.String()
