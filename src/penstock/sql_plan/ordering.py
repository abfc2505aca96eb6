"""ORDER BY: expressions with their directions, nulls where PostgreSQL has them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from penstock.plan.ranking import Ordering
from penstock.sql_plan.scalars import Scalars


def order_of(scalars: Scalars, ordered: Sequence[exp.Expr]) -> Ordering:
    """Return the order of rows; nulls count as larger than every value unless said otherwise."""
    descending = tuple(bool(item.args.get("desc")) for item in ordered)
    first = tuple(bool(item.args.get("nulls_first")) for item in ordered)
    return Ordering(
        by=tuple(scalars.value(item.this).expr for item in ordered),
        descending=descending,
        nulls_last=tuple(not flag for flag in first),
    )
