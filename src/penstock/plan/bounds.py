"""How the bounds that a watermark puts on columns pass through expressions and windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from penstock.instants import MIN_INSTANT, Through, interval_literal, is_event_time
from penstock.plan.expressions import fingerprint, monotone_in, slack_ns
from penstock.plan.expressions.zones import SINCE
from penstock.plan.properties import TimeBound
from penstock.windows import Hopping

PROVEN_SINCE = int(SINCE.timestamp()) * 1_000_000_000
_DAY_NS = 86_400_000_000_000


def carried_bound(
    expr: pl.Expr, schema: pl.Schema, times: Mapping[str, TimeBound]
) -> TimeBound | None:
    """Return the bound of an expression's result, if it never decreases in one bounded column.

    ``ts.dt.truncate("1h")``, where ``ts >= W`` -> the hour of ``W``. A copy has the bound of its
    column; a function in whose time zone days or hours may repeat has none.
    """
    bare = expr.meta.undo_aliases()
    if bare.meta.is_column():
        return times.get(bare.meta.output_name())
    roots = bare.meta.root_names()
    if len(roots) != 1 or roots[0] not in times:
        return None
    column = monotone_in(bare, schema)
    if column is None:
        return None
    before = schema[column]
    after = pl.DataFrame(schema={column: before}).select(bare).to_series().dtype
    if not (is_event_time(before) and is_event_time(after)):
        return None
    zoned = getattr(before, "time_zone", None) not in (None, "UTC")
    # A local day may be longer than 24 hours, so that nothing is said of how far it lags behind.
    slack, since = (None, PROVEN_SINCE) if zoned else (slack_ns(bare), MIN_INSTANT)
    function = Through(column, bare, fingerprint(bare), before, after, slack, since)
    return times[column].then(function)


def carried_bounds(
    exprs: Iterable[pl.Expr], schema: pl.Schema, times: Mapping[str, TimeBound]
) -> dict[str, TimeBound]:
    """Return the bounds of the results by output name, of those that have one."""
    if not times:
        return {}
    found = ((expr.meta.output_name(), carried_bound(expr, schema, times)) for expr in exprs)
    return {name: bound for name, bound in found if bound is not None}


def start_bound(bound: TimeBound, window: Hopping, column: str, dtype: pl.DataType) -> TimeBound:
    """Return the bound of the starts of windows over a bounded column, each emitted at its end.

    Starts lie on a grid: at 12:34 an hour that is still to come is 12:00 or a later one. Where
    local time repeats hours only the length is used.
    """
    if _is_local(window, dtype):
        return _moved(bound, column, dtype, -longest_ns(window, dtype))
    grid = window.start_of(column, dtype, window.slide)
    floor = Through(column, grid, fingerprint(grid), dtype, dtype, window.slide_ns)
    if window.kind == "tumbling":
        return bound.then(floor)
    # The first start after the last one whose window has ended.
    ended = _moved(bound, column, dtype, -window.size_ns).then(floor)
    return _moved(ended, column, dtype, window.slide_ns)


def _moved(bound: TimeBound, column: str, dtype: pl.DataType, by_ns: int) -> TimeBound:
    """Return the bound of the column and a fixed time."""
    expr = pl.col(column) + interval_literal(by_ns, dtype)
    return bound.then(Through(column, expr, fingerprint(expr), dtype, dtype, -by_ns))


def longest_ns(window: Hopping, dtype: pl.DataType) -> int:
    """Return how long a window can be: a local day may be repeated where a zone moves."""
    days = any(unit in window.size for unit in ("d", "w", "mo", "q", "y"))
    return window.size_ns + (_DAY_NS if days and _is_local(window, dtype) else 0)


def _is_local(window: Hopping, dtype: pl.DataType) -> bool:
    return bool({window.time_zone, getattr(dtype, "time_zone", None)} - {None, "UTC"})
