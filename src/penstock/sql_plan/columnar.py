"""Expressions that read their inputs many times, evaluated over columns that have been computed.

An expression is a tree: where each of three parts of a date reads the date, and the date is one of three
parts of something else, it has nine copies. Behind a function there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.plan.expressions.repeatable import row_wise

_COLUMN = "x"
_NS_PER_UNIT = {"ms": 1_000_000, "us": 1_000, "ns": 1}
_FEWER = 2
"""How many rows there must be for each grain of time between the first and the last of them."""


@dataclass(frozen=True, slots=True)
class _Evaluated:
    expr: pl.Expr

    def __call__(self, rows: pl.Series) -> pl.Series:
        return _over(rows.struct.unnest(), self.expr, rows.name)


@dataclass(frozen=True, slots=True)
class _EachGrain:
    """Evaluates an expression once for each grain of time that rows can lie in, if that is less.

    The days of 60,000 instants as text take 0.9 ms of processor time this way, 14 ms row by row.
    """

    expr: pl.Expr
    grain_ns: int

    def __call__(self, instants: pl.Series) -> pl.Series:
        dtype = instants.dtype
        unit = _NS_PER_UNIT[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
        size = max(self.grain_ns // unit, 1)
        grains = instants.to_physical() // size
        low, high = grains.min(), grains.max()
        if not isinstance(low, int) or not isinstance(high, int):  # no instants at all
            return _over(instants.to_frame(_COLUMN), self.expr, instants.name)
        count = high - low + 1
        if count * _FEWER > len(instants):
            return _over(instants.to_frame(_COLUMN), self.expr, instants.name)
        heads = (pl.int_range(low, high + 1, eager=True, dtype=pl.Int64) * size).cast(dtype)
        results = _over(heads.to_frame(_COLUMN), self.expr, instants.name)
        return results.gather(grains - low)


def _over(rows: pl.DataFrame, expr: pl.Expr, name: str) -> pl.Series:
    return rows.select(expr.alias(name)).to_series()


def over_columns(expr: pl.Expr, dtype: pl.DataType, **inputs: pl.Expr) -> pl.Expr:
    """Return ``expr``, which names the inputs as columns, over what these are."""
    rows = pl.struct([value.alias(name) for name, value in inputs.items()])
    return row_wise(rows, _Evaluated(expr), dtype)


def over_instants(expr: pl.Expr, dtype: pl.DataType, x: pl.Expr, grain_ns: int) -> pl.Expr:
    """Return ``expr``, which names an instant or a time ``x``, over what that is.

    It gives the same for all of them within a grain of time.
    """
    return row_wise(x, _EachGrain(expr, grain_ns), dtype)
