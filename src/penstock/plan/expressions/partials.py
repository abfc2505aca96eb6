"""Partials of rows that are only ever added."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.plan.expressions.fingerprint import fingerprint

_WIDE_INTEGERS = (pl.Int64, pl.UInt64, pl.Int128, pl.UInt128)
"""Integers of which 2**32 may not fit into an Int64 together."""

_MICROSECONDS_PER_DAY = 86_400_000_000.0


@dataclass(frozen=True, slots=True)
class Partial:
    """One column kept per group: ``extract`` makes it from rows, ``merge`` from such rows."""

    name: str
    extract: pl.Expr
    merge: pl.Expr
    dtype: pl.DataType


@dataclass(frozen=True, slots=True)
class Split:
    """The partials of one aggregation, and what makes its value out of them."""

    partials: tuple[Partial, ...]
    finish: pl.Expr


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation read from an expression.

    ``kind`` is its name in ``tables.AGGREGATIONS``; ``value`` what it aggregates (None for
    ``pl.len()``); ``rows`` the predicate of a filter below it; ``out`` the type of its result;
    ``by`` what ``min_by`` looks at.
    """

    kind: str
    value: pl.Expr | None
    rows: pl.Expr | None
    dtype: pl.DataType | None
    out: pl.DataType
    options: Any
    by: pl.Expr | None = None
    key_dtype: pl.DataType | None = None

    @property
    def taken(self) -> pl.Expr:
        """The values it aggregates, as one expression."""
        value = pl.lit(0) if self.value is None else self.value
        return value if self.rows is None else value.filter(self.rows)

    def name(self, role: str) -> str:
        """Return a column name that is the same for the same role over the same rows."""
        read = "" if self.value is None else fingerprint(self.value)
        rows = "" if self.rows is None else fingerprint(self.rows)
        by = "" if self.by is None else fingerprint(self.by)
        return f"_penstock_{role}_{_short('/'.join((read, rows, by)))}"

    def length(self) -> pl.Expr:
        """Return the number of rows it takes."""
        return pl.len() if self.value is None else self.taken.len()


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def split(aggregation: Aggregation) -> Split | None:
    """Split an aggregation over rows that are only ever added; None if it does not split."""
    make = _SPLITS.get(aggregation.kind)
    return None if make is None else make(aggregation)


def partial(
    a: Aggregation, role: str, extract: pl.Expr, merge: Merge, dtype: pl.DataType
) -> Partial:
    """Name a partial and both its expressions."""
    name = a.name(role)
    return Partial(name, extract.cast(dtype).alias(name), merge(pl.col(name)).alias(name), dtype)


Merge = Callable[[pl.Expr], pl.Expr]


def _same(role: str, again: Merge) -> Callable[[Aggregation], Split]:
    """An aggregation that merges by itself: the minimum of minima."""

    def make(a: Aggregation) -> Split:
        kept = partial(a, role, again(a.taken), again, a.out)
        return Split((kept,), pl.col(kept.name))

    return make


def _total(expr: pl.Expr) -> pl.Expr:
    return expr.sum()


def _counted(a: Aggregation, role: str, count: pl.Expr) -> Split:
    kept = partial(a, role, count, _total, pl.Int64())
    return Split((kept,), pl.col(kept.name).cast(a.out))


def _len(a: Aggregation) -> Split:
    return _counted(a, "len", a.length())


def _count(a: Aggregation) -> Split:
    if a.options["include_nulls"]:
        return _len(a)
    return _counted(a, "count", a.taken.count())


def _null_count(a: Aggregation) -> Split:
    return _counted(a, "nulls", a.taken.null_count())


def _has_nulls(a: Aggregation) -> Split:
    kept = partial(a, "nulls", a.taken.null_count(), _total, pl.Int64())
    return Split((kept,), pl.col(kept.name) > 0)


def _sum(a: Aggregation) -> Split | None:
    if isinstance(a.dtype, pl.Null):
        return None
    kept = _wide_sum(a)
    return Split((kept,), pl.col(kept.name).cast(a.out))


def _wide_sum(a: Aggregation) -> Partial:
    """Floats are added up in Float64, so that parts do not lose more than the whole would."""
    values, dtype = a.taken, a.out
    if isinstance(a.dtype, pl.Float32):
        values, dtype = values.cast(pl.Float64), pl.Float64()
    return partial(a, "sum", values.sum(), _total, dtype)


def _extreme(which: str) -> Callable[[Aggregation], Split]:
    def make(a: Aggregation) -> Split:
        nan = "nan_" if a.options["propagate_nans"] else ""
        again: Merge = lambda e: getattr(e, f"{nan}{which}")()  # noqa: E731
        return _same(f"{nan}{which}", again)(a)

    return make


def _moments(a: Aggregation) -> tuple[Partial, Partial, Partial]:
    """Count, mean and sum of squared deviations, merged as by Chan, Golub and LeVeque (1979)."""
    values = a.taken.cast(pl.Float64)
    count = partial(a, "count", values.count(), _total, pl.Int64())
    n, total = pl.col(count.name), pl.col(count.name).sum()
    mean_name = a.name("mean")
    mean = pl.col(mean_name)
    merged_mean = pl.when(total > 0).then((mean * n).sum() / total)
    squares_name = a.name("squares")
    shift = (mean - (mean * n).sum() / total).pow(2) * n
    squares = pl.col(squares_name).sum() + shift.sum()
    f64 = pl.Float64()
    return (
        count,
        Partial(mean_name, values.mean().alias(mean_name), merged_mean.alias(mean_name), f64),
        Partial(
            squares_name,
            (values.var(ddof=0) * values.count()).fill_null(0.0).alias(squares_name),
            squares.alias(squares_name),
            f64,
        ),
    )


def _mean(a: Aggregation) -> Split | None:
    if a.dtype is None or not is_averaged(a.dtype):
        return None
    count = partial(a, "count", a.taken.count(), _total, pl.Int64())
    if a.dtype.is_temporal() or a.dtype.is_decimal():
        exact = a.taken.to_physical().cast(pl.Int128).sum()
        total = partial(a, "exact", exact, _total, pl.Int128())
    elif a.dtype.is_integer() or a.dtype == pl.Boolean:
        # Added up as floats, the result would depend on how epochs are cut where sums are large.
        wide = pl.Int128() if a.dtype in _WIDE_INTEGERS else pl.Int64()
        total = partial(a, "whole", a.taken.cast(wide).sum(), _total, wide)
    else:
        total = partial(a, "total", a.taken.cast(pl.Float64).sum(), _total, pl.Float64())
    return Split((total, count), mean(pl.col(total.name), pl.col(count.name), a))


def is_number(dtype: pl.DataType) -> bool:
    """Tell whether Polars takes the spread of a type."""
    return dtype.is_numeric() or dtype == pl.Boolean


def is_averaged(dtype: pl.DataType) -> bool:
    """Tell whether Polars takes the mean of a type."""
    return is_number(dtype) or dtype.is_temporal()


def mean(total: pl.Expr, count: pl.Expr, a: Aggregation) -> pl.Expr:
    """Finish a mean from the sum of the stored values and their count."""
    value = total.cast(pl.Float64) / count
    if isinstance(a.dtype, pl.Decimal):
        value = value / 10.0**a.dtype.scale
    if isinstance(a.dtype, pl.Date):
        value = value * _MICROSECONDS_PER_DAY
    if a.dtype is not None and a.dtype.is_temporal():
        value = value.cast(pl.Int64)  # as Polars does: towards zero
    return pl.when(count > 0).then(value).cast(a.out)


def variance(
    count: pl.Expr, squares: pl.Expr, ddof: int, out: pl.DataType, *, root: bool
) -> pl.Expr:
    """Finish a variance, or its root, from a count and a sum of squared deviations."""
    value = pl.when(count > ddof).then(squares / (count - ddof))
    return (value.sqrt() if root else value).cast(out)


def _spread(root: bool) -> Callable[[Aggregation], Split | None]:  # noqa: FBT001
    def make(a: Aggregation) -> Split | None:
        if a.dtype is None or not is_number(a.dtype):
            return None
        count, mean, squares = _moments(a)
        finish = variance(pl.col(count.name), pl.col(squares.name), a.options[1], a.out, root=root)
        return Split((count, mean, squares), finish)

    return make


def _end(which: str) -> Callable[[Aggregation], Split]:
    """The first or last row, null or not; a part without rows (a filter took them) has no say."""

    def make(a: Aggregation) -> Split:
        rows = partial(a, "len", a.length(), _total, pl.Int64())
        name = a.name(which)
        value = getattr(a.taken, which)().alias(name)
        merge = getattr(pl.col(name).filter(pl.col(rows.name) > 0), which)().alias(name)
        return Split((rows, Partial(name, value, merge, a.out)), pl.col(name))

    return make


def _chosen(which: str) -> Callable[[Aggregation], Split | None]:
    """The value of the row with the least or greatest key; of equals, the first to arrive."""

    def make(a: Aggregation) -> Split | None:
        if a.by is None or a.value is None or a.key_dtype is None:
            return None
        key_name, name = a.name(f"{which}_key"), a.name(which)
        key, value = pl.col(key_name), pl.col(name)
        keys = Partial(
            key_name,
            getattr(a.by, f"{which}_by")(a.by).alias(key_name),
            getattr(key, f"{which}_by")(key).alias(key_name),
            a.key_dtype,
        )
        extract = getattr(a.value, f"{which}_by")(a.by).alias(name)
        merge = getattr(value, f"{which}_by")(key).alias(name)
        return Split((keys, Partial(name, extract, merge, a.out)), value)

    return make


def _boolean(which: str) -> Callable[[Aggregation], Split | None]:
    def make(a: Aggregation) -> Split | None:
        ignore = bool(a.options["ignore_nulls"])
        again: Merge = lambda e: getattr(e, which)(ignore_nulls=ignore)  # noqa: E731
        return _same(f"{which}_{ignore}", again)(a) if a.dtype == pl.Boolean else None

    return make


def _product(a: Aggregation) -> Split | None:
    if isinstance(a.dtype, pl.Float32):
        wide = partial(a, "product", a.taken.cast(pl.Float64).product(), _times, pl.Float64())
        return Split((wide,), pl.col(wide.name).cast(pl.Float32))
    return _same("product", _times)(a)


def _times(expr: pl.Expr) -> pl.Expr:
    return expr.product()


_SPLITS: dict[str, Callable[[Aggregation], Split | None]] = {
    "Len": _len,
    "Agg.Count": _count,
    "NullCount": _null_count,
    "Agg.Sum": _sum,
    "Agg.Min": _extreme("min"),
    "Agg.Max": _extreme("max"),
    "Agg.Mean": _mean,
    "Agg.Var": _spread(root=False),
    "Agg.Std": _spread(root=True),
    "Agg.First": _end("first"),
    "Agg.Last": _end("last"),
    "Agg.FirstNonNull": _same("first_value", lambda e: e.first(ignore_nulls=True)),
    "Agg.LastNonNull": _same("last_value", lambda e: e.last(ignore_nulls=True)),
    "Boolean.HasNulls": _has_nulls,
    "Boolean.Any": _boolean("any"),
    "Boolean.All": _boolean("all"),
    "MinBy": _chosen("min"),
    "MaxBy": _chosen("max"),
    "Product": _product,
    "Bitwise.And": _same("bit_and", lambda e: e.bitwise_and()),
    "Bitwise.Or": _same("bit_or", lambda e: e.bitwise_or()),
    "Bitwise.Xor": _same("bit_xor", lambda e: e.bitwise_xor()),
}
