"""When the rows of one side of a join can find no further match.

::

    bid JOIN auction ON bid.auction = auction.id AND bid.ts BETWEEN auction.ts AND auction.expires

Bids still to come have ``ts >= W`` of their watermark: auctions with ``expires < W`` are over. So are
bids with a ``ts`` that the auctions' watermark has passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from penstock.instants import Passing
from penstock.plan.expressions.tree import (
    Tree,
    children,
    kind_of,
    payload_of,
    tag_of,
    to_tree,
)
from penstock.plan.node import Node

Lapse = tuple[str, Passing]
"""A column of one side, and when the other side's watermark has passed its values."""

_ORDERS: Mapping[str | None, bool] = {"Lt": False, "LtEq": False, "Gt": True, "GtEq": True}
"""Comparisons, and whether the smaller value stands on the right."""


def lapses(
    condition: pl.Expr, sides: tuple[Node, Node], names: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[Lapse | None, Lapse | None]:
    """Return, for either side, the first comparison in the condition that frees rows of it.

    ``a <= b`` and ``a < b`` of two columns free rows of the side of ``b`` once the watermark on ``a``
    has passed their ``b``. ``names``: of the columns of a side, what the condition calls them. For
    inner joins only, where a row without a match is nothing.
    """
    found: list[Lapse | None] = [None, None]
    own = [{called: column for column, called in some.items()} for some in names]
    for small, big in _ascending(to_tree(condition)):
        for side, other in ((0, 1), (1, 0)):
            if found[side] is None and big in own[side] and small in own[other]:
                column = own[side][big]
                found[side] = _lapse(sides[other], own[other][small], sides[side], column)
    return found[0], found[1]


def _lapse(bounded: Node, small: str, kept: Node, big: str) -> Lapse | None:
    bound = bounded.properties.times.get(small)
    dtype = kept.schema[big]
    if (
        bound is None
        or dtype != bounded.schema[small]
        or not isinstance(dtype, pl.Datetime | pl.Date)
    ):
        return None
    return big, bound.over(big, dtype)


def _ascending(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield pairs of columns of which the condition holds that the first is not above the second."""
    kind, parts = kind_of(tree), children(tree)
    op = payload_of(tree)["op"] if kind == "BinaryExpr" else None
    tag = tag_of(tree) if kind == "Function" else None
    if kind in ("Alias", "RenameAlias") or op == "And" or tag == "Boolean.AllHorizontal":
        for part in parts:
            yield from _ascending(part)
    elif op in _ORDERS:
        yield from _columns(*(reversed(parts) if _ORDERS[op] else parts))
    elif tag == "Boolean.IsBetween":
        value, low, high = parts
        yield from _columns(low, value)
        yield from _columns(value, high)


def _columns(small: Tree, big: Tree) -> Iterator[tuple[str, str]]:
    if kind_of(small) == kind_of(big) == "Column":
        yield str(payload_of(small)), str(payload_of(big))
