"""Text to typed values, one meaning for every format.

| type | texts |
|---|---|
| integers, floats, Decimal | as Polars reads them, blanks around ignored; ``nan``, ``inf`` too |
| Boolean | ``true`` ``false`` in any case |
| Datetime | ISO 8601, seconds and fraction optional, ``T`` or a blank; text without a zone is UTC |
| Date, Time | ``2024-01-31``, ``13:59:59.5`` |
| Enum, Categorical, String, Binary | as they are |

A number too large for its column is refused, never wrapped or turned into infinity.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from penstock.connectors.formats.contract import errors_table
from penstock.connectors.formats.uniform_iso import FEW, few_iso, uniform_iso
from penstock.deferred import numpy as np

Converted = tuple[pl.Series, pl.Series]
"""The values, and which of them (Boolean) could not be converted."""

ISO_DATETIME = (
    r"^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?)?$"
)
_WITHOUT_ZONE = (
    r"^[0-9]{4}-[0-9][0-9]-[0-9][0-9][T ][0-9][0-9]:[0-9][0-9]:[0-9][0-9](?:\.[0-9]{1,9})?$"
)
SHOWN = 80
"""Characters of an offending value that a reason quotes."""

NANOSECOND_YEARS = (1678, 2261)
"""Whole years that 64 bits of nanoseconds can hold; beyond them Polars wraps around."""


def castable(dtype: pl.DataType) -> bool:
    """Tell whether text can become ``dtype``."""
    return dtype.is_numeric() or dtype.base_type() in _READERS


def text_to(text: pl.Series, dtype: pl.DataType) -> Converted:
    """Convert a String series; null stays null, and what cannot be converted is marked."""
    reader = _READERS.get(dtype.base_type(), _number)
    values = reader(text, dtype)
    if not values.has_nulls():  # looking at each value costs a query
        return values, pl.Series(np.zeros(len(values), np.bool_))
    return values, values.is_null() & text.is_not_null()


def refused(column: str, dtype: pl.DataType, found: pl.Series, bad: pl.Series) -> pl.DataFrame:
    """Return the errors of a column: which rows, with the column, the value and the type."""
    index = bad.arg_true().cast(pl.UInt32)
    values = found.gather(index).to_list()
    if dtype.is_nested():
        reasons = [
            f"column {column}: a value inside {v!s:.{SHOWN}} does not fit {dtype}" for v in values
        ]
    else:
        reasons = [f"column {column}: cannot read {v!r:.{SHOWN}} as {dtype}" for v in values]
    return errors_table(index, reasons)


def cast_columns(
    text: pl.DataFrame, schema: pl.Schema, *, empty_is_null: bool = False
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Give the String columns of ``schema`` their types; return also the errors, by column."""
    columns, errors = [], []
    for name, dtype in schema.items():
        values, bad = text_to(text[name], dtype)
        if empty_is_null and bad.any():
            bad &= text[name] != ""
        if bad.any():
            errors.append(refused(name, dtype, text[name], bad))
        columns.append(values.alias(name))
    return pl.DataFrame(columns), errors


def _number(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    values = text.cast(dtype, strict=False)
    if values.null_count() == text.null_count():
        return values
    return text.str.strip_chars().cast(dtype, strict=False)


def _float(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    values = _number(text, dtype)
    endless = values.is_infinite()
    if not endless.any():
        return values
    said = text.str.to_lowercase().str.contains(r"^\s*[+-]?inf(?:inity)?\s*$")
    return values.set(endless & ~said, None)


def _boolean(text: pl.Series, _: pl.DataType) -> pl.Series:
    low = pl.col("t").str.strip_chars().str.to_lowercase()
    value = pl.when(low == "true").then(statement=True).when(low == "false").then(statement=False)
    return text.alias("t").to_frame().select(value.otherwise(None)).to_series()


def _datetime(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    assert isinstance(dtype, pl.Datetime)
    return _iso(text, dtype.time_unit or "us").cast(dtype)


def _iso(text: pl.Series, unit: pl._typing.TimeUnit) -> pl.Series:
    """Read ISO instants as UTC: at once where all are alike, or carry a zone; else rewritten."""
    read = None
    if not text.has_nulls():
        read = few_iso(text, unit) if len(text) <= FEW else uniform_iso(text, unit)
    return _any_iso(text, unit) if read is None else read


def _any_iso(text: pl.Series, unit: pl._typing.TimeUnit) -> pl.Series:
    representable = _representable(text, unit)
    if not representable.all():
        text = text.set(~representable, None)
    if all(part.str.contains(_WITHOUT_ZONE).all() for part in (text.head(1), text)):
        text = text.str.replace(" ", "T", literal=True) + "Z"
    values = text.str.to_datetime("%+", time_unit=unit, time_zone="UTC", strict=False)
    missing = values.is_null() & text.is_not_null()
    if not missing.any():
        return values
    parts = text.filter(missing).str.strip_chars().str.extract_groups(ISO_DATETIME).struct.unnest()
    day, minute, second, zone = (pl.col(name) for name in parts.columns)
    zoned = zone.str.to_uppercase().fill_null("Z")
    whole = day + "T" + minute.fill_null("00:00") + second.fill_null(":00") + zoned
    again = (
        parts.select(whole)
        .to_series()
        .str.to_datetime("%+", time_unit=unit, time_zone="UTC", strict=False)
    )
    return values.scatter(missing.arg_true(), again)


def _representable(text: pl.Series, unit: str) -> pl.Series:
    """Tell which texts begin with a year of four digits that ``unit`` can hold."""
    if unit != "ns":
        return text.str.contains(r"^\s*\d{4}-") | text.is_null()
    first, last = NANOSECOND_YEARS
    year = text.str.extract(r"^\s*(\d{4})-").cast(pl.Int32, strict=False)
    return (year.is_between(first, last) | text.is_null()).fill_null(value=False)


def _date(text: pl.Series, _: pl.DataType) -> pl.Series:
    exact = text.str.strip_chars()
    shaped = exact.str.contains(r"^\d{4}-\d\d-\d\d$")
    return exact.set(~shaped, None).str.to_date("%Y-%m-%d", strict=False)


def _time(text: pl.Series, _: pl.DataType) -> pl.Series:
    parts = text.str.strip_chars().str.extract_groups(r"^(\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?$")
    clock = pl.col("1") + pl.col("2").fill_null(":00")
    return parts.struct.unnest().select(clock).to_series().str.to_time("%H:%M:%S%.f", strict=False)


def _as_is(text: pl.Series, dtype: pl.DataType) -> pl.Series:
    return text.cast(dtype, strict=False)


_READERS: dict[type[pl.DataType] | pl.DataType, Callable[[pl.Series, pl.DataType], pl.Series]] = {
    pl.String: _as_is,
    pl.Binary: _as_is,
    pl.Categorical: _as_is,
    pl.Enum: _as_is,
    pl.Boolean: _boolean,
    pl.Datetime: _datetime,
    pl.Date: _date,
    pl.Time: _time,
    pl.Float32: _float,
    pl.Float64: _float,
}
