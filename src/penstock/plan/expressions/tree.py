"""Polars expressions as plain trees that can be walked and rebuilt.

A tree is what ``Expr.meta.serialize`` writes, decoded: ``{"Column": "a"}``, ``{"Cast": {...}}``,
``"Len"``. The binary form is read rather than the JSON one because JSON writes NaN and the
infinities as null, and Polars then cannot read the expression back; otherwise they are alike.
Only bytes written by this very process are ever handed back to Polars (Python functions in them
are pickled).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import polars as pl

from penstock.errors import PlanError

Tree: TypeAlias = Any
"""A decoded expression: dict of one kind to its payload, or a bare string such as ``"Len"``."""

FIELDS: dict[str, tuple[str, ...]] = {
    # kind: the payload fields that hold expressions, in evaluation order
    "Cast": ("expr",),
    "RenameAlias": ("expr",),
    "BinaryExpr": ("left", "right"),
    "Ternary": ("predicate", "truthy", "falsy"),
    "Function": ("input",),
    "AnonymousFunction": ("input",),
    "Filter": ("input", "by"),
    "Sort": ("expr",),
    "SortBy": ("expr", "by"),
    "Gather": ("expr", "idx"),
    "Slice": ("input", "offset", "length"),
    "Explode": ("input",),
    "Over": ("function", "partition_by", "order_by"),
    "Rolling": ("function", "index_column"),
    "Eval": ("expr",),  # the evaluation sees only elements of a list, not columns
    "StructEval": ("expr", "evaluation"),
}

LEAVES = frozenset({"Column", "Literal", "Len", "Element", "Field", "Selector"})


def to_tree(expr: pl.Expr) -> Tree:
    """Return the tree of an expression; PlanError if it holds something that cannot be pickled."""
    try:
        return msgspec.msgpack.decode(expr.meta.serialize(format="binary"))
    except Exception as error:
        raise PlanError(
            f"expression cannot be analysed: {first_line(error)}",
            value=str(expr),
            hint="Python functions in expressions must be picklable by cloudpickle",
        ) from error


def to_expr(tree: Tree) -> pl.Expr:
    """Return the expression of a tree that came from ``to_tree`` in this process."""
    return pl.Expr.deserialize(io.BytesIO(msgspec.msgpack.encode(tree)), format="binary")


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def kind_of(tree: Tree) -> str:
    """Return the kind of a node: ``{"Cast": ...}`` -> ``"Cast"``, ``"Len"`` -> ``"Len"``."""
    if isinstance(tree, str):
        return tree
    if isinstance(tree, dict) and len(tree) == 1:
        return str(next(iter(tree)))
    return "?"


def payload_of(tree: Tree) -> Any:
    """Return what is under the kind of a node; None for a bare one."""
    return tree[kind_of(tree)] if isinstance(tree, dict) else None


def column(name: str) -> Tree:
    """Return the tree of a column."""
    return {"Column": name}


def tag_of(tree: Tree) -> str:
    """Name a function node as the tables do: ``"Abs"``, ``"StringExpr.Contains"``."""
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Agg":
        return f"Agg.{next(iter(payload))}"
    if kind != "Function":
        return kind
    function = payload["function"]
    if isinstance(function, str):
        return function
    head, inner = next(iter(function.items()))
    if isinstance(inner, str):
        return f"{head}.{inner}"
    if isinstance(inner, dict) and len(inner) == 1 and next(iter(inner))[:1].isupper():
        return f"{head}.{next(iter(inner))}"
    return str(head)


def options_of(tree: Tree) -> Any:
    """Return the innermost options of a function or aggregation node (None where it has none)."""
    payload = payload_of(tree)
    if kind_of(tree) == "Agg":
        return next(iter(payload.values()))
    inner = payload["function"]
    for _ in tag_of(tree).split("."):
        inner = next(iter(inner.values())) if isinstance(inner, dict) else None
    return inner


def map_children(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """Return a copy of a node with each child replaced by ``change(child)``."""
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "KeepName":
        return {kind: change(payload)}
    if kind == "Alias":
        return {kind: [change(payload[0]), payload[1]]}
    if kind == "Agg":
        return {kind: _map_aggregation(payload, change)}
    if kind not in FIELDS:
        return tree
    changed = dict(payload)
    for field in FIELDS[kind]:
        value = payload.get(field)
        if value is None:
            continue
        if field == "order_by":  # (expression, options)
            changed[field] = [change(value[0]), value[1]]
        else:
            changed[field] = [change(v) for v in value] if _is_list(value) else change(value)
    return {kind: changed}


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _map_aggregation(payload: Any, change: Callable[[Tree], Tree]) -> Any:
    name, inner = next(iter(payload.items()))
    if isinstance(inner, dict) and "input" in inner:  # Count, Item, Implode, Min with options
        return {name: {**inner, "input": change(inner["input"])}}
    if isinstance(inner, (list, tuple)):  # Var, Std: (expression, ddof)
        return {name: [change(inner[0]), *inner[1:]]}
    return {name: change(inner)}


def children(tree: Tree) -> list[Tree]:
    """Return the expressions directly below a node."""
    found: list[Tree] = []

    def note(child: Tree) -> Tree:
        found.append(child)
        return child

    map_children(tree, note)
    return found


def with_children(tree: Tree, replacements: Sequence[Tree]) -> Tree:
    """Return a copy of a node with its children replaced, in the order of ``children``."""
    queue = iter(replacements)
    return map_children(tree, lambda _: next(queue))


def walk(tree: Tree) -> Iterator[Tree]:
    """Yield a node and everything below it, parents first."""
    yield tree
    for child in children(tree):
        yield from walk(child)


def raw_walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every (key, value) at any depth, inside options and list evaluations too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from raw_walk(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from raw_walk(inner)
