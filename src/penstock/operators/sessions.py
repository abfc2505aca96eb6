"""Which rows of a key follow each other closely enough to be one session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.operators.recompute import SLOT
from penstock.state.arrays import Ids
from penstock.windows import END, START

TIME = "_penstock_time"
"""Int64; the event time in the unit of its column."""

_SESSION = "_penstock_session"


@dataclass(frozen=True, slots=True)
class Chains:
    """Spans put together: ``number`` says for each span its chain, chains ascend by group and time.

    ``group``, ``first`` and ``last`` are of the chains.
    """

    number: Ids
    group: Ids
    first: Ids
    last: Ids


def chain(groups: Ids, firsts: Ids, lasts: Ids, gap: int) -> Chains:
    """Put the spans of a group together that are at most ``gap`` apart.

    Group 7, gap 10: ``[0, 5] [30, 31] [12, 18]`` -> ``[0, 18] [30, 31]``, numbers ``0 1 0``.
    """
    order = _order(groups, firsts)
    groups, firsts, lasts = groups[order], firsts[order], lasts[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = groups[1:] != groups[:-1]
    reach = _highest_so_far(lasts, fresh)
    fresh[1:] |= firsts[1:] - reach[:-1] > gap
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(fresh) - 1
    starts = np.flatnonzero(fresh)
    ends = np.append(starts[1:], len(order)) - 1
    return Chains(number, groups[starts], firsts[starts], reach[ends] if len(order) else lasts)


def _order(groups: Ids, firsts: Ids) -> Ids:
    """Return the order by group, then time: one sort of packed integers where they fit."""
    if not len(groups):
        return groups
    low = int(firsts.min())
    span = int(firsts.max()) - low + 1
    order: Ids
    if (int(groups.max()) + 1) * span < 2**62:
        order = np.argsort(groups * span + (firsts - low))
    else:
        order = np.lexsort((firsts, groups))
    return order


def _highest_so_far(values: Ids, fresh: np.ndarray) -> Ids:
    """Return the running maximum, begun afresh where ``fresh`` is true."""
    if not len(values):
        return values
    low = values.min()
    span = values.max() - low + 1
    run = np.cumsum(fresh) - 1
    if int(span) * int(run[-1] + 1) >= 2**62:  # does not fit: years of nanoseconds, many groups
        column = pl.DataFrame({"run": run, "value": values})
        return column.select(pl.col("value").cum_max().over("run")).to_series().to_numpy()
    lifted = np.maximum.accumulate(values - low + run * span)
    highest: Ids = lifted - run * span + low
    return highest


def physical(frame: pl.DataFrame, column: str) -> Ids:
    """Return an event-time column as integers of its unit."""
    values: Ids = frame[column].to_physical().cast(pl.Int64).to_numpy()
    return values


def sessions_of(
    column: str, gap: int, keys: tuple[pl.Expr, ...], aggs: tuple[pl.Expr, ...]
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Return the function from the rows of some keys, told apart by ``SLOT``, to their sessions."""

    def evaluate(rows: pl.DataFrame) -> pl.DataFrame:
        rows = rows.filter(pl.col(column).is_not_null())
        times = physical(rows, column)
        found = chain(rows[SLOT].to_numpy(), times, times, gap)
        rows = rows.with_columns(pl.Series(_SESSION, found.number, dtype=pl.Int64))
        start, last = pl.col(column).min(), pl.col(column).max().to_physical().cast(pl.Int64)
        grouped = rows.group_by(SLOT, *keys, _SESSION, maintain_order=True)
        dtype = rows.schema[column]
        end = instants(last + gap, dtype)
        return grouped.agg(start.alias(START), end.alias(END), *aggs)

    return evaluate


def instants(values: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Turn integers of its unit back into an event-time column."""
    return values.cast(pl.Int32).cast(dtype) if isinstance(dtype, pl.Date) else values.cast(dtype)
