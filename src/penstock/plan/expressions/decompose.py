"""Aggregations as partial sums: what is kept of each group, how it merges, how it finishes.

    (a.sum() + b.max()) / pl.len()
      -> partials  sum(a), max(b), len          kept per group, one row
         merge     sum,    max,    sum          over the rows kept and the new ones
         finish    (sum_a + max_b) / len        over the one row that is left

An expression that does not split (a median, a mode, ...) gives None: its group is recomputed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import changelog as weighted
from penstock.plan.expressions import partials, tables
from penstock.plan.expressions.classify import (
    Shape,
    classify_tree,
    dtype_of,
    is_deterministic_tree,
)
from penstock.plan.expressions.counted import Counted, partials_or_counted
from penstock.plan.expressions.fallible import may_fail
from penstock.plan.expressions.partials import Aggregation, Partial, Split
from penstock.plan.expressions.tree import (
    Tree,
    children,
    kind_of,
    options_of,
    payload_of,
    tag_of,
    to_expr,
    to_tree,
    walk,
    with_children,
)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """An aggregation as partials and a finish.

    ``frame.group_by(keys).agg([p.extract for p in partials])`` gives one row of partials per group;
    ``concat(rows).group_by(keys).agg([p.merge for p in partials])`` merges rows in arrival order;
    ``rows.select(finish)`` gives the result, with the name and type of the original. Equal partials
    of several expressions have equal names and are kept once. ``counted`` are columns that no merge
    can make; the operator for counted values keeps them, beside the partials.
    """

    partials: tuple[Partial, ...]
    finish: pl.Expr
    counted: tuple[Counted, ...] = ()


Splitter = Callable[[Tree], Split | None]
"""Reads one aggregation node and splits it."""


class _Indivisible(Exception):  # noqa: N818 - an outcome, not a fault
    """The expression does not split."""


def decompose(
    expr: pl.Expr,
    schema: pl.Schema,
    changelog: bool,  # noqa: FBT001
    *,
    counted: bool = False,
) -> Decomposition | None:
    """Split an aggregation (expanded, see ``expand``) into partials; None if it does not split.

    With ``changelog`` the rows carry ``_weight`` and every partial is linear in it, so that a
    deleted row cancels exactly: integers, decimals, booleans and durations only. ``counted`` allows
    counted values and exact sums of floats besides.
    """
    try:
        tree = to_tree(expr)
    except PlanError:
        return None
    schema = _read_columns(tree, schema)
    if classify_tree(tree, schema) is not Shape.SCALAR or not is_deterministic_tree(tree):
        return None
    dtype = dtype_of(tree, schema)
    if dtype is None:
        return None
    found: dict[str, Partial] = {}
    kept: dict[str, Counted] = {}
    splitter = partial(_split, schema=schema, linear=changelog, kept=kept if counted else None)
    try:
        finished = _finish_tree(tree, schema, found, splitter)
    except _Indivisible:
        return None
    finish = to_expr(_named(finished, tree, schema))
    result = Decomposition(tuple(found.values()), finish, tuple(kept.values()))
    return result if (found or kept) and _finished_dtype(result) == dtype else None


def _read_columns(tree: Tree, schema: pl.Schema) -> pl.Schema:
    """Return the columns that a tree reads: types are asked for often, each time of all columns."""
    read = {str(payload_of(node)) for node in walk(tree) if kind_of(node) == "Column"}
    kept = {name: dtype for name, dtype in schema.items() if name in read}
    return pl.Schema(kept or dict(list(schema.items())[:1]))


def _finish_tree(
    tree: Tree, schema: pl.Schema, found: dict[str, Partial], splitter: Splitter
) -> Tree:
    """Replace each aggregation in a tree by what finishes its partials, noting these."""
    kind = kind_of(tree)
    if kind in ("Alias", "KeepName", "RenameAlias"):
        return _named(_finish_tree(children(tree)[0], schema, found, splitter), tree, schema)
    if kind == "Literal":
        return tree
    if kind == "Len" or tag_of(tree) in tables.AGGREGATIONS:
        split = splitter(tree)
        if split is None:
            raise _Indivisible
        for part in split.partials:
            found.setdefault(part.name, part)
        return _named(to_tree(split.finish), tree, schema)
    if kind not in tables.STRUCTURAL and kind != "Function":
        raise _Indivisible
    parts = [_finish_tree(child, schema, found, splitter) for child in children(tree)]
    return with_children(tree, parts)


def _split(
    tree: Tree, schema: pl.Schema, *, linear: bool, kept: dict[str, Counted] | None
) -> Split | None:
    aggregation = _aggregation(tree, schema)
    if aggregation is None:
        return None
    if kept is not None:
        noted = lambda c: kept.setdefault(c.name, c)  # noqa: E731
        return partials_or_counted(aggregation, noted, linear=linear)
    return weighted.split(aggregation) if linear else partials.split(aggregation)


def _aggregation(tree: Tree, schema: pl.Schema) -> Aggregation | None:
    """Read one aggregation node: its kind, its row-wise input, and the rows it takes."""
    if kind_of(tree) == "Len":
        out = dtype_of(tree, schema)
        return None if out is None else Aggregation("Len", None, None, None, out, None)
    value, *others = children(tree)
    read = _filtered_input(value, schema)
    out = dtype_of(tree, schema)
    if read is None or out is None or (others and not _is_chosen(tree, schema)):
        return None
    value, predicate = read
    dtype = dtype_of(value, schema)
    if dtype is None:
        return None
    rows = None if predicate is None else to_expr(predicate)
    by, key = (to_expr(others[0]), dtype_of(others[0], schema)) if others else (None, None)
    return Aggregation(tag_of(tree), to_expr(value), rows, dtype, out, options_of(tree), by, key)


def _is_chosen(tree: Tree, schema: pl.Schema) -> bool:
    """Tell whether a node is ``value.min_by(key)`` over plain rows."""
    both = children(tree)
    rowwise = len(both) == 2 and all(_reads_rows(node, schema) for node in both)
    return rowwise and tag_of(tree) in ("MinBy", "MaxBy")


def _filtered_input(tree: Tree, schema: pl.Schema) -> tuple[Tree, Tree | None] | None:
    """Read a row-wise value, with the rows that filters below it take; None for anything else.

        a.filter(p).drop_nulls().cast(Int64)  ->  a.cast(Int64), p & a.is_not_null()

    A cast is taken out of a filter if no value of the rows left out can make it fail.
    """
    if kind_of(tree) == "Alias":
        return _filtered_input(children(tree)[0], schema)
    if _reads_rows(tree, schema):
        return tree, None
    tag = tag_of(tree)
    if tag == "Filter":
        value, predicate = children(tree)
        rowwise = _reads_rows(value, schema) and _reads_rows(predicate, schema)
        return (value, predicate) if rowwise else None
    if tag in ("DropNulls", "DropNans"):
        found = _filtered_input(children(tree)[0], schema)
        return None if found is None else _without(tag, *found)
    if tag == "Cast":
        return _cast_input(tree, schema)
    return None


def _without(tag: str, value: Tree, predicate: Tree | None) -> tuple[Tree, Tree]:
    """Restrict the rows taken to those with a value that is not null, or not NaN."""
    kept = to_expr(value)
    known = kept.is_not_null() if tag == "DropNulls" else kept.is_not_nan().fill_null(value=True)
    return value, to_tree(known if predicate is None else to_expr(predicate) & known)


def _cast_input(tree: Tree, schema: pl.Schema) -> tuple[Tree, Tree | None] | None:
    found = _filtered_input(children(tree)[0], schema)
    if found is None:
        return None
    value, predicate = found
    outside = with_children(tree, [value])
    if dtype_of(outside, schema) == dtype_of(value, schema):
        return value, predicate
    return None if may_fail(outside, schema) else (outside, predicate)


def _reads_rows(tree: Tree, schema: pl.Schema) -> bool:
    """A literal alone is not spread over the rows of a group, so it does not count."""
    has_column = any(kind_of(node) == "Column" for node in walk(tree))
    return has_column and classify_tree(tree, schema) is Shape.ELEMENTWISE


def _named(finished: Tree, original: Tree, schema: pl.Schema) -> Tree:
    """Give what stands in for a node the name the node has: fields of a struct take it."""
    frame = pl.LazyFrame(schema=schema).select(to_expr(original))
    return {"Alias": [finished, frame.collect_schema().names()[0]]}


def _finished_dtype(result: Decomposition) -> pl.DataType | None:
    columns = {p.name: p.dtype for p in result.partials}
    columns |= {c.name: c.dtype for c in result.counted}
    schema = pl.Schema(columns)
    return dtype_of(to_tree(result.finish), schema)
