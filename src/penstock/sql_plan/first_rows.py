"""``WHERE rn <= n`` over ``ROW_NUMBER() ... AS rn``: n rows of each partition are kept up to date, not all.

::

    SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x) AS rn FROM t) WHERE rn <= 3
    -> SELECT * FROM (the 3 first rows of t for each k by x, with their rank as rn) WHERE rn <= 3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlglot import exp

from penstock.plan.ranking import Ordering, TopK
from penstock.sql_plan.binding import parts
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import conjuncts
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.relations import Relation
from penstock.stream import Stream

TOP = "top"
"""What a window function is given beside its own arguments: no row of a higher rank is asked for."""

_RANKS = (exp.RowNumber, exp.Rank, exp.DenseRank)
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.GTE: exp.LTE}


def with_rank_limits(node: exp.Select) -> exp.Select:
    """Note at the ranks of queries in FROM how far WHERE reads them; returns a copy if any is."""
    condition = node.args.get("where")
    if condition is None or node.args.get("from_") is None:
        return node
    limits = [found for part in conjuncts(condition.this) if (found := _limit(part)) is not None]
    if not limits:
        return node
    node = node.copy()
    items = [node.args["from_"].this, *(join.this for join in node.args.get("joins") or [])]
    items += [join.this for join in items[0].args.get("joins") or []]
    for item in items:
        for column, count in limits:
            rank = _rank_of(item, column, alone=len(items) == 1)
            if rank is not None:
                rank.set(TOP, min(count, rank.args.get(TOP) or count))
    return node


def _limit(part: exp.Expr) -> tuple[exp.Column, int] | None:
    """``rn <= 3``, ``rn < 4``, ``rn = 3``, ``3 >= rn`` or ``rn BETWEEN 1 AND 3`` -> rn, 3."""
    if isinstance(part, exp.Between):
        return _bounded(part.this, part.args["high"], 0)
    if not isinstance(part, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ)):
        return None
    left, right = part.this, part.expression
    kind: type[exp.Expr] = type(part)
    if kind in _MIRRORED or not isinstance(left, exp.Column):
        if kind in (exp.LT, exp.LTE):
            return None
        left, right, kind = right, left, _MIRRORED.get(kind, kind)
    return _bounded(left, right, 1 if kind is exp.LT else 0)


def _bounded(column: exp.Expr, bound: exp.Expr, less: int) -> tuple[exp.Column, int] | None:
    whole = isinstance(bound, exp.Literal) and not bound.args.get("is_string")
    if not isinstance(column, exp.Column) or not whole or not bound.name.isdigit():
        return None
    count = int(bound.name) - less
    return (column, count) if count >= 1 else None


def _rank_of(item: exp.Expr, column: exp.Column, *, alone: bool) -> exp.Window | None:
    """Return the rank that a column of a query in FROM is, if nothing else there reads other rows."""
    inside = item.this if isinstance(item, exp.Subquery) else None
    if not isinstance(inside, exp.Select) or (item.args.get("alias") and item.alias_column_names):
        return None
    if column.table.lower() != item.alias_or_name.lower() and not (alone and not column.table):
        return None
    if any(inside.args.get(clause) for clause in ("distinct", "limit", "offset", "qualify")):
        return None
    windows = list(_windows(inside))
    named = [out for out in inside.expressions if out.alias_or_name.lower() == column.name.lower()]
    if len(windows) != 1 or len(named) != 1 or not isinstance(named[0], exp.Alias):
        return None
    rank = named[0].this
    fits = isinstance(rank, exp.Window) and isinstance(rank.this, _RANKS)
    return rank if fits and rank.args.get("order") else None


def _windows(select: exp.Select) -> Iterator[exp.Expr]:
    order = select.args.get("order")
    for node in [*select.expressions, *(order.expressions if order else [])]:
        yield from (part for part in parts(node) if isinstance(part, exp.Window))


def first_rows(
    context: Context, relation: Relation, call: exp.Window, name: str
) -> Relation | None:
    """Return the rows whose rank is asked for, with it; None where ties would need more of them."""
    scalars = scalars_over(relation.stream.schema)
    ordering = order_of(scalars, call.args["order"].expressions)
    values = [scalars.value(node) for node in call.args.get("partition_by") or []]
    plain = [value.expr.meta.is_column() for value in values]
    keys = [
        value.expr.meta.output_name() if column else context.names("part")
        for value, column in zip(values, plain, strict=True)
    ]
    computed = [
        value.expr.alias(key)
        for value, key, column in zip(values, keys, plain, strict=True)
        if not column
    ]
    wanted = tuple(dict.fromkeys([*keys, *relation.keys]))
    ordered = all(expr.meta.root_names() for expr in ordering.by)
    if not ordered or any(scalars.dtype(expr).is_nested() for expr in ordering.by):
        return None
    if not isinstance(call.this, exp.RowNumber) and not _unique(relation, wanted, ordering):
        return None
    stream = relation.stream.with_columns(computed) if computed else relation.stream
    node = TopK(input=stream.node, k=call.args[TOP], order=ordering, keys=wanted, rank=name)
    return replace(relation, stream=Stream(node).select([*relation.stream.columns, name]))


def _unique(relation: Relation, keys: tuple[str, ...], ordering: Ordering) -> bool:
    """Without ties RANK and DENSE_RANK are ROW_NUMBER."""
    plain = (expr.meta.output_name() for expr in ordering.by if expr.meta.is_column())
    return relation.stream.node.properties.unique_on([*keys, *plain])
