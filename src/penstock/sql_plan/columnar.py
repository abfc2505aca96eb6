"""Expressions that read their inputs many times, evaluated over columns that have been computed.

An expression is a tree: where each of three parts of a date reads the date, and the date is one of three
parts of something else, it has nine copies. Behind a function there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.plan.expressions.repeatable import row_wise


@dataclass(frozen=True, slots=True)
class _Evaluated:
    expr: pl.Expr

    def __call__(self, rows: pl.Series) -> pl.Series:
        return rows.struct.unnest().select(self.expr.alias(rows.name)).to_series()


def over_columns(expr: pl.Expr, dtype: pl.DataType, **inputs: pl.Expr) -> pl.Expr:
    """Return ``expr``, which names the inputs as columns, over what these are."""
    rows = pl.struct([value.alias(name) for name, value in inputs.items()])
    return row_wise(rows, _Evaluated(expr), dtype)
