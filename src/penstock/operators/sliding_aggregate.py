"""SlidingAggregate: a window that ends at every row, each emitted when the watermark is past it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from penstock.instants import AT_WATERMARK, MIN_INSTANT, Reach, to_unit
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.sessions import TIME, instants
from penstock.state.cell import Cell
from penstock.state.log import RowLog
from penstock.windows import END, START


class SlidingAggregate(Operator):
    """Aggregate append-only rows over ``(t - size, t]``, one result a row.

    Rows of one time see each other; within a window rows are in order of time, then of arrival. A
    row's result is emitted when the watermark is above its time. State: the rows not yet emitted
    and those of the last ``size`` before the watermark. ``reach`` says up to
    which instant the column is complete: that of a window's start lags behind.
    """

    def __init__(
        self,
        evaluate: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        schema: pl.Schema,
        column: str,
        size: int,
        reach: Reach = AT_WATERMARK,
    ) -> None:
        self._evaluate = evaluate
        self._column, self._dtype, self._size = column, schema[column], size
        self._reach = reach
        self._rows = RowLog(schema)
        self._closed: Cell = Cell(MIN_INSTANT)
        self.state = {"rows": self._rows, "closed": self._closed}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; emit the results that nothing can change any more."""
        if deltas[0] is not None:
            self._rows.append(deltas[0].filter(pl.col(self._column).is_not_null()))
        reached = self._reach.at(tick.watermark)
        return self._close(reached) if reached > self._closed.value else None

    def _close(self, watermark: int) -> Delta | None:
        before = to_unit(self._closed.value, self._dtype)
        bound = to_unit(watermark, self._dtype)
        self._closed.value = watermark
        time = pl.col(self._column).to_physical().cast(pl.Int64)
        rows = self._rows.read()
        ready = rows.filter(time < bound)
        if not ready.height:
            return None
        kept = rows.filter(time > bound - self._size)
        if kept.height < rows.height:
            self._rows.replace([kept])
        if not ready.select((time >= before).any()).item():
            return None
        end = pl.col(END).to_physical().cast(pl.Int64)
        return self._evaluate(ready).filter(end >= before)


def slides_of(
    column: str,
    dtype: pl.DataType,
    size: int,
    keys: tuple[pl.Expr, ...],
    aggs: tuple[pl.Expr, ...],
    output: Sequence[str],
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return the function from all rows of some keys to the window that ends at each of them."""

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.filter(pl.col(column).is_not_null())
        rows = rows.with_columns(pl.col(column).to_physical().cast(pl.Int64).alias(TIME))
        rows = rows.sort(TIME, maintain_order=True)
        rolled = rows.rolling(
            TIME, period=f"{size}i", closed="right", group_by=list(keys) or None
        ).agg(*aggs)
        time = pl.col(TIME)
        start, end = instants(time - size, dtype), instants(time, dtype)
        return rolled.with_columns(start.alias(START), end.alias(END)).select(*output)

    return evaluate
