"""Rows in and out of a user's functions: converted, called, and held to the declared schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from penstock.declared import held
from penstock.errors import PlanError
from penstock.operators.functions import POSITION, Answer
from penstock.operators.map import RowStep


class BatchFunction:
    """A function of whole frames. ``aligned``: it returns one row for each row, in order."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        output: pl.Schema,
        *,
        into: Callable[[pl.DataFrame], Any],
        back: Callable[[Any], Any],
        loose: bool,
        aligned: bool,
    ) -> None:
        self._function = function
        self._output = output
        self._into = into
        self._back = back
        self._loose = loose
        self._aligned = aligned

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Call the function once and hold its result to the schema."""
        given = self._back(self._function(self._into(frame)))
        result = fitted(given, self._output, "map_batches", loose=self._loose)
        if self._aligned and result.height != frame.height:
            raise PlanError(
                f"the function returned {result.height} rows for {frame.height}",
                step="map_batches",
                hint='leave out rows="same"',
            )
        return result

    def apply_by_row(self, frame: pl.DataFrame) -> Answer:
        """Call the function once if its rows can be told apart afterwards, else for each row."""
        if self._aligned:
            return self.apply(frame), np.arange(frame.height)
        parts = [self.apply(frame[i : i + 1]) for i in range(frame.height)]
        return pl.concat(parts), np.repeat(np.arange(frame.height), [p.height for p in parts])


class DictFunction:
    """A function from one row, as a dict, to a dict, some dicts or None."""

    def __init__(self, function: Callable[[dict[str, Any]], Any], output: pl.Schema) -> None:
        self._function = function
        self._output = output

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Call the function with each row."""
        return self.apply_by_row(frame)[0]

    def apply_by_row(self, frame: pl.DataFrame) -> Answer:
        """Call the function with each row."""
        rows: list[Mapping[str, Any]] = []
        places: list[int] = []
        for place, row in enumerate(frame.iter_rows(named=True)):
            given = as_rows(self._function(row))
            rows.extend(given)
            places.extend([place] * len(given))
        return frame_of(rows, self._output), np.array(places, dtype=np.int64)


class StepFunction:
    """A row step of the plan, its expressions not deterministic."""

    def __init__(self, row_step: RowStep) -> None:
        self._step = row_step

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Run the step."""
        return self.apply_by_row(frame)[0]

    def apply_by_row(self, frame: pl.DataFrame) -> Answer:
        """Run the step with the position of each row as a hidden column."""
        numbered = frame.with_columns(pl.Series(POSITION, np.arange(frame.height)))
        result: pl.DataFrame = self._step.apply(numbered, [POSITION])  # type: ignore[arg-type,assignment]
        return result.drop(POSITION), result[POSITION].to_numpy()


def as_rows(given: object) -> list[Mapping[str, Any]]:
    """Return what a function gave as a list of dicts; raises ``TypeError`` on anything else."""
    if given is None:
        return []
    found = [given] if isinstance(given, Mapping) else given
    if isinstance(found, Sequence) and all(isinstance(row, Mapping) for row in found):
        return list(found)
    kind = type(given).__name__
    raise TypeError(f"the function returned {kind}, not a dict, a list of dicts or None")


def frame_of(rows: Sequence[Mapping[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """Build a frame of dicts; a missing column is null.

    Raises ``TypeError`` naming the column and both types, also for a column that is not declared.
    """
    for row in rows:
        _check_names(row, schema)
    columns = [_column([row.get(n) for row in rows], n, t) for n, t in schema.items()]
    return pl.DataFrame(columns)


def held_row(row: Mapping[str, Any], schema: pl.Schema) -> dict[str, Any]:
    """Return a dict of all columns with values as the columns give them back.

    Raises ``TypeError`` as ``frame_of`` does.
    """
    _check_names(row, schema)
    return {name: held(name, row.get(name), dtype) for name, dtype in schema.items()}


def _check_names(row: Mapping[str, Any], schema: pl.Schema) -> None:
    if not row.keys() <= schema.keys():
        unknown = next(name for name in row if name not in schema)
        raise TypeError(f"column {unknown!r} is not declared; declared are {', '.join(schema)}")


def _column(values: list[Any], name: str, dtype: pl.DataType) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [held(name, v, dtype) for v in values], dtype=dtype, strict=True)


def fitted(given: object, schema: pl.Schema, step: str, *, loose: bool = False) -> pl.DataFrame:
    """Hold a frame that a function returned to the declared schema, in whatever order its columns.

    ``loose`` converts columns that lose nothing by it: pandas knows no integers with nulls.
    """
    if not isinstance(given, pl.DataFrame):
        raise PlanError(f"the function returned {type(given).__name__}, not a frame", step=step)
    for name, dtype in schema.items():
        if name not in given.schema:
            raise PlanError(
                f"the function returned no column {name!r}", step=step, alternatives=given.columns
            )
        if given.schema[name] != dtype:
            given = given.with_columns(_converted(given[name], dtype, step, loose=loose))
    extra = [name for name in given.columns if name not in schema]
    if extra:
        raise PlanError(
            f"the function returned a column {extra[0]!r}, which is not in the schema",
            step=step,
            value=extra[0],
            alternatives=list(schema),
            hint="declare it in schema=, or drop it in the function",
        )
    return given.select(*schema)


def _converted(column: pl.Series, dtype: pl.DataType, step: str, *, loose: bool) -> pl.Series:
    if column.null_count() == len(column):
        return pl.Series(column.name, [None] * len(column), dtype=dtype)
    if loose:
        if column.dtype.is_float() and not dtype.is_float():
            column = column.fill_nan(None)
        try:
            result = column.cast(dtype, strict=True)
        except pl.exceptions.PolarsError:
            result = None
        if result is not None and result.cast(column.dtype, strict=False).equals(column):
            return result
    raise PlanError(
        f"column {column.name!r} is declared {dtype}, the function returned {column.dtype}",
        step=step,
        hint="cast it in the function, or declare it in schema=",
    )
