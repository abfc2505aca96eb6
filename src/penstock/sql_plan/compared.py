"""Comparisons of two expressions, a constant on the right.

Polars 2.1 gives ``pl.lit(5) < pl.col("c")`` one row where a column holds one value throughout.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

Compare = Callable[[pl.Expr, pl.Expr], pl.Expr]


def _constant_last(compare: Compare, mirrored: Compare) -> Compare:
    def apply(one: pl.Expr, two: pl.Expr) -> pl.Expr:
        swap = not one.meta.root_names() and two.meta.root_names()
        return mirrored(two, one) if swap else compare(one, two)

    return apply


equal = _constant_last(lambda a, b: a == b, lambda a, b: a == b)
unequal = _constant_last(lambda a, b: a != b, lambda a, b: a != b)
less = _constant_last(lambda a, b: a < b, lambda a, b: a > b)
at_most = _constant_last(lambda a, b: a <= b, lambda a, b: a >= b)
greater = _constant_last(lambda a, b: a > b, lambda a, b: a < b)
at_least = _constant_last(lambda a, b: a >= b, lambda a, b: a <= b)
same = _constant_last(lambda a, b: a.eq_missing(b), lambda a, b: a.eq_missing(b))
different = _constant_last(lambda a, b: a.ne_missing(b), lambda a, b: a.ne_missing(b))
