"""What DuckDB answers to the same query over the same tables, with PostgreSQL's order of nulls."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl

CLOSE = 1e-6
"""DuckDB's averages and quotients are floats where ours may be decimals."""


class DuckDB:
    """Tables as they are now, and answers over them."""

    def __init__(self, tables: Mapping[str, pl.DataFrame]) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        for name, frame in tables.items():
            self._connection.register(name, frame)

    def answer(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._connection.execute(query).fetchall()


def same_rows(found: Iterable[tuple[Any, ...]], wanted: Iterable[tuple[Any, ...]]) -> bool:
    """Compare bags of rows; numbers may differ in their type and in the last digits."""
    one, two = (
        sorted((tuple(map(_plain, row)) for row in rows), key=_order) for rows in (found, wanted)
    )
    return len(one) == len(two) and all(map(_close_rows, one, two))


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return float(value)
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _order(row: tuple[Any, ...]) -> list[tuple[str, str]]:
    shown = (f"{round(v, 3) + 0.0:.3f}" if isinstance(v, float) else str(v) for v in row)
    return [(type(v).__name__, text) for v, text in zip(row, shown, strict=True)]


def _close_rows(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    return len(one) == len(two) and all(map(_close, one, two))


def _close(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=CLOSE, abs_tol=CLOSE) or (one != one and two != two)
    return bool(one == two)
