"""Expressions that never decrease in a column, through which a watermark passes."""

from __future__ import annotations

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.tree import Tree, children, kind_of, payload_of, tag_of, to_tree

_STEPS = frozenset({"TemporalExpr.Truncate", "TemporalExpr.OffsetBy", "TemporalExpr.CastTimeUnit"})


def monotone_in(expr: pl.Expr) -> str | None:
    """Return the one column in which the expression never decreases, if there is one.

    ``ts.dt.truncate("1h")`` -> ``"ts"``. Known: the column, aliases, ``dt.truncate``,
    ``dt.offset_by`` and ``dt.cast_time_unit`` by a literal, adding or taking off a literal, and
    casts between instants.
    """
    try:
        return _monotone(to_tree(expr))
    except PlanError:
        return None


def apply_to(expr: pl.Expr, values: pl.Series) -> pl.Series:
    """Return what the expression makes of values of the column it is monotone in.

    ``ts.dt.truncate("1h")`` over ``[12:34]`` -> ``[12:00]``; an instant can so be carried through.
    """
    name = monotone_in(expr)
    if name is None:
        raise PlanError("expression is not monotone in one column", value=str(expr))
    return values.rename(name).to_frame().select(expr).to_series()


def _monotone(tree: Tree) -> str | None:
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Column":
        return str(payload)
    if kind in ("Alias", "KeepName", "RenameAlias"):
        return _monotone(children(tree)[0])
    if kind == "Cast":
        return _monotone(payload["expr"]) if _keeps_order(payload["dtype"]) else None
    if tag_of(tree) in _STEPS:
        value, *options = children(tree)
        return _monotone(value) if all(kind_of(o) == "Literal" for o in options) else None
    if kind == "BinaryExpr":
        return _shifted(payload)
    return None


def _keeps_order(dtype: Tree) -> bool:
    target = dtype.get("Literal")
    name = target if isinstance(target, str) else next(iter(target or {"": None}))
    return name in ("Date", "Datetime")


def _shifted(payload: Tree) -> str | None:
    left, right = payload["left"], payload["right"]
    if payload["op"] in ("Plus", "Minus") and kind_of(right) == "Literal":
        return _monotone(left)
    if payload["op"] == "Plus" and kind_of(left) == "Literal":
        return _monotone(right)
    return None
