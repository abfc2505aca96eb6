"""USING and NATURAL: equalities by name, and one column of that name for both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.sql_plan.binding import column
from penstock.sql_plan.context import Context
from penstock.sql_plan.joins import Condition, condition
from penstock.sql_plan.relations import Field, Relation, Scope


@dataclass(frozen=True, slots=True)
class Named:
    """A column that both sides have: the fields of the two, which are equal."""

    name: str
    left: Field
    right: Field

    @property
    def condition(self) -> Condition:
        """The equality."""
        both = column(self.left.column), column(self.right.column)
        return condition(exp.EQ(this=both[0], expression=both[1]))


def named_by(fields: Sequence[Field], relation: Relation, join: exp.Join | None) -> list[Named]:
    """Return what a join says by names; ``fields`` are those before it since the last comma."""
    if join is None:
        return []
    left, right = Scope(tuple(fields)), Scope(relation.fields)
    names = [part.copy() for part in join.args.get("using") or []]
    if (join.method or "").upper() == "NATURAL":
        common = dict.fromkeys(f.name for f in left.shown() if f.name in right.names())
        names = [exp.Identifier(this=name, quoted=True) for name in common]
    wanted = [exp.Column(this=name) for name in names]
    return [Named(one.name, left.find(one), right.find(one)) for one in wanted]


def merged(
    context: Context, whole: Relation, fields: Sequence[Field], named: Sequence[Named], side: str
) -> tuple[Relation, tuple[Field, ...]]:
    """Return what was joined with one field of each name before the others.

    ``k`` is that of the side whose rows are all there, of a full join whichever is not null; ``a.k``
    and ``b.k`` can still be named.
    """
    stream, one = whole.stream, list[Field]()
    for both in named:
        kept = both.right.column if side == "right" else both.left.column
        if side == "full":
            kept = context.names(both.name)
            either = pl.coalesce(both.left.column, both.right.column)
            stream = stream.with_columns(either.alias(kept))
        one.append(Field(None, both.name, kept))
    joined = {field for both in named for field in (both.left, both.right)}
    rest = [
        replace(field, tied=True) if field in joined else field
        for field in fields
        if field not in joined or field.table is not None
    ]
    return replace(whole, stream=stream), (*one, *rest)
