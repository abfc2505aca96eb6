"""GROUP BY: groups, grouping sets, and aggregates over all rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.scans import concat
from penstock.sql_plan.aggregates import aggregate, is_aggregate
from penstock.sql_plan.binding import bound, is_query
from penstock.sql_plan.context import Context
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Key, joined
from penstock.sql_plan.relations import Relation, Scope
from penstock.sql_plan.values import Value
from penstock.sql_plan.window_groups import require_grouped, window_groups
from penstock.stream import Stream

Columns = dict[exp.Expr, str]
SETS = (exp.Rollup, exp.Cube, exp.GroupingSets)
"""What stands in GROUP BY for several groupings at once."""


def grouped(
    context: Context,
    relation: Relation,
    scope: Scope,
    group: exp.Group | None,
    keys: list[exp.Expr],
    nodes: Sequence[exp.Expr],
) -> tuple[Relation, Columns]:
    """Group a relation; returns it and the column of every key and aggregate of ``nodes``."""
    sets = _grouping_sets(group, keys, scope)
    keys = list(dict.fromkeys(key for one in sets for key in one))
    calls = list(dict.fromkeys(call for node in nodes for call in aggregate_calls(node)))
    known = {node: context.names("key") for node in keys}
    known |= {node: context.names("agg") for node in calls}
    scalars = scalars_over(relation.stream.schema)
    values = {node: scalars.value(node) for node in keys}
    aggs = {node: aggregate(scalars, node) for node in calls if not isinstance(node, exp.Grouping)}
    whole = [_one_set(context, relation, one, values, aggs, known, keys, calls) for one in sets]
    result = (
        whole[0]
        if len(whole) == 1
        else replace(whole[0], stream=concat([part.stream for part in whole]), one_row=False)
    )
    return result, known


def aggregate_calls(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the outermost aggregate calls; one under OVER is a window, its arguments may hold some."""
    if is_aggregate(node) or isinstance(node, exp.Grouping):
        yield node
        return
    if is_query(node):
        return
    if isinstance(node, exp.Window):
        inside = [*_arguments(node.this), node.args.get("partition_by"), node.args.get("order")]
    else:
        inside = [value for key, value in node.args.items() if key != "query"]
    for value in inside:
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, exp.Expr):
                yield from aggregate_calls(item)


def _arguments(function: exp.Expr) -> list[object]:
    """Return what a window function reads: its arguments, and the condition of its FILTER."""
    if isinstance(function, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        return [*_arguments(function.this), function.args.get("expression")]
    return list(function.args.values())


def _one_set(
    context: Context,
    relation: Relation,
    wanted: list[exp.Expr],
    values: dict[exp.Expr, Value],
    aggs: dict[exp.Expr, Value],
    known: Columns,
    keys: list[exp.Expr],
    calls: list[exp.Expr],
) -> Relation:
    groups = [_key(relation, values[node]).alias(known[node]) for node in wanted]
    found = [value.expr.alias(known[node]) for node, value in aggs.items()]
    outer = [pl.col(name) for name in relation.keys]
    windows = window_groups(relation, wanted, calls, values, aggs, known)
    if windows is not None:
        stream = windows
    elif groups:
        stream = relation.stream.group_by([*groups, *outer]).agg(found)
    else:
        stream = _over_all(context, relation, aggs, known)
    if windows is None:
        require_grouped(relation, wanted[0] if wanted else exp.Null())
    missing = [
        pl.lit(None, dtype=values[node].dtype).alias(known[node])
        for node in keys
        if node not in wanted
    ]
    marks = [
        pl.lit(_grouping_bits(node, wanted), dtype=pl.Int32).alias(known[node])
        for node in calls
        if isinstance(node, exp.Grouping)
    ]
    stream = stream.with_columns(missing + marks) if missing + marks else stream
    columns = [*(known[k] for k in keys), *(known[c] for c in calls), *relation.keys]
    stream = stream.select(columns or pl.all())
    return replace(relation, stream=stream, fields=(), one_row=not groups, windowed=None)


def _key(relation: Relation, value: Value) -> pl.Expr:
    """Return a key; a constant one is a column too, so that no rows are no groups."""
    if not value.constant:
        return value.expr
    some = pl.col(relation.stream.columns[0]).is_null()
    return pl.when(some).then(value.expr).otherwise(value.expr)


def _over_all(
    context: Context, relation: Relation, aggs: dict[exp.Expr, Value], known: Columns
) -> Stream:
    """One row, also of no rows; for outer values one row for each, also for those without rows."""
    found = [value.expr.alias(known[node]) for node, value in aggs.items()]
    if not relation.keys:
        return relation.stream.select(found or [pl.len().alias(context.names("rows"))])
    again = {name: context.names("outer") for name in relation.keys}
    present = context.names("present")
    groups = [pl.col(name).alias(new) for name, new in again.items()]
    counted = relation.stream.group_by(groups).agg([*found, pl.len().alias(present)])
    assert relation.domain is not None, "a correlated query knows the outer values it is for"
    back = [Key(pl.col(name), pl.col(new), safe=True) for name, new in again.items()]
    stream = joined(relation.domain, counted, "left", back)
    defaults = pl.DataFrame(schema=relation.stream.schema).select(found).row(0) if found else ()
    names = [known[node] for node in aggs]
    filled = [
        pl.when(pl.col(present).is_null()).then(pl.lit(default)).otherwise(pl.col(name)).alias(name)
        for name, default in zip(names, defaults, strict=True)
        if default is not None
    ]
    return stream.with_columns(filled) if filled else stream


def _grouping_bits(node: exp.Expr, wanted: list[exp.Expr]) -> int:
    bits, there = 0, [key.unnest() for key in wanted]
    for part in node.expressions:
        bits = bits * 2 + (part.unnest() not in there)
    return bits


def _grouping_sets(
    group: exp.Group | None, keys: list[exp.Expr], scope: Scope
) -> list[list[exp.Expr]]:
    """Return the sets of keys: the product of plain keys, ROLLUP, CUBE and GROUPING SETS."""
    factors: list[list[list[exp.Expr]]] = [[keys]]
    given = group.expressions if group is not None else []
    factors += [_sets_of(item, scope) for item in given if isinstance(item, SETS)]
    return [list(dict.fromkeys(_together(one))) for one in itertools.product(*factors)]


def _sets_of(item: exp.Expr, scope: Scope) -> list[list[exp.Expr]]:
    if isinstance(item, exp.GroupingSets):
        inside = (
            _sets_of(p, scope) if isinstance(p, SETS) else _bound_sets([p], scope)
            for p in item.expressions
        )
        return list(itertools.chain.from_iterable(inside))
    items = _bound_sets(item.expressions, scope)
    if isinstance(item, exp.Rollup):
        return [_together(items[:n]) for n in range(len(items), -1, -1)]
    chosen = itertools.product((True, False), repeat=len(items))
    return [_together(itertools.compress(items, flags)) for flags in chosen]


def _together(items: Iterable[list[exp.Expr]]) -> list[exp.Expr]:
    return list(itertools.chain.from_iterable(items))


def _bound_sets(items: Sequence[exp.Expr], scope: Scope) -> list[list[exp.Expr]]:
    found = []
    for item in items:
        inside = item.expressions if isinstance(item, exp.Tuple) else [item.unnest()]
        found.append([bound(part, scope).unnest() for part in inside])
    return found
