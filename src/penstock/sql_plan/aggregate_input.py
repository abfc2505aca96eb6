"""The rows an aggregate of SQL reads: restricted by FILTER, ordered, made distinct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value


@dataclass(frozen=True, slots=True)
class Input:
    """The rows an aggregate reads: conditions of FILTER, order and distinctness of its argument."""

    scalars: Scalars
    node: exp.Expr
    condition: pl.Expr | None = None
    ordered: exp.Order | None = None
    distinct: bool = False

    def argument(self, node: exp.Expr) -> Value:
        """Return an argument, restricted, ordered and made distinct; nulls are left out."""
        value = self.scalars.of_rows(node)
        expr = self._sorted(value.expr).drop_nulls()
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def kept(self, expr: pl.Expr) -> pl.Expr:
        """Apply FILTER."""
        return expr if self.condition is None else expr.filter(self.condition)

    def ordered_rows(self, expr: pl.Expr) -> pl.Expr:
        """Restrict and order."""
        return self._sorted(expr)

    def with_nulls(self, node: exp.Expr) -> Value:
        """Return an argument whose nulls count, as in array_agg."""
        value = self.scalars.of_rows(node)
        expr = self._sorted(value.expr)
        return Value(expr.unique(maintain_order=True) if self.distinct else expr, value.dtype)

    def _sorted(self, expr: pl.Expr) -> pl.Expr:
        if self.ordered is None:
            return self.kept(expr)
        order = order_of(self.scalars, self.ordered.expressions)
        by = [self.kept(part) for part in order.by]
        return self.kept(expr).sort_by(
            by, descending=list(order.descending), nulls_last=list(order.nulls_last)
        )


Aggregation = Callable[[Input, exp.Expr], Value]
"""Translates a call: the rows it reads, and its first argument."""


def number(given: Input, argument: exp.Expr) -> Value:
    """Return an argument that is a number or an interval."""
    value = given.argument(argument)
    if not (value.dtype.is_numeric() or value.is_interval):
        raise refuse(given.node, f"a number is needed, not {value.dtype}")
    return value
