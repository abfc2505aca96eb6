"""Expressions that never decrease in a column, through which a watermark passes."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.tree import Tree, children, kind_of, payload_of, tag_of, to_tree

_FLOORS = frozenset({"TemporalExpr.Truncate", "TemporalExpr.Round"})
_CALENDAR = re.compile(r"mo|q|y")
_DAYS = re.compile(r"d|w|mo|q|y")
_QUANTITIES = frozenset({"Int", "Float", "Duration"})


def monotone_in(expr: pl.Expr, schema: pl.Schema | None = None) -> str | None:
    """Return the one column in which the expression never decreases, if there is one.

    ``ts.dt.truncate("1h")`` -> ``"ts"``. Known: the column, aliases, ``dt.truncate``, ``dt.round``,
    ``dt.date``, ``dt.cast_time_unit``, ``dt.offset_by`` a literal without months or years (which
    put the end of January before that of February), adding or taking off a literal number or
    duration, and casts between instants. ``schema`` tells the time zone: in a zone with summer
    time, days do not keep the order of the hour that comes twice. Without it, none is assumed.
    """
    try:
        tree = to_tree(expr)
    except PlanError:
        return None
    name = _monotone(tree, local=False)
    if name is None or schema is None or name not in schema:
        return name
    zone = getattr(schema[name], "time_zone", None)
    return name if zone in (None, "UTC") else _monotone(tree, local=True)


def apply_to(expr: pl.Expr, values: pl.Series) -> pl.Series:
    """Return what the expression makes of values of the column it is monotone in.

    ``ts.dt.truncate("1h")`` over ``[12:34]`` -> ``[12:00]``; a watermark is so carried through.
    """
    name = monotone_in(expr, pl.Schema({}))
    if name is None:
        raise PlanError("expression is not monotone in one column", value=str(expr))
    return values.rename(name).to_frame().select(expr).to_series()


def _monotone(tree: Tree, *, local: bool) -> str | None:
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Column":
        return str(payload)
    if kind in ("Alias", "KeepName", "RenameAlias"):
        return _monotone(children(tree)[0], local=local)
    if kind == "Cast":
        kept = _keeps_order(payload["dtype"], local=local)
        return _monotone(payload["expr"], local=local) if kept else None
    if kind == "BinaryExpr":
        return _shifted(payload, local=local)
    if kind == "Function" and _is_step(tree, local=local):
        return _monotone(children(tree)[0], local=local)
    return None


def _is_step(tree: Tree, *, local: bool) -> bool:
    tag, options = tag_of(tree), children(tree)[1:]
    if tag == "TemporalExpr.CastTimeUnit":
        return True
    if tag == "TemporalExpr.Date":
        return not local
    duration = _text(options[0]) if options else None
    if duration is None:
        return False
    if tag in _FLOORS:
        return not (local and _DAYS.search(duration))
    return tag == "TemporalExpr.OffsetBy" and not (_DAYS if local else _CALENDAR).search(duration)


def _literal(tree: Tree) -> tuple[str, Any] | None:
    """Return the type and value of a literal: ``("Int", 1)``, ``("String", "1h")``."""
    if kind_of(tree) != "Literal":
        return None
    inner = next(iter(payload_of(tree).values()))
    return next(iter(inner.items())) if isinstance(inner, dict) else None


def _text(tree: Tree) -> str | None:
    found = _literal(tree)
    return str(found[1]) if found is not None and found[0] == "String" else None


def _keeps_order(dtype: Tree, *, local: bool) -> bool:
    target = dtype.get("Literal")
    name = target if isinstance(target, str) else next(iter(target or {"": None}))
    return name in ("Date", "Datetime") and not local


def _shifted(payload: Tree, *, local: bool) -> str | None:
    left, right = payload["left"], payload["right"]
    if payload["op"] in ("Plus", "Minus") and _is_quantity(right):
        return _monotone(left, local=local)
    if payload["op"] == "Plus" and _is_quantity(left):
        return _monotone(right, local=local)
    return None


def _is_quantity(tree: Tree) -> bool:
    """A text would not do: "a" < "ab", but "ax" > "abx"."""
    found = _literal(tree)
    return found is not None and found[0].rstrip("0123456789") in _QUANTITIES
