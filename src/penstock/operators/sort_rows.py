"""SortRows and LimitRows: all rows in order at the end, and the first rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.instants import MAX_INSTANT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import consolidate, repeat_rows
from penstock.state.cell import Cell
from penstock.state.log import RowLog


class SortRows(Operator):
    """Hold all rows until the input ends, then emit them sorted.

    Rows that compare equal come in order of arrival, those of a changelog by all columns. State:
    all rows.
    """

    def __init__(
        self,
        schema: pl.Schema,
        sort: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        changelog: bool,
    ) -> None:
        self._sort, self._changelog = sort, changelog
        weight = {WEIGHT: pl.Int64()} if changelog else {}
        self._rows = RowLog(pl.Schema({**schema, **weight}))
        self.state = {"rows": self._rows}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; at the end let them go."""
        if deltas[0] is not None:
            self._rows.append(deltas[0])
        if tick.watermark < MAX_INSTANT or not len(self._rows):
            return None
        rows = self._rows.read()
        self._rows.replace([])
        if self._changelog:
            rows = repeat_rows(consolidate(rows))
            sortable = [name for name, dtype in rows.schema.items() if not dtype.is_nested()]
            rows = rows.sort(sortable, maintain_order=True) if sortable else rows
        return self._sort(rows) if rows.height else None


class LimitRows(Operator):
    """Let the first ``count`` rows through. State: how many have passed."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._passed: Cell = Cell(0)
        self.state = {"passed": self._passed}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Pass what is missing to the count."""
        delta = deltas[0]
        if delta is None or self._passed.value >= self._count:
            return None
        rows = delta.head(self._count - self._passed.value)
        self._passed.value += rows.height
        return rows
