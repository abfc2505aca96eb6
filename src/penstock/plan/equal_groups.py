"""Aggregations that say the same of the same rows under other names are run once.

    rows -> select(a AS x) -> count by x    ->  rows -> select(a AS x) -> count by x
    rows -> select(a AS y) -> count by y                                    -> select(x AS y)

SQL gives each column of a subquery a name of its own, so that a query written twice, as in a join of
counts with their maximum, is never equal by name.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.fingerprint import tree_fingerprint
from penstock.plan.expressions.tree import (
    Tree,
    column,
    kind_of,
    map_children,
    payload_of,
    to_tree,
)
from penstock.plan.grouping import Aggregate
from penstock.plan.node import Node, options, walk
from penstock.plan.properties import Properties
from penstock.plan.rows import Filter, Select, WithColumns

_NAMED = ("input", "keys", "aggs", "window")
"""Fields of an aggregation that hold names of columns."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a node's rows are, and each of its columns, whatever it is called."""

    rows: Hashable
    columns: Mapping[str, str]


def one_of_equal_groups(roots: Sequence[Node]) -> list[Node]:
    """Return the same plans with each aggregation that repeats another a renaming of that one."""
    if sum(isinstance(node, Aggregate) for node in walk(*roots)) < 2:
        return list(roots)
    meanings: dict[int, _Meaning] = {}
    first: dict[Hashable, Aggregate] = {}
    replaced: dict[int, Node] = {}
    for node in walk(*roots):
        meaning = meanings[id(node)] = _meaning(node, meanings)
        changed = _over(node, replaced)
        if isinstance(node, Aggregate) and node.label is None:
            other = first.setdefault(meaning.rows, node)
            if other is not node:
                again = replaced.get(id(other), other)
                changed = _renamed(again, meanings[id(other)], node, meaning) or changed
        if changed is not node:
            replaced[id(node)] = changed
    return [replaced.get(id(root), root) for root in roots]


def _over(node: Node, replaced: Mapping[int, Node]) -> Node:
    """Return the node over what its inputs were replaced by."""
    changed: dict[str, Any] = {}
    for name, value in options(node):
        if isinstance(value, Node) and id(value) in replaced:
            changed[name] = replaced[id(value)]
        elif isinstance(value, tuple) and any(id(item) in replaced for item in value):
            changed[name] = tuple(replaced.get(id(item), item) for item in value)
    return replace(node, **changed) if changed else node


def _renamed(first: Node, known: _Meaning, node: Aggregate, meaning: _Meaning) -> Node | None:
    """Return the columns of ``node`` taken from an equal aggregation, if all are there."""
    names = {what: name for name, what in known.columns.items()}
    if any(what not in names for what in meaning.columns.values()):
        return None
    exprs = tuple(pl.col(names[meaning.columns[name]]).alias(name) for name in node.schema)
    found = Select(input=first, exprs=exprs, line=node.line)
    return found if found.schema == node.schema and _promised(found) == _promised(node) else None


def _promised(node: Node) -> Properties:
    """Return the properties without the names of the columns that bounds came from."""
    times = node.properties.times.items()
    return replace(node.properties, times={c: replace(b, through=()) for c, b in times})


def _meaning(node: Node, meanings: Mapping[int, _Meaning]) -> _Meaning:
    plain = _Meaning(id(node), {name: f"{id(node)}.{name}" for name in node.schema})
    try:
        if isinstance(node, Select | WithColumns):
            below = meanings[id(node.input)]
            kept = below.columns if isinstance(node, WithColumns) else {}
            written = {e.meta.output_name(): _said(e, below) for e in node.exprs}
            return _Meaning(below.rows, {**kept, **written})
        if isinstance(node, Filter):
            below = meanings[id(node.input)]
            return _Meaning(("filter", below.rows, _said(node.predicate, below)), below.columns)
        if isinstance(node, Aggregate):
            return _aggregate(node, meanings[id(node.input)])
    except PlanError:  # a function that cannot be serialised: equal to itself only
        return plain
    return plain


def _aggregate(node: Aggregate, below: _Meaning) -> _Meaning:
    keys = tuple(_said(key, below) for key in node.keys)
    time = node.window_column
    window = node.window if node.window is None else replace(node.window, on=None)
    read = None if time is None else below.columns[time]
    others = tuple(value for name, value in options(node) if name not in _NAMED)
    rows = ("groups", below.rows, keys, window, read, *others)
    columns = {name: f"window.{name}" for name in node.schema}
    for expr, said in zip(node.keys, keys, strict=True):
        columns[expr.meta.output_name()] = f"key.{said}"
    for expr in node.aggs:
        columns[expr.meta.output_name()] = f"agg.{_said(expr, below)}"
    mark = str(hash(rows))
    return _Meaning(rows, {name: f"{what}.{mark}" for name, what in columns.items()})


def _said(expr: pl.Expr, below: _Meaning) -> str:
    """Return a text that is the same for the same values, whatever the columns are called."""
    tree = to_tree(expr)
    while kind_of(tree) == "Alias":
        tree = payload_of(tree)[0]

    def named(part: Tree) -> Tree:
        if kind_of(part) == "Column":
            return column(below.columns[str(payload_of(part))])
        return map_children(part, named)

    if kind_of(tree) == "Column":
        return below.columns[str(payload_of(tree))]
    return tree_fingerprint(named(tree))
