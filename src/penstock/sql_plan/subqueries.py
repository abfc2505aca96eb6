"""Queries inside expressions: scalar, EXISTS, IN, ANY and ALL, correlated or not.

A correlated query is planned once for all outer values it depends on: the distinct combinations of
those values (the *domain*) are one more FROM item of it, every step keeps them apart, and the result
is joined back on them. (Neumann and Kemper, "Unnesting Arbitrary Queries", BTW 2015.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.scans import scan_batches
from penstock.sql_plan.binding import column, is_query, parts, rewritten
from penstock.sql_plan.context import Context, OuterName
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Key, joined
from penstock.sql_plan.relations import Relation, Scope
from penstock.sql_plan.values import aligned
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
        left, right, keys = _with_constant(
            context, relation.stream, found.relation.stream, found.keys
        )
        stream = joined(left, right, "anti" if negated else "semi", keys)
        return replace(relation, stream=stream.select(relation.stream.columns))
    if isinstance(inside, exp.In) and inside.args.get("query") is not None and not negated:
        if any(is_query(part) for part in parts(inside.this)):
            return None
        found = planned(context, _query_of(inside), relation, scope)
        left, right, keys = _matching(relation.stream, found, _operands(inside, found))
        stream = joined(left, right, "semi", [*found.keys, *keys])
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
        return _quantified(context, relation, scope, node)
    if isinstance(node, exp.Exists):
        return _exists(context, relation, scope, node)
    if node.args.get("query") is not None:
        return _in(context, relation, scope, node)
    if isinstance(node, (exp.Any, exp.All)):
        raise refuse(node, "ANY and ALL stand on the right of a comparison")
    return _scalar(context, relation, scope, node)


def _query_of(node: exp.Expr) -> exp.Expr:
    query = node.args.get("query") or node
    while isinstance(query, exp.Subquery):
        query = query.this
    return query


def _with_constant(
    context: Context, left: Stream, right: Stream, keys: list[Key]
) -> tuple[Stream, Stream, list[Key]]:
    """A join needs a key: one that is the same everywhere, where there is no other."""
    if keys:
        return left, right, keys
    one, two = context.names("always"), context.names("always")
    always = pl.lit(value=True)
    key = Key(pl.col(one), pl.col(two), safe=False)
    return left.with_columns(always.alias(one)), right.select(always.alias(two), pl.all()), [key]


def _joined_left(context: Context, relation: Relation, right: Stream, keys: list[Key]) -> Stream:
    left, right, keys = _with_constant(context, relation.stream, right, keys)
    return joined(left, right, "left", keys)


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
    stream = _joined_left(context, relation, found.relation.stream, found.keys)
    return replace(relation, stream=stream), column(found.value)


def _exists(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    found = planned(context, node.this, relation, scope)
    marker = context.names("exists")
    own = [name for _, name in found.pairs]
    marked = found.relation.stream.with_columns(pl.lit(value=True).alias(marker))
    right = marked.select([*own, marker]).unique()
    stream = _joined_left(context, relation, right, found.keys)
    test = exp.Is(this=column(marker), expression=exp.Boolean(this=True))
    return replace(relation, stream=stream), exp.Paren(this=test)


def _operands(node: exp.Expr, found: Planned) -> list[exp.Expr]:
    operand = node.this.unnest()
    operands = operand.expressions if isinstance(operand, exp.Tuple) else [operand]
    if len(operands) != len(found.relation.fields):
        raise refuse(node, f"{len(operands)} values beside {len(found.relation.fields)} columns")
    return list(operands)


def _matching(
    left: Stream, found: Planned, operands: list[exp.Expr]
) -> tuple[Stream, Stream, list[Key]]:
    keys = []
    for operand, field in zip(operands, found.relation.fields, strict=True):
        value = scalars_over(left.schema).value(operand)
        other = scalars_over(found.relation.stream.schema).value(column(field.column))
        same = aligned(value, other)
        if same is None:
            raise refuse(operand, f"cannot compare {value.dtype} and {other.dtype}")
        keys.append(Key(same[0].expr, same[1].expr, safe=False))
    return left, found.relation.stream, keys


_DECIDING: dict[type[exp.Expr], tuple[str, str]] = {
    exp.LT: ("max", "min"),
    exp.LTE: ("max", "min"),
    exp.GT: ("min", "max"),
    exp.GTE: ("min", "max"),
}
"""The value of a query that decides a comparison with ANY of them, and with ALL."""
_COMPARE: dict[type[exp.Expr], Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
    exp.LT: lambda one, two: one < two,
    exp.LTE: lambda one, two: one <= two,
    exp.GT: lambda one, two: one > two,
    exp.GTE: lambda one, two: one >= two,
}


def _quantified(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    """``x > ALL (query)``: compare with the largest value; an empty query makes ALL true."""
    everything = isinstance(node.expression, exp.All)
    query = _query_of(node.expression.this)
    if isinstance(node, exp.EQ) and not everything:
        return _in(context, relation, scope, exp.In(this=node.this, query=query))
    if isinstance(node, exp.NEQ) and everything:
        relation, found = _in(context, relation, scope, exp.In(this=node.this, query=query))
        return relation, exp.Paren(this=exp.Not(this=found))
    if not isinstance(node, (exp.EQ, exp.NEQ)) and type(node) not in _DECIDING:
        raise refuse(node, "ANY and ALL stand after a comparison")
    found_query = planned(context, query, relation, scope)
    rows, nulls, least, most = (context.names(n) for n in ("rows", "nulls", "least", "most"))
    _, _, (key,) = _matching(relation.stream, found_query, _operands(node, found_query))
    extremes = [key.right.min().alias(least), key.right.max().alias(most)]
    counts = [*_counts(rows, nulls, key.right), *extremes]
    relation = _with_counts(context, relation, found_query, counts)
    answer = context.names("any")
    unknown = key.left.is_null() | (pl.col(nulls).fill_null(0) > 0)
    result = (
        pl.when(pl.col(rows).fill_null(0) == 0)
        .then(pl.lit(everything))
        .when(_decided(node, key.left, pl.col(least), pl.col(most), everything=everything))
        .then(pl.lit(not everything))
        .when(unknown)
        .then(pl.lit(None, dtype=pl.Boolean))
        .otherwise(pl.lit(everything))
    )
    stream = relation.stream.with_columns(result.alias(answer))
    return replace(relation, stream=stream), column(answer)


def _decided(
    node: exp.Expr, value: pl.Expr, least: pl.Expr, most: pl.Expr, *, everything: bool
) -> pl.Expr:
    """Tell whether one value is enough to know: of ALL one that is false, of ANY one that is true."""
    if isinstance(node, (exp.EQ, exp.NEQ)):  # = ALL and <> ANY: one that is another
        return (value != least) | (value != most)
    against = most if _DECIDING[type(node)][everything] == "max" else least
    found = _COMPARE[type(node)](value, against)
    return ~found if everything else found


def _counts(rows: str, nulls: str, value: pl.Expr) -> list[pl.Expr]:
    return [pl.len().alias(rows), value.is_null().sum().alias(nulls)]


def _with_counts(
    context: Context, relation: Relation, found: Planned, counts: list[pl.Expr]
) -> Relation:
    """Add figures about all rows of a query, for each outer value."""
    again = {own: context.names("outer") for _, own in found.pairs}
    groups = [pl.col(name).alias(new) for name, new in again.items()]
    right = found.relation.stream
    counted = right.group_by(groups).agg(counts) if groups else right.select(counts)
    back = [Key(pl.col(mine), pl.col(again[name]), safe=True) for mine, name in found.pairs]
    return replace(relation, stream=_joined_left(context, relation, counted, back))


def _in(
    context: Context, relation: Relation, scope: Scope, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    """``x IN (query)``: true with a match; else unknown if x or a value is null; else false."""
    found = planned(context, _query_of(node), relation, scope)
    operands = _operands(node, found)
    if len(operands) != 1:
        raise refuse(node, "rows can be compared with IN as a condition of WHERE only")
    matched, rows, nulls = (context.names(n) for n in ("matched", "rows", "nulls"))
    _, right, keys = _matching(relation.stream, found, operands)
    own = [pl.col(name) for _, name in found.pairs]
    value = context.names("value")
    marked = right.select(*own, keys[0].right.alias(value), pl.lit(value=True).alias(matched))
    key = Key(keys[0].left, pl.col(value), safe=False)
    stream = joined(relation.stream, marked.drop_nulls(value).unique(), "left", [*found.keys, key])
    relation = replace(relation, stream=stream)
    relation = _with_counts(context, relation, found, _counts(rows, nulls, keys[0].right))
    answer = context.names("in")
    empty = pl.col(rows).fill_null(0) == 0
    unknown = keys[0].left.is_null() | (pl.col(nulls).fill_null(0) > 0)
    result = (
        pl.when(pl.col(matched).is_not_null())
        .then(pl.lit(value=True))
        .when(empty)
        .then(pl.lit(value=False))
        .when(unknown)
        .then(pl.lit(None, dtype=pl.Boolean))
        .otherwise(pl.lit(value=False))
    )
    stream = relation.stream.with_columns(result.alias(answer))
    return replace(relation, stream=stream), column(answer)
