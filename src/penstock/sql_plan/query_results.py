"""A query inside an expression, planned, and how its result is joined back."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.sql_plan.context import Context
from penstock.sql_plan.joins import Key, joined
from penstock.sql_plan.relations import Relation
from penstock.stream import Stream


@dataclass(frozen=True, slots=True)
class Planned:
    """A query planned for the outer values it names: pairs of outer and own column, one for each."""

    relation: Relation
    pairs: tuple[tuple[str, str], ...]

    @property
    def keys(self) -> list[Key]:
        """What joins it back."""
        return [Key(pl.col(mine), pl.col(own), safe=True) for mine, own in self.pairs]

    @property
    def value(self) -> str:
        """The column of its one result."""
        return self.relation.fields[0].column


def with_constant(
    context: Context, left: Stream, right: Stream, keys: list[Key]
) -> tuple[Stream, Stream, list[Key]]:
    """A join needs a key: one that is the same everywhere, where there is no other."""
    if keys:
        return left, right, keys
    one, two = context.names("always"), context.names("always")
    always = pl.lit(value=True)
    key = Key(pl.col(one), pl.col(two), safe=False)
    return left.with_columns(always.alias(one)), right.select(always.alias(two), pl.all()), [key]


def joined_left(context: Context, relation: Relation, right: Stream, keys: list[Key]) -> Stream:
    """Add the columns of a result to the rows it is for."""
    left, right, keys = with_constant(context, relation.stream, right, keys)
    return joined(left, right, "left", keys)
