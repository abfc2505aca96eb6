"""Queries inside expressions: scalar, EXISTS, IN, ANY and ALL, correlated or not.

A correlated query is planned once for all outer values it depends on: the distinct combinations of
those values (the *domain*) are one more FROM item of it, every step keeps them apart, and the result
is joined back on them. (Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015.)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.scans import scan_batches
from penstock.sql_plan.binding import column, is_query, parts, rewritten
from penstock.sql_plan.context import Context, OuterName
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.joins import joined
from penstock.sql_plan.quantified import in_query, matching, operands_of, quantified
from penstock.sql_plan.query_results import Planned, joined_left, with_constant
from penstock.sql_plan.relations import Relation, Scope

_PLACES = itertools.count(1)
_PLACE = "place"
"""Where the meta data of a query hold its number, which copies of it share."""


def free_columns(context: Context, query: exp.Expr, scope: Scope, schema: pl.Schema) -> list[str]:
    """Return the columns of the scopes around it that a query names.

    They are found by planning it on nothing, once: as the queries around it are planned again, the
    same fields of the same scopes are meant, whatever columns hold them then.
    """
    place = _place(query)
    if place not in context.free:
        context.free[place] = _named(context, query, scope, schema)
    named, chain = context.free[place], scope.chain()
    columns = (
        f.column
        for depth, table, name in named
        for f in chain[depth].fields
        if (f.table, f.name) == (table, name) and f.column in schema
    )
    found = list(dict.fromkeys(columns))
    for around in chain:  # whoever probes the query around this one wants to know too
        around.used.update((f.column, None) for f in around.fields if f.column in found)
    return found


def _place(query: exp.Expr) -> int:
    """Return the number of a query, and number those in it, before any of them is copied."""
    if _PLACE not in query.meta:
        for inner in query.find_all(exp.Query):
            inner.meta.setdefault(_PLACE, next(_PLACES))
        query.meta.setdefault(_PLACE, next(_PLACES))
    return int(query.meta[_PLACE])


def _named(
    context: Context, query: exp.Expr, scope: Scope, schema: pl.Schema
) -> tuple[OuterName, ...]:
    known = {f.column: f.column for s in scope.chain() for f in s.fields if f.column in schema}
    probe = scope.mapped(known)
    none = scan_batches(
        [], schema=pl.Schema({name: schema[name] for name in known} or {"none": pl.Null})
    )
    context.plan(context, query, probe, Relation(none, (), tuple(none.columns), none))
    return tuple(
        (depth, field.table, field.name)
        for depth, around in enumerate(probe.chain())
        for column_ in around.used
        for field in around.fields
        if field.column == column_
    )


def planned(context: Context, query: exp.Expr, relation: Relation, scope: Scope) -> Planned:
    """Plan a query for the rows of a relation."""
    free = free_columns(context, query, scope, relation.stream.schema)
    if not free:
        return Planned(context.plan(context, query, None, None), ())
    own = {name: context.names("outer") for name in free}
    domain = relation.stream.select([pl.col(a).alias(b) for a, b in own.items()]).unique()
    outer = Relation(domain, (), tuple(own.values()), domain, one_row=True)
    found = context.plan(context, query, scope.mapped(own), outer)
    return Planned(found, tuple(own.items()))


def kept_by(context: Context, relation: Relation, scope: Scope, node: exp.Expr) -> Relation | None:
    """Apply a condition that is EXISTS or IN, or NOT one of them, as a semi or anti join."""
    negated = isinstance(node, exp.Not)
    inside = node.this.unnest() if negated else node
    if isinstance(inside, exp.Exists):
        found = planned(context, inside.this, relation, scope)
        left, right, keys = with_constant(
            context, relation.stream, found.relation.stream, found.keys
        )
        stream = joined(left, right, "anti" if negated else "semi", keys)
        return replace(relation, stream=stream.select(relation.stream.columns))
    if isinstance(inside, exp.In) and inside.args.get("query") is not None and not negated:
        if any(is_query(part) for part in parts(inside.this)):
            return None
        found = planned(context, _query_of(inside), relation, scope)
        keys = matching(relation.stream, found, operands_of(inside, found))
        right = found.relation.stream
        stream = joined(relation.stream, right, "semi", [*found.keys, *keys])
        return replace(relation, stream=stream.select(relation.stream.columns))
    return None


def with_results(
    context: Context, relation: Relation, scope: Scope, nodes: Sequence[exp.Expr]
) -> tuple[Relation, list[exp.Expr]]:
    """Compute the queries inside expressions as columns; returns the expressions that read these."""
    done: list[exp.Expr] = []
    for node in nodes:
        while True:
            inside = next((p for p in parts(node) if is_asked(p)), None)
            if inside is None:
                break
            relation, result = _computed(context, relation, scope, inside)
            node = _with_result(node, inside, result)
        done.append(node)
    return relation, done


def _with_result(whole: exp.Expr, asked: exp.Expr, result: exp.Expr) -> exp.Expr:
    return rewritten(whole, lambda part: result if part is asked else None)


def is_asked(node: exp.Expr) -> bool:
    """Tell whether a node needs the result of a query; a comparison with ANY or ALL is one whole."""
    return _is_quantified(node) or is_query(node) or node.args.get("query") is not None


def _is_quantified(node: exp.Expr) -> bool:
    """Tell whether a node compares with ANY or ALL of a query; of an array it is an expression."""
    right = node.args.get("expression")
    return isinstance(right, (exp.Any, exp.All)) and is_query(right)


def _computed(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    if _is_quantified(node):
        found = planned(context, _query_of(node.expression.this), relation, scope)
        return quantified(context, relation, found, node)
    if isinstance(node, exp.Exists):
        return _exists(context, relation, scope, node)
    if node.args.get("query") is not None:
        return in_query(context, relation, planned(context, _query_of(node), relation, scope), node)
    if isinstance(node, (exp.Any, exp.All)):
        raise refuse(node, "ANY and ALL stand on the right of a comparison")
    return _scalar(context, relation, scope, node)


def _query_of(node: exp.Expr) -> exp.Expr:
    query = node.args.get("query") or node
    while isinstance(query, (exp.Subquery, exp.Paren)):
        query = query.this
    return query


def _scalar(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    found = planned(context, _query_of(node), relation, scope)
    if len(found.relation.fields) != 1:
        raise refuse(
            node, f"a query used as a value has one column, not {len(found.relation.fields)}"
        )
    if not found.relation.one_row:
        raise refuse(
            node,
            "a query used as a value must give at most one row",
            hint="aggregate it (max, min, first ...), or add LIMIT 1",
        )
    stream = joined_left(context, relation, found.relation.stream, found.keys)
    return replace(relation, stream=stream), column(found.value)


def _exists(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    found = planned(context, node.this, relation, scope)
    marker = context.names("exists")
    own = [name for _, name in found.pairs]
    marked = found.relation.stream.with_columns(pl.lit(value=True).alias(marker))
    right = marked.select([*own, marker]).unique()
    stream = joined_left(context, relation, right, found.keys)
    test = exp.Is(this=column(marker), expression=exp.Boolean(this=True))
    return replace(relation, stream=stream), exp.Paren(this=test)
