"""From arbitrary predicates over pairs of rows to keys and a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import (
    Shape,
    classify,
    expand,
    is_deterministic,
    output_schema,
    root_columns,
)
from penstock.plan.expressions.tree import (
    Tree,
    children,
    column,
    kind_of,
    payload_of,
    to_expr,
    to_tree,
    walk,
    with_children,
)
from penstock.plan.joins import Layout, common_type, layout
from penstock.plan.node import Node

_STEP = "join_where"


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of both sides, and what pairs with equal keys must fulfil besides."""

    left: tuple[pl.Expr, ...]
    right: tuple[pl.Expr, ...]
    condition: pl.Expr | None


def where_keys(left: Node, right: Node, predicates: Sequence[pl.Expr], suffix: str) -> Keys:
    """Take the equalities between the two sides out of the predicates.

    ``(k == k_right) & (a < b)`` -> keys ``k``, ``k`` and condition ``a < b``.
    """
    found = layout(_STEP, left.schema, right.schema, "cross", (), suffix=suffix, coalesce=False)
    if not predicates:
        raise PlanError("no predicate given", step=_STEP, hint='use how="cross" for all pairs')
    try:
        exprs = expand(predicates, found.schema)
    except PlanError as error:
        error.step = error.step or _STEP
        raise
    parts = [part for expr in exprs for part in _conjuncts(expr)]
    changing = left.properties.changelog or right.properties.changelog
    for part in parts:
        _check(part, found.schema, changing=changing)
    back = {name: column for column, name in found.right.items()}
    lefts: list[pl.Expr] = []
    rights: list[pl.Expr] = []
    rest: list[pl.Expr] = []
    for part in parts:
        pair = _equality(part, set(found.left.values()), back, left.schema, right.schema)
        if pair is None:
            rest.append(part)
        else:
            lefts.append(pair[0])
            rights.append(pair[1])
    condition = pl.all_horizontal(rest) if rest else None
    return Keys(tuple(lefts), tuple(rights), condition)


def one_sided(condition: pl.Expr | None, columns: Layout) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """Return the parts of a condition that read the left side alone, and those of the right.

    In the names that the columns have on that side: ``a.cast(Int64) < b_right`` -> ``[a.cast(Int64)]``,
    ``[b]``.
    """
    lefts: list[pl.Expr] = []
    rights: list[pl.Expr] = []
    sides = [
        ({name: own for own, name in names.items()}, found)
        for names, found in ((columns.left, lefts), (columns.right, rights))
    ]

    def visit(tree: Tree) -> None:
        roots = {str(payload_of(node)) for node in walk(tree) if kind_of(node) == "Column"}
        for back, found in sides:
            if roots and roots <= back.keys():
                found.append(to_expr(_renamed(tree, back)))
                return
        for child in children(tree):
            visit(child)

    if condition is not None:
        visit(to_tree(condition))
    return lefts, rights


def _conjuncts(expr: pl.Expr) -> list[pl.Expr]:
    tree = to_tree(expr)
    if kind_of(tree) == "BinaryExpr" and payload_of(tree)["op"] == "And":
        return [part for child in children(tree) for part in _conjuncts(to_expr(child))]
    return [expr]


def _check(part: pl.Expr, schema: pl.Schema, *, changing: bool) -> None:
    dtype = output_schema((part.alias("predicate"),), schema, "select", _STEP)["predicate"]
    if dtype not in (pl.Boolean, pl.Null):
        raise PlanError(f"the predicate {part} is {dtype}, not Boolean", step=_STEP)
    if classify(part, schema) is not Shape.ELEMENTWISE:
        raise PlanError(
            f"the predicate {part} looks at other rows", step=_STEP, hint="compare row by row"
        )
    if changing and not is_deterministic(part):
        raise PlanError(
            f"the predicate {part} may not give the same twice, and rows may be retracted",
            step=_STEP,
            hint="compute it with with_columns before the first aggregation or join",
        )


def _equality(
    part: pl.Expr, lefts: set[str], back: dict[str, str], left: pl.Schema, right: pl.Schema
) -> tuple[pl.Expr, pl.Expr] | None:
    tree = to_tree(part)
    if kind_of(tree) != "BinaryExpr" or payload_of(tree)["op"] != "Eq":
        return None
    sides = [to_expr(child) for child in children(tree)]
    roots = [set(root_columns(side)) for side in sides]
    if not all(roots):
        return None
    for one, two in ((0, 1), (1, 0)):
        if roots[one] <= lefts and roots[two] <= set(back):
            mine, other = sides[one], to_expr(_renamed(to_tree(sides[two]), back))
            types = [
                pl.LazyFrame(schema=schema).select(expr).collect_schema().dtypes()[0]
                for schema, expr in ((left, mine), (right, other))
            ]
            return (mine, other) if common_type(*types) is not None else None
    return None


def _renamed(tree: Tree, names: dict[str, str]) -> Tree:
    if kind_of(tree) == "Column":
        return column(names[str(payload_of(tree))])
    below = children(tree)
    return with_children(tree, [_renamed(child, names) for child in below]) if below else tree
