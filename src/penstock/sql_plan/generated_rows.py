"""``generate_series``: whole numbers, or instants a step of time apart, as rows."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Iterator

import polars as pl
from sqlglot import exp

from penstock.scans import scan_batches
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation, relation_of
from penstock.sql_plan.values import Value, literal_as

_MOST = 10_000_000
"""Rows that a series has at most: it is made at once, in memory."""


def series(context: Context, node: exp.Expr, table: str | None, columns: list[str]) -> Relation:
    """Return the rows of ``generate_series(start, end [, step])``; the end is one of them.

    Of dates they are instants at midnight, in UTC, as in PostgreSQL.
    """
    if not isinstance(node, (exp.GenerateSeries, exp.ExplodingGenerateSeries)):
        raise refuse(node, "this function does not give rows")
    scalars = scalars_over(pl.Schema())
    parts = [node.args["start"], node.args["end"], *filter(None, [node.args.get("step")])]
    bounds = [scalars.value(part) for part in parts if not part.find(exp.Column)]
    if len(bounds) < len(parts) or not all(bound.constant for bound in bounds):
        raise refuse(node, "a bound of generate_series must be a constant")
    name = table or "generate_series"
    values = _values(node, bounds).alias("generate_series")
    return relation_of(scan_batches([values.to_frame()]), name, context.names, columns or [name])


def _values(node: exp.Expr, bounds: list[Value]) -> pl.Series:
    if any(bound.literal is None for bound in bounds):
        return pl.Series([], dtype=pl.Int64)
    if all(bound.dtype.is_integer() for bound in bounds):
        start, end, step = (*(int(bound.literal) for bound in bounds), 1)[:3]
        return pl.Series(_range(node, start, end, step), dtype=pl.Int64)
    if len(bounds) == 3 and bounds[2].is_interval:
        return _instants(node, bounds)
    raise refuse(node, "generate_series takes whole numbers, or instants and an INTERVAL")


def _range(node: exp.Expr, start: int, end: int, step: int) -> range:
    if step == 0:
        raise refuse(node, "the step of generate_series cannot be zero")
    found = range(start, end + (1 if step > 0 else -1), step)
    if len(found) > _MOST:
        raise refuse(node, f"generate_series gives at most {_MOST} rows")
    return found


def _instants(node: exp.Expr, bounds: list[Value]) -> pl.Series:
    start, end, step = bounds
    given = [bound.dtype for bound in (start, end) if bound.dtype != pl.String]
    zoned = [t for t in given if t == pl.Date or (isinstance(t, pl.Datetime) and t.time_zone)]
    if not given or not all(t in (pl.Date, pl.Datetime) for t in given):
        raise refuse(node, "with an INTERVAL, generate_series takes dates and timestamps")
    dtype = pl.Datetime("us", "UTC" if zoned else None)
    first, last = (_micros(bound) for bound in (start, end))
    micros = int(step.literal)
    if not step.months:
        return pl.Series(_range(node, first, last, micros), dtype=pl.Int64).cast(dtype)
    if (step.months > 0) != (micros >= 0) and micros:
        raise refuse(node, "a step of generate_series goes in one direction")
    found = [*_by_months(first, last, step.months, micros)]
    return pl.Series(found, dtype=pl.Int64).cast(dtype)


def _micros(bound: Value) -> int:
    zone = bound.dtype.time_zone if isinstance(bound.dtype, pl.Datetime) else None
    read = literal_as(bound, pl.Datetime("us")) if bound.dtype == pl.String else bound
    instant = pl.Series([read.literal], dtype=read.dtype)
    return int(instant.cast(pl.Datetime("us", zone)).to_physical().item())


def _by_months(at: int, last: int, months: int, micros: int) -> Iterator[int]:
    """Add the step again and again; of a month without that day it is the last day, from then on."""
    epoch = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - arithmetic of plain days
    while (at <= last) if months > 0 else (at >= last):
        yield at
        day = epoch + datetime.timedelta(microseconds=at)
        count = day.year * 12 + day.month - 1 + months
        year, month = count // 12, count % 12 + 1
        here = min(day.day, calendar.monthrange(year, month)[1])
        moved = day.replace(year=year, month=month, day=here) - epoch
        at = moved // datetime.timedelta(microseconds=1) + micros
