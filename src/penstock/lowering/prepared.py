"""Values that a step computes once: where a guard tries them, and the step reads them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import polars as pl

from penstock.lowering.suspects import GuardSuspects
from penstock.operators.guarded import Guard
from penstock.plan.expressions import Shape, classify, root_columns
from penstock.plan.expressions.fallible import fallible
from penstock.plan.expressions.tree import (
    Tree,
    column,
    kind_of,
    map_children,
    to_expr,
    to_tree,
    walk,
)
from penstock.plan.grouping import Aggregate

_PART = "_penstock_part_"


@dataclass(frozen=True, slots=True)
class Prepared:
    """An aggregation that reads parts of its expressions as columns, and the guard that adds them.

        group_by(t.to_string()).agg(t.to_string().max())
          -> guard  p = t.to_string();  group_by(p).agg(p.max())

    Nexmark's q17, whose key is the text of a day, takes three quarters of the processor time so.
    """

    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    schema: pl.Schema
    guard: Guard | None


def prepared(node: Aggregate) -> Prepared:
    """Take what a value can make fail, and what a row gives alone, out of the expressions."""
    schema = node.input.schema
    risky = fallible([*node.keys, *node.aggs], schema)
    if not risky:
        return Prepared(node.keys, node.aggs, schema, None)
    name = "group_by" if node.keys else "select"
    alone = [part for part in risky if _is_of_rows(part, schema)]
    tried = tuple(part for part in risky if all(part is not one for one in alone))
    computed = tuple(part.alias(f"{_PART}{n}") for n, part in enumerate(alone))
    guard = Guard(name, (tried,), (GuardSuspects((*tried, *computed)),), computed)
    if not alone:
        return Prepared(node.keys, node.aggs, schema, guard)
    names = {_encoded(to_tree(part)): f"{_PART}{n}" for n, part in enumerate(alone)}
    keys = tuple(_reading(expr, names) for expr in node.keys)
    aggs = tuple(_reading(expr, names) for expr in node.aggs)
    added = pl.DataFrame(schema=schema).select(*computed).schema
    return Prepared(keys, aggs, pl.Schema({**schema, **added}), guard)


def _encoded(tree: Tree) -> bytes:
    return msgspec.msgpack.encode(tree)


def _reading(expr: pl.Expr, names: Mapping[bytes, str]) -> pl.Expr:
    """Replace parts by the columns of their names; the name of the result stays."""

    def changed(tree: Tree) -> Tree:
        name = names.get(_encoded(tree))
        return map_children(tree, changed) if name is None else column(name)

    tree = to_tree(expr)
    read = changed(tree)
    return expr if read == tree else to_expr(read).alias(expr.meta.output_name())


def _is_of_rows(part: pl.Expr, schema: pl.Schema) -> bool:
    """Tell whether a row alone gives the value; a user's function stays where it was written."""
    python = any(kind_of(node) == "AnonymousFunction" for node in walk(to_tree(part)))
    return bool(root_columns(part)) and not python and classify(part, schema) is Shape.ELEMENTWISE
