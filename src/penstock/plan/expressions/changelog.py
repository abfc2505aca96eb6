"""Partials of rows that carry ``_weight``: each is a sum, so that a deletion cancels exactly."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from penstock.columns import WEIGHT
from penstock.plan.expressions.partials import Aggregation, Partial, Split, mean, variance

_WIDE = pl.Int128()
_SQUARABLE = (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.Boolean)
"""Types whose exact sums of squares, times a count, stay inside Int128 up to 2**31 rows."""


def split(aggregation: Aggregation) -> Split | None:
    """Split an aggregation into sums linear in ``_weight``; None if it has no exact ones."""
    make = _SPLITS.get(aggregation.kind)
    return None if make is None else make(aggregation)


def _sum_of(a: Aggregation, role: str, terms: pl.Expr, dtype: pl.DataType) -> Partial:
    name = a.name(f"w_{role}")
    taken = terms if a.rows is None else terms.filter(a.rows)
    return Partial(
        name,
        taken.sum().cast(dtype).alias(name),
        pl.col(name).sum().alias(name),
        dtype,
    )


def _value(a: Aggregation) -> pl.Expr:
    return pl.lit(1) if a.value is None else a.value


def _weight_where(condition: pl.Expr) -> pl.Expr:
    return pl.when(condition).then(pl.col(WEIGHT)).otherwise(0)


def tally(a: Aggregation, role: str, condition: pl.Expr | None) -> Partial:
    """Return the partial that adds up the weights of the rows where a condition holds."""
    terms = pl.col(WEIGHT) if condition is None else _weight_where(condition)
    return _sum_of(a, role, terms, pl.Int64())


def _counted(kept: Partial, a: Aggregation) -> Split:
    return Split((kept,), pl.col(kept.name).cast(a.out))


def _len(a: Aggregation) -> Split:
    return _counted(tally(a, "len", None), a)


def _values(a: Aggregation) -> Partial:
    return tally(a, "count", _value(a).is_not_null())


def _count(a: Aggregation) -> Split:
    return _len(a) if a.options["include_nulls"] else _counted(_values(a), a)


def _null_count(a: Aggregation) -> Split:
    return _counted(tally(a, "nulls", _value(a).is_null()), a)


def _has_nulls(a: Aggregation) -> Split:
    kept = tally(a, "nulls", _value(a).is_null())
    return Split((kept,), pl.col(kept.name) > 0)


def _exact_sum(a: Aggregation) -> Partial:
    """Sum of value times weight over the whole numbers that are stored for the type."""
    wide = _value(a).to_physical().cast(_WIDE)
    return _sum_of(a, "sum", wide * pl.col(WEIGHT).cast(_WIDE), _WIDE)


def _is_exact(dtype: pl.DataType | None) -> bool:
    """Tell whether sums of the stored values, times weights, stay inside Int128."""
    if dtype is None or dtype in (pl.Int128, pl.UInt128):
        return False
    return dtype.is_integer() or dtype.is_decimal() or dtype.is_temporal() or dtype == pl.Boolean


def _sum(a: Aggregation) -> Split | None:
    if not _is_exact(a.dtype):
        return None
    kept = _exact_sum(a)
    total = pl.col(kept.name)
    if isinstance(a.dtype, pl.Decimal):
        return Split((kept,), total.reinterpret(dtype=a.out))
    if isinstance(a.dtype, pl.Duration):
        return Split((kept,), total.cast(pl.Int64).cast(a.out))
    # Polars lets a sum that is too large wrap around
    return Split((kept,), total.cast(a.out, wrap_numerical=True))


def _mean(a: Aggregation) -> Split | None:
    if not _is_exact(a.dtype):
        return None
    total, count = _exact_sum(a), _values(a)
    return Split((total, count), mean(pl.col(total.name), pl.col(count.name), a))


def _spread(root: bool) -> Callable[[Aggregation], Split | None]:  # noqa: FBT001
    def make(a: Aggregation) -> Split | None:
        if not isinstance(a.dtype, _SQUARABLE):
            return None
        wide, weight = _value(a).cast(_WIDE), pl.col(WEIGHT).cast(_WIDE)
        total, count = _exact_sum(a), _values(a)
        powers = _sum_of(a, "powers", wide * wide * weight, _WIDE)
        n, s = pl.col(count.name).cast(_WIDE), pl.col(total.name)
        deviations = (n * pl.col(powers.name) - s * s).cast(pl.Float64) / n.cast(pl.Float64)
        finish = variance(pl.col(count.name), deviations, a.options[1], a.out, root=root)
        return Split((total, count, powers), finish)

    return make


def _any(a: Aggregation) -> Split:
    trues, nulls = tally(a, "true", _value(a)), tally(a, "nulls", _value(a).is_null())
    some = pl.col(trues.name) > 0
    if a.options["ignore_nulls"]:
        return Split((trues,), some)
    unknown = ~some & (pl.col(nulls.name) > 0)
    return Split((trues, nulls), pl.when(~unknown).then(some))


def _all(a: Aggregation) -> Split:
    falses, nulls = tally(a, "false", ~_value(a)), tally(a, "nulls", _value(a).is_null())
    every = pl.col(falses.name) <= 0
    if a.options["ignore_nulls"]:
        return Split((falses,), every)
    unknown = every & (pl.col(nulls.name) > 0)
    return Split((falses, nulls), pl.when(~unknown).then(every))


def _of_booleans(make: Callable[[Aggregation], Split]) -> Callable[[Aggregation], Split | None]:
    return lambda a: make(a) if a.dtype == pl.Boolean else None


_SPLITS: dict[str, Callable[[Aggregation], Split | None]] = {
    "Len": _len,
    "Agg.Count": _count,
    "NullCount": _null_count,
    "Agg.Sum": _sum,
    "Agg.Mean": _mean,
    "Agg.Var": _spread(root=False),
    "Agg.Std": _spread(root=True),
    "Boolean.HasNulls": _has_nulls,
    "Boolean.Any": _of_booleans(_any),
    "Boolean.All": _of_booleans(_all),
}
