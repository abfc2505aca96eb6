"""SELECT: projections, groups, windows, distinctness, order and limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.plan.ranking import Ordering
from penstock.sql_plan.arrivals import with_arrivals
from penstock.sql_plan.binding import (
    bound,
    column,
    columns_in,
    is_query,
    parts,
    replaced,
    rewritten,
)
from penstock.sql_plan.called import is_called, with_calls
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import conjuncts, refuse, require_only
from penstock.sql_plan.first_rows import with_rank_limits
from penstock.sql_plan.from_clause import filtered, from_items, where
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.gap_filling import filled, with_buckets_in_from
from penstock.sql_plan.grouping import SETS, aggregate_calls, grouped
from penstock.sql_plan.limits import best, limited
from penstock.sql_plan.named_windows import with_named_windows
from penstock.sql_plan.ordering import order_of
from penstock.sql_plan.over import with_windows
from penstock.sql_plan.relations import Field, Relation, Scope
from penstock.sql_plan.select_lists import with_rows
from penstock.sql_plan.subqueries import is_asked, with_results
from penstock.sql_plan.window_functions import with_windows_in_from
from penstock.sql_plan.window_groups import require_grouped
from penstock.stream import Stream

_CLAUSES = ("with_", "expressions", "distinct", "from_", "joins", "laterals", "where", "group",
            "having", "order", "limit", "offset", "windows")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """An output column: its name and its bound expression."""

    name: str
    node: exp.Expr


def select(
    context: Context, node: exp.Select, parent: Scope | None, outer: Relation | None
) -> Relation:
    """Plan one SELECT for the outer values it is computed for."""
    require_only(node, *_CLAUSES)
    node, bucket = with_buckets_in_from(with_windows_in_from(node))
    node = with_rank_limits(with_named_windows(with_rows(node)))
    items = from_items(context, node, parent, outer)
    scope = Scope(items.fields, parent)
    outputs = [out for item in node.expressions for out in _outputs(item, scope)]
    order = _order_items(node, scope, outputs)
    relation = where(context, items, _inside(node, "where"), parent)
    relation = _pruned(relation, scope, node, outputs, order)
    relation, arrived = with_arrivals(context, relation, [out.node for out in outputs])
    outputs = [replace(out, node=n) for out, n in zip(outputs, arrived, strict=True)]
    having = [bound(part, scope) for part in conjuncts(_inside(node, "having"))]
    nodes = [*(out.node for out in outputs), *(item.this for item in order), *having]
    keys = _group_keys(node, scope, outputs)
    if keys is not None or having or any(True for n in nodes for _ in aggregate_calls(n)):
        relation, keys, nodes = _below_groups(context, relation, scope, keys or [], nodes)
        windowed = relation.windowed
        relation, known = grouped(context, relation, scope, node.args.get("group"), keys, nodes)
        nodes = [replaced(n, known) for n in nodes]
        if bucket is not None and windowed is not None:
            relation, nodes = filled(context, relation, windowed, known, nodes, bucket)
        scope = Scope(_key_fields(scope, known), parent)
        _refuse_ungrouped(nodes, relation, node)
    require_grouped(relation, node)
    relation = filtered(context, relation, scope, nodes[len(outputs) + len(order) :])
    nodes = nodes[: len(outputs) + len(order)]
    relation, nodes = with_results(context, relation, scope, nodes)
    if any(isinstance(part, exp.Window) for n in nodes for part in parts(n)):
        relation, nodes = with_calls(context, relation, nodes)
    relation, nodes = with_windows(context, relation, nodes)
    named = [replace(out, node=n) for out, n in zip(outputs, nodes, strict=False)]
    ordered = [_like(item, n) for item, n in zip(order, nodes[len(outputs) :], strict=True)]
    return _projected(context, relation, node, named, ordered, scope)


def _inside(node: exp.Select, clause: str) -> exp.Expr | None:
    found = node.args.get(clause)
    return None if found is None else found.this


def _outputs(node: exp.Expr, scope: Scope) -> Iterator[Output]:
    """Expand a star; name what has no name as PostgreSQL does."""
    if isinstance(node, exp.Star) or (
        isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
    ):
        table = node.table if isinstance(node, exp.Column) else None
        fields = scope.of_table(table or None)
        if not fields:
            raise refuse(node, "a star needs a FROM clause with that table")
        for field in fields:
            yield Output(field.name, column(field.column))  # also where a name is there twice
        return
    inside = node.this if isinstance(node, exp.Alias) else node
    yield Output(_name_of(node), bound(inside, scope))


def _name_of(node: exp.Expr) -> str:
    if isinstance(node, (exp.Alias, exp.Column)):
        return str(node.alias or node.name)
    if isinstance(node, (exp.Cast, exp.Paren)):
        return _name_of(node.this)
    if isinstance(node, (exp.Filter, exp.Window, exp.WithinGroup)):
        return _name_of(node.this)
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
        return _name_of(node.this.expressions[0])
    if isinstance(node, exp.Func) and not isinstance(node, (exp.And, exp.Or)):
        return node.sql_name().lower()
    return "?column?"


def _order_items(node: exp.Select, scope: Scope, outputs: list[Output]) -> list[exp.Ordered]:
    """Bind ORDER BY: a position or the name of an output column means that one."""
    order = node.args.get("order")
    found = []
    for item in order.expressions if order else []:
        out = _meant(item.this, outputs, "ORDER BY", outputs_first=True, scope=scope)
        found.append(_like(item, bound(item.this, scope) if out is None else out.node))
    return found


def _like(item: exp.Ordered, node: exp.Expr) -> exp.Ordered:
    flags = {key: value for key, value in item.args.items() if key != "this"}
    return exp.Ordered(this=node, **flags)


def position_in(node: exp.Literal, count: int, clause: str) -> int:
    """Return which of the output columns ``ORDER BY 2`` means, counted from 0."""
    if node.is_int and 1 <= int(node.name) <= count:
        return int(node.name) - 1
    raise refuse(node, f"{clause} position {node.name} is not in the select list")


def _meant(
    node: exp.Expr, outputs: list[Output], clause: str, *, outputs_first: bool, scope: Scope
) -> Output | None:
    if isinstance(node, exp.Literal) and not node.args.get("is_string"):
        return outputs[position_in(node, len(outputs), clause)]
    if isinstance(node, exp.Column) and not node.table:
        same = [out for out in outputs if out.name.lower() == node.name.lower()]
        if same and (outputs_first or scope.own(node) is None):
            return same[0]
    return None


def _group_keys(node: exp.Select, scope: Scope, outputs: list[Output]) -> list[exp.Expr] | None:
    """Bind GROUP BY in place; None if there is no such clause."""
    group = node.args.get("group")
    if group is None:
        return None

    def key(item: exp.Expr) -> exp.Expr:
        out = _meant(item, outputs, "GROUP BY", outputs_first=False, scope=scope)
        node = bound(item, scope) if out is None else out.node
        return node if is_query(node) else node.unnest()

    if group.args.get("all"):
        return [out.node for out in outputs if not any(True for _ in aggregate_calls(out.node))]
    return [key(item) for item in group.expressions if not isinstance(item, SETS)]


def _below_groups(
    context: Context, relation: Relation, scope: Scope, keys: list[exp.Expr], nodes: list[exp.Expr]
) -> tuple[Relation, list[exp.Expr], list[exp.Expr]]:
    """Compute queries and Python functions in keys and aggregates as columns, before grouping."""
    calls = [call for node in nodes for call in aggregate_calls(node)]
    every = dict.fromkeys([*keys, *calls])
    asked = [n for n in every if any(is_asked(part) or is_called(part) for part in parts(n))]
    if not asked:
        return relation, keys, nodes
    relation, computed = with_results(context, relation, scope, asked)
    relation, computed = with_calls(context, relation, computed)
    known = dict(zip(asked, computed, strict=True))
    return relation, [known.get(k, k) for k in keys], [rewritten(n, known.get) for n in nodes]


def _key_fields(scope: Scope, known: dict[exp.Expr, str]) -> tuple[Field, ...]:
    """Return the fields that are grouped by: queries in HAVING and the select list may name them."""
    found = ((field, known.get(column(field.column))) for field in scope.fields)
    return tuple(replace(field, column=key) for field, key in found if key is not None)


def _refuse_ungrouped(nodes: list[exp.Expr], relation: Relation, node: exp.Select) -> None:
    for one in nodes:
        for name in columns_in(one):
            if name not in relation.columns:
                shown = name.partition("#")[0]
                raise refuse(
                    node,
                    f"column {shown!r} is neither in GROUP BY nor inside an aggregate",
                    hint=f"group by it, or write any_value({shown})",
                )


def _pruned(
    relation: Relation,
    scope: Scope,
    node: exp.Select,
    outputs: list[Output],
    order: list[exp.Ordered],
) -> Relation:
    """Drop the columns that nothing after WHERE reads; queries inside may read any."""
    used: set[str] = set()
    clauses = [node.args.get(clause) for clause in ("group", "having", "distinct", "qualify")]
    asked = [*(out.node for out in outputs), *(item.this for item in order)]
    if any(is_query(p) or "query" in p.args for n in asked for p in parts(n)):
        return relation
    if any(c is not None and c.find(exp.Query, exp.Subquery) for c in clauses):
        return relation
    for part in asked:
        used |= columns_in(part)
    for clause in clauses:
        for name in clause.find_all(exp.Column) if clause is not None else []:
            field = Scope(scope.fields).own(name)
            used |= {field.column} if field is not None else set()
    return relation.pruned(used)


def _projected(
    context: Context,
    relation: Relation,
    node: exp.Select,
    outputs: list[Output],
    order: list[exp.Ordered],
    scope: Scope,
) -> Relation:
    scalars = scalars_over(relation.stream.schema)
    fields = tuple(Field(None, out.name, context.names(out.name)) for out in outputs)
    values = [scalars.value(out.node) for out in outputs]
    exprs = [v.expr if v.constant else scalars.by_row(v.expr) for v in values]
    cells = [
        (expr.cast(pl.String) if v.dtype == pl.Null else expr).alias(f.column)
        for v, expr, f in zip(values, exprs, fields, strict=True)
    ]
    ordering = order_of(scalars, order)
    sorting = [context.names("order") for _ in ordering.by]
    extra = [expr.alias(name) for expr, name in zip(ordering.by, sorting, strict=True)]
    on = _distinct_on(scope, node, relation, context)
    helpers = extra + [expr.alias(name) for name, expr in on.items()]
    computed = [*cells, *helpers, *map(pl.col, relation.keys)]
    stream = _with_literals(relation.stream, computed)
    ordering = replace(ordering, by=tuple(map(pl.col, sorting)))
    result = replace(relation, stream=stream, fields=fields)
    if on:
        result = best(result, 1, ordering, (*relation.keys, *on))
    elif node.args.get("distinct"):
        hidden = {f.column for f in fields} | set(relation.keys)
        result = replace(result, stream=stream.select(sorted(hidden, key=stream.columns.index)))
        stream = result.stream.unique()
        ordering, sorting = _of_outputs(ordering, order, outputs, fields, node), []
        result = replace(result, stream=stream)
    result = replace(result, order=ordering if order else None)
    return limited(context, result, node, ordering)


def _with_literals(stream: Stream, computed: list[pl.Expr]) -> Stream:
    """Compute columns; constants alone would be one row, not one for each row."""
    return stream.with_columns(computed).select([expr.meta.output_name() for expr in computed])


def _distinct_on(
    scope: Scope, node: exp.Select, relation: Relation, context: Context
) -> dict[str, pl.Expr]:
    distinct = node.args.get("distinct")
    on = distinct.args.get("on") if distinct is not None else None
    if on is None:
        return {}
    listed = on.expressions if isinstance(on, exp.Tuple) else [on]
    scalars = scalars_over(relation.stream.schema)
    return {context.names("on"): scalars.value(bound(item, scope)).expr for item in listed}


def _of_outputs(
    ordering: Ordering,
    order: list[exp.Ordered],
    outputs: list[Output],
    fields: tuple[Field, ...],
    node: exp.Select,
) -> Ordering:
    """With DISTINCT, rows can be ordered by what is put out only."""
    by = []
    for item in order:
        at = next((i for i, out in enumerate(outputs) if out.node == item.this), None)
        if at is None:
            raise refuse(node, "with SELECT DISTINCT, ORDER BY names columns of the select list")
        by.append(pl.col(fields[at].column))
    return replace(ordering, by=tuple(by))
