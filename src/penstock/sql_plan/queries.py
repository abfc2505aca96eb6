"""Queries: SELECT, set operations, VALUES and common table expressions."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.scans import concat
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.limits import limited, numbered
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.select import position_in, select
from penstock.sql_plan.sources import item, renamed
from penstock.sql_plan.types import common
from penstock.stream import Stream


def plan(
    context: Context, query: exp.Expr, parent: Scope | None, outer: Relation | None
) -> Relation:
    """Plan a query for the outer values it is computed for; the fields are its columns."""
    context = _with_common(context, query)
    if isinstance(query, exp.Subquery):
        return plan(context, query.this, parent, outer)
    if isinstance(query, exp.Select):
        return select(context, query, parent, outer)
    if isinstance(query, exp.SetOperation):
        return _set_operation(context, query, parent, outer)
    if isinstance(query, exp.Values):
        return item(context, query, None, None)
    if isinstance(query, exp.Table):
        return item(context, query, None, None)
    raise refuse(query, "not a query")


def _with_common(context: Context, query: exp.Expr) -> Context:
    found = query.args.get("with_")
    if found is None:
        return context
    if found.args.get("recursive"):
        raise refuse(found, "WITH RECURSIVE is not supported")
    for one in found.expressions:
        relation = plan(context, one.this, None, None)
        columns = [c.name for c in one.args["alias"].columns]
        context = context.with_common(one.alias, renamed(relation, one.alias, columns, one))
    return context


def _set_operation(
    context: Context, query: exp.SetOperation, parent: Scope | None, outer: Relation | None
) -> Relation:
    left = plan(context, query.this, parent, outer)
    right = plan(context, query.expression, parent, outer)
    if len(left.fields) != len(right.fields):
        raise refuse(query, f"{len(left.fields)} columns beside {len(right.fields)}")
    if query.args.get("by_name"):
        raise refuse(query, "BY NAME is not supported")
    types = []
    for at, (one, two) in enumerate(zip(left.fields, right.fields, strict=True)):
        sides = left.dtype(one.column), right.dtype(two.column)
        if _is_null(query.this, at):
            sides = (sides[1], sides[1])
        elif _is_null(query.expression, at):
            sides = (sides[0], sides[0])
        dtype = common(*sides)
        if dtype is None:
            raise refuse(query, f"no common type of column {one.name!r}")
        types.append(dtype)
    fields = tuple(Field(None, f.name, context.names(f.name)) for f in left.fields)
    streams = [_as(side, fields, types) for side in (left, right)]
    distinct = bool(query.args.get("distinct"))
    found = _combined(context, query, streams, distinct=distinct)
    result = Relation(found, fields, left.keys, left.domain)
    return _ordered(context, result, query)


def _is_null(query: exp.Expr, at: int) -> bool:
    """Tell whether a column is NULL as it is written, which takes the type of what it stands above."""
    inner = query.unnest()
    if not isinstance(inner, exp.Select) or inner.is_star or at >= len(inner.expressions):
        return False
    return isinstance(inner.expressions[at].unalias(), exp.Null)


def _as(side: Relation, fields: tuple[Field, ...], types: list[pl.DataType]) -> Stream:
    cells = [
        pl.col(old.column).cast(dtype).alias(new.column)
        for old, new, dtype in zip(side.fields, fields, types, strict=True)
    ]
    return side.stream.select([*cells, *map(pl.col, side.keys)])


def _combined(
    context: Context, query: exp.SetOperation, streams: list[Stream], *, distinct: bool
) -> Stream:
    left, right = streams
    columns = left.columns
    if isinstance(query, exp.Union):
        both = concat(streams)
        return both.unique() if distinct else both
    how = "semi" if isinstance(query, exp.Intersect) else "anti"
    if distinct:
        return left.unique().join(right.unique(), on=columns, how=how, nulls_equal=True)
    number = context.names("copy")
    one, two = (numbered(stream, number) for stream in streams)
    kept = one.join(two, on=[*columns, number], how=how, nulls_equal=True)
    return kept.select(columns)


def _ordered(context: Context, result: Relation, query: exp.SetOperation) -> Relation:
    order = query.args.get("order")
    items = []
    for one in order.expressions if order else []:
        name = one.this
        field: Field | None
        if isinstance(name, exp.Literal) and not name.args.get("is_string"):
            field = result.fields[position_in(name, len(result.fields), "ORDER BY")]
        else:
            field = Scope(result.fields).find(name) if isinstance(name, exp.Column) else None
        if field is None:
            raise refuse(query, "ORDER BY of a set operation names its columns")
        flags = {key: value for key, value in one.args.items() if key != "this"}
        items.append(
            exp.Ordered(
                this=exp.Column(this=exp.Identifier(this=field.column, quoted=True)), **flags
            )
        )
    ordering = order_of(scalars_over(result.stream.schema), items)
    return limited(context, replace(result, order=ordering if items else None), query, ordering)
