"""How distinct rows, the best rows and sorted rows become operators."""

from __future__ import annotations

import polars as pl

from penstock.lowering.aggregates import expiry_for
from penstock.operators.best_rows import BestRows, Only
from penstock.operators.contract import Operator
from penstock.operators.counted_rows import CountedRows
from penstock.operators.distinct import Distinct
from penstock.operators.latest_rows import LatestRows
from penstock.operators.running import Carried
from penstock.operators.running import Running as RunningOperator
from penstock.operators.sort_rows import LimitRows, SortRows
from penstock.operators.top_rows import TopRows, TopSpec
from penstock.plan.distinct import Keep, Unique
from penstock.plan.grouping import Verb
from penstock.plan.ranking import Limit, Sort, TopK, unsortable
from penstock.plan.running import Running

_BY = "_penstock_by_"


def lower_unique(node: Unique) -> list[Operator]:
    """Lower ``unique``: seen keys, latest rows, counted rows, or rows of each key recomputed."""
    before, schema = node.input.properties, node.input.schema
    subset = list(node.subset)
    expiry = expiry_for(before, schema, {name: name for name in subset}, node.ttl_ns)
    if node.passes_rows:
        return [Distinct(schema, subset, expiry)]
    once = node.keep is Keep.NONE
    if not before.changelog:
        return [LatestRows(schema, subset, once=once, expiry=expiry)]
    if node.whole_rows:
        return [CountedRows(schema, once=once, expiry=expiry)]
    # "first" is the smallest row by all columns, "last" the largest.
    by = [n for n, dtype in schema.items() if n not in subset and not dtype.is_nested()]
    last = node.keep is Keep.LAST
    flags = (last,) * len(by)
    spec = TopSpec(1, node.subset, tuple(by), (), flags, flags, None)
    limit = node.max_group_rows
    only = Only.ALONE if once else Only.BEST
    return [BestRows(schema, spec, schema, only=only, max_group_rows=limit, expiry=expiry)]


def lower_top_k(node: TopK) -> list[Operator]:
    """Lower ``top_k``: the best rows alone where rows are only added, else all rows of a group."""
    before, schema = node.input.properties, node.input.schema
    expiry = expiry_for(before, schema, {name: name for name in node.keys}, node.ttl_ns)
    if not before.changelog:
        return [TopRows(schema, _top_spec(node), expiry)]
    return [
        BestRows(
            schema,
            _top_spec(node),
            node.schema,
            max_group_rows=node.max_group_rows,
            expiry=expiry,
        )
    ]


def _top_spec(node: TopK) -> TopSpec:
    names, computed = [], []
    for number, expr in enumerate(node.order.by):
        if expr.meta.is_column():
            names.append(expr.meta.output_name())
        else:
            names.append(f"{_BY}{number}")
            computed.append(expr.alias(names[-1]))
    return TopSpec(
        k=node.k,
        keys=node.keys,
        by=tuple(names),
        computed=tuple(computed),
        descending=node.order.descending,
        nulls_last=node.order.nulls_last,
        rank=node.rank,
    )


def lower_sort(node: Sort) -> list[Operator]:
    """Lower ``sort`` of an input that ends."""
    if not node.properties.bounded:
        raise unsortable(node)
    changelog = node.input.properties.changelog
    return [SortRows(node.schema, node.order.sort, changelog=changelog)]


def lower_limit(node: Limit) -> list[Operator]:
    """Lower ``limit`` by order of arrival."""
    return [LimitRows(node.count)]


def lower_running(node: Running) -> list[Operator]:
    """Lower running functions: their calls, then what is left of the expressions row by row."""
    schema, parts = node.input.schema, node.parts
    calls = [
        Carried(call.name, call.value, call.run, call.depth, call.accumulates)
        for call in parts.calls
    ]

    def finish(rows: pl.DataFrame) -> pl.DataFrame:
        if node.verb is Verb.SELECT:
            return rows.select(parts.exprs)
        return rows.with_columns(parts.exprs).select(list(node.schema))

    keys = {name: name for name in parts.keys}
    expiry = expiry_for(node.input.properties, schema, keys, node.ttl_ns)
    return [RunningOperator(schema, parts.keys, calls, finish, expiry)]
