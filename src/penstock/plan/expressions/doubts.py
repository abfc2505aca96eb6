"""Which rows a strict function is likely to refuse, by its lenient form.

``(col("v").cast(Int64) + 1)`` -> where ``col("v").cast(Int64, strict=False)`` is null though
``col("v")`` is not. Polars' strict functions are their lenient forms and a count of the nulls that
these made, so all rows at fault are found in one go, where trying finds one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions import tables
from penstock.plan.expressions.tree import (
    Tree,
    children,
    kind_of,
    map_children,
    options_of,
    payload_of,
    tag_of,
    to_expr,
    to_tree,
)

_PASSING = frozenset({"Alias", "KeepName", "RenameAlias", "BinaryExpr", "Cast"})
"""Nodes that compute all of what they read."""

_CHOOSING = {"Filter": "input", "Sort": "expr", "SortBy": "expr"}
"""Nodes that choose or reorder rows; without them the rows stay beside those they come from."""

_BASE_10 = (10).to_bytes(16, "big", signed=True)
_FLAGS = frozenset({"ListExpr.Get", "ArrayExpr.Get", "ListExpr.Gather"})
_DECODING = frozenset(
    {
        "StringExpr.HexDecode",
        "StringExpr.Base64Decode",
        "BinaryExpr.HexDecode",
        "BinaryExpr.Base64Decode",
    }
)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A place in an expression at which rows may fail: those for which ``mask`` is true.

    ``given`` is what the failing function gets, None where the text of its error does not tell that
    alone. Errors of rows of one ``group`` (if there is one) differ by that value only.
    """

    mask: pl.Expr
    given: pl.Expr | None
    group: pl.Expr | None


def doubts(exprs: Sequence[pl.Expr]) -> list[Doubt]:
    """Return the places at which rows may fail; expressions without one that is known have none."""
    found: list[Doubt] = []
    for expr in exprs:
        try:
            tree = to_tree(expr)
        except PlanError:
            continue
        found.extend(_doubts(tree, reached=(), alone=True))
    return found


def _doubts(tree: Tree, *, reached: tuple[pl.Expr, ...], alone: bool) -> Iterator[Doubt]:
    """Walk down; ``reached`` says for which rows a node is computed, ``alone`` that nothing that is
    not known stands above it."""
    kind, payload = kind_of(tree), payload_of(tree)
    if kind in ("Eval", "StructEval", "Over", "Rolling"):
        return
    if kind == "Ternary":
        yes = to_expr(_lenient(payload["predicate"])).fill_null(value=False)
        yield from _doubts(payload["predicate"], reached=reached, alone=alone)
        yield from _doubts(payload["truthy"], reached=(*reached, yes), alone=alone)
        yield from _doubts(payload["falsy"], reached=(*reached, ~yes), alone=alone)
        return
    made = _loosened(tree)
    if made is not tree:
        yield _doubt(tree, reached, alone=alone)
    below = alone and (kind in _PASSING or _is_elementwise(tree))
    inner = [payload[_CHOOSING[kind]]] if kind in _CHOOSING else children(tree)
    for child in inner:
        yield from _doubts(child, reached=reached, alone=below)


def _doubt(tree: Tree, reached: tuple[pl.Expr, ...], *, alone: bool) -> Doubt:
    made, before = to_expr(_lenient(tree)), to_expr(_lenient(children(tree)[0]))
    mask = made.is_null() & before.is_not_null()
    for condition in reached:
        mask = mask & condition
    told, group = _told(tree, before)
    return Doubt(mask, before if alone and told else None, group)


def _told(tree: Tree, given: pl.Expr) -> tuple[bool, pl.Expr | None]:
    """Tell whether the error says nothing of a row but the value, and of which groups it speaks."""
    if kind_of(tree) == "Cast":
        return True, None
    tag = tag_of(tree)
    if tag == "StringExpr.Strptime":  # without a format one is guessed, from the other rows too
        return options_of(tree)[1]["format"] is not None, None
    if tag == "StringExpr.ToInteger":
        base = payload_of(tree)["input"][1]
        number = given.str.contains(r"^[+-]?[0-9]+$")
        sign = given.str.starts_with("-").cast(pl.Int8)
        group = pl.when(given == "").then(-1).when(number).then(1 + sign).otherwise(0)
        return base == {"Literal": {"Dyn": {"Int": _BASE_10}}}, group
    return False, None


def _lenient(tree: Tree) -> Tree:
    """Return the expression with every strict function in its lenient form, row beside row."""
    if kind_of(tree) in _CHOOSING:
        return _lenient(payload_of(tree)[_CHOOSING[kind_of(tree)]])
    return map_children(_loosened(tree), _lenient)


def _loosened(tree: Tree) -> Tree:
    """Return a node in its lenient form, or itself if it is none of those known to be strict."""
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Cast" and payload["options"] == "Strict":
        return {"Cast": {**payload, "options": "NonStrict"}}
    if kind != "Function":
        return tree
    tag, options = tag_of(tree), options_of(tree)
    changed: object = None
    if tag == "StringExpr.Strptime" and options[1]["strict"]:
        changed = [options[0], {**options[1], "strict": False}]
    elif tag == "StringExpr.ToInteger" and options["strict"]:
        changed = {**options, "strict": False}
    elif tag in _FLAGS and options is False:
        changed = True
    elif tag in _DECODING and options is True:
        changed = False
    if changed is None:
        return tree
    head, name = tag.split(".")
    return {"Function": {**payload, "function": {head: {name: changed}}}}


def _is_elementwise(tree: Tree) -> bool:
    return kind_of(tree) == "Function" and tag_of(tree) in tables.ELEMENTWISE
