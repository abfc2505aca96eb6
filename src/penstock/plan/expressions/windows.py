"""Expressions with ``.over(...)`` inside: by which keys they can be recomputed."""

from __future__ import annotations

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.classify import Shape, classify_tree
from penstock.plan.expressions.tree import (
    Tree,
    children,
    column,
    kind_of,
    payload_of,
    to_tree,
    walk,
    with_children,
)

_WINDOW = column("_penstock_window")


def over_keys(expr: pl.Expr, schema: pl.Schema | None = None) -> tuple[str, ...] | None:
    """Return the columns by which every window inside partitions, if they are all the same.

    ``a - a.mean().over("k")`` -> ``("k",)``: the expression can be recomputed key by key. None if
    there is no window, if keys differ or are not plain columns, if a window explodes or joins, or
    if what is outside the windows is not row-wise.
    """
    try:
        tree = to_tree(expr)
    except PlanError:
        return None
    windows: list[Tree] = []
    outside = _replace_windows(tree, windows)
    keys = [_plain_keys(window) for window in windows]
    first = keys[0] if keys else None
    if first is None or any(k is None or set(k) != set(first) for k in keys):
        return None
    shape = classify_tree(outside, schema or pl.Schema({}))
    return first if shape is Shape.ELEMENTWISE else None


def _replace_windows(tree: Tree, found: list[Tree]) -> Tree:
    """Put a column in the place of every outermost window, noting the windows."""
    if kind_of(tree) == "Over":
        found.append(tree)
        return _WINDOW
    return with_children(tree, [_replace_windows(child, found) for child in children(tree)])


def _plain_keys(window: Tree) -> tuple[str, ...] | None:
    payload = payload_of(window)
    by = payload["partition_by"]
    nested = any(kind_of(node) in ("Over", "Rolling") for node in walk(payload["function"]))
    plain = bool(by) and all(kind_of(key) == "Column" for key in by)
    if nested or not plain or payload["mapping"] != "GroupsToRows":
        return None
    return tuple(str(payload_of(key)) for key in by)
