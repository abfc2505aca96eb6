"""The partition of a window function: its rows, its order, and the number of each row in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlglot import exp

from penstock.sql_plan.context import Context
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.scalars import Scalars
from penstock.stream import Stream


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a window function looks: partition columns, columns that hold the order, and the rows' number."""

    keys: list[str]
    order: list[str]
    number: str | None

    def over(self, expr: pl.Expr) -> pl.Expr:
        """Evaluate an expression over the rows of each partition, in order."""
        by: list[Any] = list(self.keys) or [pl.lit(1)]
        if self.number is None:
            return expr.over(by)
        return expr.over(by, order_by=self.number)


def prepared(
    context: Context, relation: Relation, scalars: Scalars, call: exp.Window
) -> tuple[Stream, Partition]:
    """Add the partition's columns, ranks for each part of the order, and the number of each row."""
    keys = {
        context.names("part"): scalars.value(n).expr for n in call.args.get("partition_by") or []
    }
    stream = relation.stream.with_columns(**keys) if keys else relation.stream
    by = [*keys, *relation.keys]
    items = call.args["order"].expressions if call.args.get("order") else []
    if not items:
        return stream, Partition(by, [], None)
    ordering = order_of(scalars, items)
    ranks = {}
    flags = zip(ordering.by, ordering.descending, ordering.nulls_last, strict=True)
    for expr, descending, last in flags:
        rank = scalars.by_row(expr).rank("dense", descending=descending).cast(pl.Int64)
        at_the_end = pl.len().cast(pl.Int64) + 1 if last else pl.lit(0, dtype=pl.Int64)
        ranks[context.names("rank")] = rank.fill_null(at_the_end).over(by or [pl.lit(1)])
    stream = stream.with_columns(**ranks)
    number = context.names("row")
    together = pl.struct(list(ranks)).rank("ordinal").cast(pl.Int64)
    stream = stream.with_columns(together.over(by or [pl.lit(1)]).alias(number))
    return stream, Partition(by, list(ranks), number)
