"""Whatever Python calls a table, as a Polars frame of the expected schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import polars as pl

from penstock.errors import ConnectorError, Fault


@runtime_checkable
class ArrowTable(Protocol):
    """Anything that speaks the Arrow C stream interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the table."""


FrameLike = pl.DataFrame | pl.LazyFrame | ArrowTable | Mapping[str, Sequence[object]]


def to_frame(table: object, schema: pl.Schema | None, number: int, step: str) -> pl.DataFrame:
    """Convert frame ``number`` (from 1) and hold it to ``schema``, if that is known."""
    try:
        frame = _convert(table, schema)
    except ConnectorError:
        raise
    except Exception as error:
        raise ConnectorError(
            f"frame {number} cannot be read as a table: {error}",
            step=step,
            value=type(table).__name__,
            fault=Fault.USER,
        ) from error
    return frame if schema is None else _fit(frame, schema, number, step)


def _convert(table: object, schema: pl.Schema | None) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if type(table).__module__.split(".")[0] == "pandas":
        return pl.from_pandas(table)
    if isinstance(table, Mapping):
        known = {name: dtype for name, dtype in (schema or {}).items() if name in table}
        return pl.DataFrame(dict(table), schema_overrides=known)
    if isinstance(table, ArrowTable):
        return pl.DataFrame(table)
    raise TypeError(
        f"{type(table).__name__} is no Polars, pandas or Arrow table and no dict of lists"
    )


def _fit(frame: pl.DataFrame, schema: pl.Schema, number: int, step: str) -> pl.DataFrame:
    """Return the columns in order; a column of nulls only takes the expected type."""
    if frame.schema == schema:
        return frame
    for name, dtype in schema.items():
        if name not in frame.columns:
            raise _misfit(number, step, f"has no column {name!r} ({dtype})", name)
        given = frame.schema[name]
        if given not in (dtype, pl.Null):
            raise _misfit(number, step, f"has column {name!r} as {given}, not {dtype}", name)
    for name in frame.columns:
        if name not in schema:
            what = f"has a column {name!r} ({frame.schema[name]}) that the first frame has not"
            raise _misfit(number, step, what, name)
    return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _misfit(number: int, step: str, what: str, column: str) -> ConnectorError:
    return ConnectorError(
        f"frame {number} {what}",
        step=step,
        value=column,
        fault=Fault.USER,
        hint="cast the frames, or give schema=",
    )
