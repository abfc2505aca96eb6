"""Whether an expression keeps the order of a time zone's local times, found by trying them."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import polars as pl

SINCE = dt.datetime(1972, 1, 1, tzinfo=dt.UTC)
"""From here on all offsets are whole minutes; nothing is said of earlier times."""

_UNTIL = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
_MINUTES = range(-3 * 60, 3 * 60)
_HOURS = range(-36, 36)
"""What is tried around a change of offset: minutes near it, hours further off, where two results
that lengths of more than an hour are rounded to cannot both fall between two hours. Beyond, an
expression that rounds down on local time does the same everywhere, as the offset stays the same."""


def keeps_order(expr: pl.Expr, column: str, dtype: pl.Datetime) -> bool:
    """Tell whether an expression that keeps the order of plain times keeps it in a zone too.

    ``ts.dt.truncate("45m")`` in New York does not: where an hour comes twice, its second half is
    rounded to an earlier instant than its first. Each minute near each change of the zone's offset
    is tried, from 1972 to 2100; an expression that fails on one (local times that are not there)
    does not keep order.
    """
    return _kept(expr.meta.serialize(), column, dtype)


@lru_cache(maxsize=256)
def _kept(serialized: bytes, column: str, dtype: pl.Datetime) -> bool:
    assert dtype.time_zone is not None
    times = _times(dtype.time_zone).cast(dtype).alias(column)
    try:
        found = times.to_frame().select(pl.Expr.deserialize(serialized)).to_series()
    except pl.exceptions.PolarsError:
        return False
    return not found.null_count() and found.is_sorted()


@lru_cache(maxsize=8)
def _times(zone: str) -> pl.Series:
    """Return the instants to try, in order: minutes and hours around each change of offset."""
    hours = pl.datetime_range(SINCE, _UNTIL, "1h", eager=True).dt.convert_time_zone(zone)
    offsets = hours.dt.base_utc_offset() + hours.dt.dst_offset()
    changed = (offsets != offsets.shift(1)).fill_null(value=False)
    return _spread(hours.filter(changed))


def _spread(changes: pl.Series) -> pl.Series:
    """Return the times around some instants, each once."""
    offsets = pl.DataFrame({"minute": sorted({*_MINUTES, *(hour * 60 for hour in _HOURS)})})
    pairs = changes.alias("change").to_frame().join(offsets, how="cross")
    times = pairs.select(pl.col("change") + pl.duration(minutes="minute")).to_series()
    return times.unique().sort()
