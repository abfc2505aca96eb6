"""IN, ANY and ALL of a query: true, false, or unknown where a null could decide."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.scans import concat
from penstock.sql_plan.binding import column
from penstock.sql_plan.compared import Compare, at_least, at_most, greater, less, unequal
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Key, joined
from penstock.sql_plan.query_results import Planned, joined_left, with_constant
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.values import aligned
from penstock.stream import Stream


def operands_of(node: exp.Expr, found: Planned) -> list[exp.Expr]:
    """Return what is compared with the columns of a query, one for each."""
    operand = node.this.unnest()
    operands = operand.expressions if isinstance(operand, exp.Tuple) else [operand]
    if len(operands) != len(found.relation.fields):
        raise refuse(node, f"{len(operands)} values beside {len(found.relation.fields)} columns")
    return list(operands)


def matching(left: Stream, found: Planned, operands: list[exp.Expr]) -> list[Key]:
    """Return the equalities of operands and columns, each side brought to one type."""
    keys = []
    for operand, field in zip(operands, found.relation.fields, strict=True):
        value = scalars_over(left.schema).value(operand)
        other = scalars_over(found.relation.stream.schema).value(column(field.column))
        same = aligned(value, other)
        if same is None:
            raise refuse(operand, f"cannot compare {value.dtype} and {other.dtype}")
        keys.append(Key(same[0].expr, same[1].expr, safe=False))
    return keys


_DECIDING: dict[type[exp.Expr], tuple[str, str]] = {
    exp.LT: ("max", "min"),
    exp.LTE: ("max", "min"),
    exp.GT: ("min", "max"),
    exp.GTE: ("min", "max"),
}
"""The value of a query that decides a comparison with ANY of them, and with ALL."""
_COMPARE: dict[type[exp.Expr], Compare] = {
    exp.LT: less,
    exp.LTE: at_most,
    exp.GT: greater,
    exp.GTE: at_least,
}


def quantified(
    context: Context, relation: Relation, found: Planned, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    """``x > ALL (query)``: compare with the largest value; an empty query makes ALL true."""
    everything = isinstance(node.expression, exp.All)
    if isinstance(node, exp.EQ) and not everything:
        return in_query(context, relation, found, node)
    if isinstance(node, exp.NEQ) and everything:
        relation, member = in_query(context, relation, found, node)
        return relation, exp.Paren(this=exp.Not(this=member))
    if not isinstance(node, (exp.EQ, exp.NEQ)) and type(node) not in _DECIDING:
        raise refuse(node, "ANY and ALL stand after a comparison")
    rows, nulls, least, most = (context.names(n) for n in ("rows", "nulls", "least", "most"))
    operands = operands_of(node, found)
    if len(operands) != 1:
        raise refuse(node, "rows are compared with a query by IN, = ANY or <> ALL")
    (key,) = matching(relation.stream, found, operands)
    extremes = [key.right.min().alias(least), key.right.max().alias(most)]
    counts = [*_counts(rows, nulls, key.right), *extremes]
    relation = _with_counts(context, relation, found, counts)
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
        return unequal(value, least) | unequal(value, most)
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
    return replace(relation, stream=joined_left(context, relation, counted, back))


def in_query(
    context: Context, relation: Relation, found: Planned, node: exp.Expr
) -> tuple[Relation, exp.Expr]:
    """``x IN (query)``: true with a match; else unknown if x or a value is null; else false."""
    operands = operands_of(node, found)
    if len(operands) != 1:
        return _rows_in(context, relation, found, operands)
    matched, rows, nulls = (context.names(n) for n in ("matched", "rows", "nulls"))
    right, keys = found.relation.stream, matching(relation.stream, found, operands)
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


def _rows_in(
    context: Context, relation: Relation, found: Planned, operands: list[exp.Expr]
) -> tuple[Relation, exp.Expr]:
    """``(x, y) IN (query)``: unknown where no row is equal, but one would be without its nulls."""
    keys = matching(relation.stream, found, operands)
    names = [context.names("value") for _ in keys]
    right = found.relation.stream.select(
        *(pl.col(own) for _, own in found.pairs),
        *(key.right.alias(name) for key, name in zip(keys, names, strict=True)),
    ).unique()
    marks = [context.names(n) for n in ("matched", "perhaps")]
    strict = [Key(k.left, pl.col(n), safe=False) for k, n in zip(keys, names, strict=True)]
    rows = right.with_columns(pl.lit(value=True).alias(marks[0]))
    stream = joined_left(context, relation, rows, [*found.keys, *strict])
    stream = stream.select([*relation.stream.columns, marks[0]])
    relation = replace(relation, stream=stream)
    asked, back = _perhaps(context, relation, found, keys, right, names)
    asked = asked.with_columns(pl.lit(value=True).alias(marks[1]))
    stream = joined_left(context, relation, asked, back)
    answer = context.names("in")
    result = (
        pl.when(pl.col(marks[0]).is_not_null())
        .then(pl.lit(value=True))
        .when(pl.col(marks[1]).is_null())
        .then(pl.lit(value=False))
    )
    return replace(relation, stream=stream.with_columns(result.alias(answer))), column(answer)


def _perhaps(
    context: Context,
    relation: Relation,
    found: Planned,
    keys: list[Key],
    right: Stream,
    names: list[str],
) -> tuple[Stream, list[Key]]:
    """Return the operands for which a row differs in nothing but nulls, and what joins them back."""
    outer = [(pl.col(mine), context.names("outer"), own) for mine, own in found.pairs]
    given = [(key.left, context.names("given")) for key in keys]
    domain = relation.stream.select(
        *(expr.alias(name) for expr, name, _ in outer), *(expr.alias(name) for expr, name in given)
    ).unique()
    lacks = pl.any_horizontal([pl.col(name).is_null() for _, name in given])
    unknown = pl.any_horizontal([pl.col(name).is_null() for name in names])
    pairs = [Key(pl.col(name), pl.col(own), safe=True) for _, name, own in outer]
    some = []
    for left, rows in (
        (domain.filter(lacks), right),
        (domain.filter(~lacks), right.filter(unknown)),
    ):
        one, two, on = with_constant(context, left, rows, pairs)
        some.append(joined(one, two, "inner", on).select([*domain.columns, *names]))
    alike = [
        (pl.col(mine) == pl.col(theirs)).fill_null(value=True)
        for (_, mine), theirs in zip(given, names, strict=True)
    ]
    asked = concat(some).filter(*alike).select(domain.columns).unique()
    back = [Key(expr, pl.col(name), safe=True) for expr, name, _ in outer]
    return asked, back + [Key(expr, pl.col(name), safe=True) for expr, name in given]
