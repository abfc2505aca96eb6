"""Aggregations kept as counts of distinct values, or as exact sums of floats.

They have no linear partials, but an operator can keep them up to date from a delta alone:

    a.n_unique()                 how many values have a count
    a.min(), a.max()             the extreme of the values that have a count
    f.sum(), f.mean()            of floats: an exact sum, from which a deletion cancels
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

import polars as pl

from penstock.plan.expressions import changelog, partials
from penstock.plan.expressions.partials import Aggregation, Split

_KEYS = (
    pl.Boolean,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Datetime,
    pl.Time,
    pl.Duration,
    pl.Decimal,
)


class CountedKind(enum.Enum):
    """What is kept up to date."""

    N_UNIQUE = "n_unique"
    MIN = "min"
    MAX = "max"
    NAN_MIN = "nan_min"
    NAN_MAX = "nan_max"
    SUM = "sum"  # of finite floats, exactly


@dataclass(frozen=True, slots=True)
class Counted:
    """One kept column: ``kind`` of the values of ``value`` in the rows where ``rows`` is true.

    ``source`` is the same for all that read the same values of the same rows, ``values`` for all
    that read the same values of any rows.
    """

    name: str
    kind: CountedKind
    value: pl.Expr
    rows: pl.Expr | None
    source: str
    values: str
    dtype: pl.DataType


@dataclass(frozen=True, slots=True)
class CountedSplit:
    """An aggregation as kept columns, linear partials beside them, and a finish."""

    counted: tuple[Counted, ...]
    split: Split


def split(a: Aggregation, *, linear: bool) -> CountedSplit | None:
    """Split an aggregation into columns that can be kept; None if there is no way.

    With ``linear`` rows may be deleted, and carry a weight.
    """
    if a.kind in ("Agg.NUnique", "ApproxNUnique"):
        return _n_unique(a)
    if not linear:
        return None
    if a.kind in ("Agg.Min", "Agg.Max"):
        return _extreme(a)
    if a.kind in ("Agg.Sum", "Agg.Mean") and isinstance(a.dtype, (pl.Float32, pl.Float64)):
        return _float_sum(a)
    return None


def _counted(a: Aggregation, kind: CountedKind, dtype: pl.DataType) -> Counted:
    value = a.value
    assert value is not None
    if kind is CountedKind.SUM:
        value = value.cast(pl.Float64)
    name = a.name(f"c_{kind.value}")
    values = replace(a, rows=None).name("values")
    return Counted(name, kind, value, a.rows, a.name("source"), values, dtype)


def _can_be_counted(a: Aggregation) -> bool:
    return (
        a.value is not None
        and a.dtype is not None
        and (a.dtype.is_numeric() or isinstance(a.dtype, _KEYS))
    )


def _n_unique(a: Aggregation) -> CountedSplit | None:
    if not _can_be_counted(a):
        return None
    kept = _counted(a, CountedKind.N_UNIQUE, pl.Int64())
    return CountedSplit((kept,), Split((), pl.col(kept.name).cast(a.out)))


def _extreme(a: Aggregation) -> CountedSplit | None:
    if not _can_be_counted(a):
        return None
    which = a.kind.removeprefix("Agg.").lower()
    kind = CountedKind(f"nan_{which}" if a.options["propagate_nans"] else which)
    kept = _counted(a, kind, a.out)
    return CountedSplit((kept,), Split((), pl.col(kept.name)))


def _float_sum(a: Aggregation) -> CountedSplit:
    """The finite values exactly; NaN and the infinities are counted beside them."""
    assert a.value is not None
    kept = _counted(a, CountedKind.SUM, pl.Float64())
    nans = changelog.tally(a, "nan", a.value.is_nan())
    above = changelog.tally(a, "inf", a.value == float("inf"))
    below = changelog.tally(a, "minus_inf", a.value == float("-inf"))
    up, down = pl.col(above.name) > 0, pl.col(below.name) > 0
    total = (
        pl.when((pl.col(nans.name) > 0) | (up & down))
        .then(float("nan"))
        .when(up)
        .then(float("inf"))
        .when(down)
        .then(float("-inf"))
        .otherwise(pl.col(kept.name))
    )
    tallies = (nans, above, below)
    if a.kind == "Agg.Sum":
        return CountedSplit((kept,), Split(tallies, total.cast(a.out)))
    count = changelog.tally(a, "count", a.value.is_not_null())
    n = pl.col(count.name)
    mean = pl.when(n > 0).then(total / n).cast(a.out)
    return CountedSplit((kept,), Split((*tallies, count), mean))


Noted = Callable[[Counted], object]


def partials_or_counted(a: Aggregation, noted: Noted, *, linear: bool) -> Split | None:
    """Split into partial sums where there are any, else note what has to be kept."""
    plain = changelog.split(a) if linear else partials.split(a)
    if plain is not None:
        return plain
    found = split(a, linear=linear)
    if found is None:
        return None
    for counted in found.counted:
        noted(counted)
    return found.split
