"""Rows as the page shows them: plain values, and the chart that suits their columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import polars as pl

from penstock.dashboard.views import Chart, ColumnView, LetterView, RowsView
from penstock.runtime.progress import Rows

SHOWN_ROWS = 500
_TEXT_LENGTH = 300
_MAX_BARS = 50
_LINES = 4
_SPREAD = 12
"""Distinct values below which a number is a code (a status, a level), and no quantity."""

_SAFE_INTEGER = 2**53
_NOT_DRAWN = ("window_end",)


def rows_view(found: Rows) -> RowsView:
    """Return the last rows as plain values; an empty frame as no rows."""
    frame = found.frame.tail(SHOWN_ROWS)
    columns = [_column(name, dtype) for name, dtype in frame.schema.items()]
    chart, x, y = chart_of(frame, columns, view=found.view, key=found.key)
    return RowsView(
        columns=columns,
        rows=[list(row) for row in zip(*map(_values, frame.get_columns()), strict=True)],
        total=found.frame.height,
        age=max(0.0, time.perf_counter() - found.taken),
        view=found.view,
        key=list(found.key),
        too_large=found.too_large,
        chart=chart,
        x=x,
        y=y,
    )


def chart_of(
    frame: pl.DataFrame, columns: Sequence[ColumnView], *, view: bool, key: Sequence[str]
) -> tuple[Chart | None, str | None, list[str]]:
    """Choose a chart: over time, of a view's rows by name, or how one number is distributed."""
    numbers = [c.name for c in columns if c.kind == "number" and c.name not in key][:_LINES]
    times = [c.name for c in columns if c.kind == "instant" and c.name not in _NOT_DRAWN]
    names = [c.name for c in columns if c.kind in ("text", "flag") or c.name in key]
    names = [name for name in names if name not in times]
    if not numbers or frame.height < 2:
        return None, None, []
    if times and not names:
        return "time", times[0], numbers
    if names and view and frame.height <= _MAX_BARS:
        return "bars", names[0], numbers[:1]
    spread = [name for name in numbers if frame[name].n_unique() >= _SPREAD]
    return ("histogram", spread[0], spread[:1]) if spread else (None, None, [])


def _column(name: str, dtype: pl.DataType) -> ColumnView:
    return ColumnView(name, str(dtype), _kind(dtype))


def _kind(dtype: pl.DataType) -> Literal["number", "instant", "text", "flag", "other"]:
    if dtype.is_numeric():
        return "number"
    if dtype in (pl.Datetime, pl.Date):
        return "instant"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    return "flag" if dtype == pl.Boolean else "other"


def _values(column: pl.Series) -> list[float | int | str | bool | None]:
    kind = _kind(column.dtype)
    if kind == "instant":
        return column.cast(pl.Datetime("ms")).cast(pl.Int64).to_list()
    if column.dtype.is_float():
        return column.cast(pl.Float64).to_list()
    if column.dtype.is_integer():
        return [_integer(value) for value in column.to_list()]
    if kind == "flag":
        return column.to_list()
    return [None if value is None else _text(value) for value in column.to_list()]


def _integer(value: int | None) -> int | str | None:
    """Return what a page reads without loss: JavaScript's numbers end at 2**53."""
    return value if value is None or abs(value) < _SAFE_INTEGER else str(value)


def _text(value: object) -> str:
    said = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return said if len(said) <= _TEXT_LENGTH else f"{said[: _TEXT_LENGTH - 1]}…"


def letter_views(letters: pl.DataFrame) -> list[LetterView]:
    """Return dead letters, the latest first."""
    latest = letters.filter(pl.col("weight") > 0).tail(SHOWN_ROWS).reverse()
    return [
        LetterView(
            time=row["time"].isoformat(),
            operator=row["operator"],
            step=row["step"],
            position=row["position"] or "",
            reason=row["reason"],
            bytes=_text(row["bytes"] or b""),
        )
        for row in latest.iter_rows(named=True)
    ]
