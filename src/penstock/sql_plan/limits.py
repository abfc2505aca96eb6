"""LIMIT, OFFSET and FETCH FIRST, in the order of ORDER BY and then by all columns."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.plan.ranking import Ordering, TopK
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse, require_only
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation
from penstock.stream import Stream


def limited(context: Context, result: Relation, node: exp.Query, ordering: Ordering) -> Relation:
    """Apply LIMIT, OFFSET and FETCH FIRST."""
    limit, offset = _whole(node, "limit"), _whole(node, "offset") or 0
    ties = _with_ties(node, ordering)
    if limit is None and not offset:
        return result
    if limit == 0:
        return replace(result.filtered([pl.lit(value=False)]), one_row=True)
    if limit is None:
        return _without(context, result, best(result, offset, ordering, result.keys))
    if ties:
        found = _tied(context, result, limit + offset, ordering)
        skipped = best(result, offset, ordering, result.keys) if offset else None
        return found if skipped is None else _without(context, found, skipped)
    found = best(result, limit + offset, ordering, result.keys, rank=context.names("rank"))
    if offset:
        rank = found.stream.columns[-1]
        found = found.filtered([pl.col(rank) > offset])
    found = replace(found, stream=found.stream.drop(found.stream.columns[-1]))
    return replace(found, one_row=limit == 1 or found.one_row)


def _with_ties(node: exp.Query, ordering: Ordering) -> bool:
    found = node.args.get("limit")
    if not isinstance(found, exp.Fetch):
        return False
    options = found.args.get("limit_options")
    ties = bool(options is not None and options.args.get("with_ties"))
    if ties and not ordering.by:
        raise refuse(found, "WITH TIES needs ORDER BY")
    return ties


def _whole(node: exp.Query, clause: str) -> int | None:
    """Return what a clause says, None where it does not limit: LIMIT ALL, LIMIT NULL."""
    found = node.args.get(clause)
    if found is None:
        return None
    count = found.expression
    if isinstance(found, exp.Fetch):
        require_only(found, "direction", "count", "limit_options")
        options = found.args.get("limit_options")
        if options is not None:
            require_only(options, "rows", "with_ties")
        count = found.args.get("count") or exp.Literal.number(1)
    if isinstance(count, exp.Var) and count.name.upper() == "ALL":
        return None
    if count.find(exp.Column, exp.Query):
        raise refuse(found, f"{clause.upper()} must be a constant")
    value = pl.select(scalars_over(pl.Schema()).value(count).expr).item()
    if value is None:
        return None
    if not isinstance(value, int) or value < 0:
        raise refuse(found, f"{clause.upper()} is a whole number that is not negative")
    return value


def best(
    result: Relation, count: int, ordering: Ordering, keys: tuple[str, ...], rank: str | None = None
) -> Relation:
    """Keep the first rows of each key."""
    if not ordering.by:
        first = pl.col(result.stream.columns[0])
        ordering = Ordering((first,), (False,), (True,))
    node = TopK(input=result.stream.node, k=count, order=ordering, keys=keys, rank=rank)
    return replace(result, stream=Stream(node))


def _tied(context: Context, result: Relation, count: int, ordering: Ordering) -> Relation:
    """Keep the first rows, and those that are equal to one of them in the order."""
    by = {context.names("tie"): expr for expr in ordering.by}
    wide = result.stream.with_columns(**by)
    kept = best(result, count, ordering, result.keys).stream.with_columns(**by)
    on = [*by, *result.keys]
    stream = wide.join(kept.select(on).unique(), on=on, how="semi", nulls_equal=True)
    return replace(result, stream=stream.select(result.stream.columns), one_row=False)


def _without(context: Context, result: Relation, skipped: Relation) -> Relation:
    """Take rows away, each as often as it is skipped."""
    columns = result.stream.columns
    number = context.names("copy")
    left, right = (numbered(side.stream, number) for side in (result, skipped))
    kept = left.join(right, on=[*columns, number], how="anti", nulls_equal=True)
    return replace(result, stream=kept.select(columns), one_row=False)


def numbered(stream: Stream, name: str) -> Stream:
    """Number the copies of each row, so that one row can be taken away and its copies stay."""
    columns = stream.columns
    counted = stream.group_by(columns).agg(pl.len().cast(pl.Int64).alias(name))
    copies = pl.int_ranges(1, pl.col(name) + 1, dtype=pl.Int64)
    return counted.with_columns(copies.alias(name)).explode(name)
