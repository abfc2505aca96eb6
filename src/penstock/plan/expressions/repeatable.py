"""Python functions of the engine's own inside expressions, which give the same when asked again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, slots=True)
class Repeatable:
    """Marks a function of a column that depends on nothing else: results need not be remembered."""

    function: Callable[[pl.Series], pl.Series]

    def __call__(self, values: pl.Series) -> pl.Series:
        """Apply the function."""
        return self.function(values)


MARK = Repeatable.__module__.encode()
"""Stands in the pickled form of every marked function, which names its class."""


def row_wise(
    expr: pl.Expr, function: Callable[[pl.Series], pl.Series], dtype: pl.DataType
) -> pl.Expr:
    """Apply a marked function that works row by row."""
    return expr.map_batches(Repeatable(function), return_dtype=dtype, is_elementwise=True)
