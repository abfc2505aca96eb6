"""Expressions that never decrease in a column, through which a watermark passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.tree import Tree, children, kind_of, payload_of, tag_of, to_tree
from penstock.plan.expressions.zones import keeps_order

_FLOORS = frozenset({"TemporalExpr.Truncate", "TemporalExpr.Round"})
_CALENDAR = re.compile(r"mo|q|y")
_DAYS = re.compile(r"d|w|mo|q|y")
_PART = re.compile(r"(\d+)(ns|us|ms|mo|s|m|h|d|w|q|y)")
_SECOND = 1_000_000_000
_LONGEST = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3_600 * _SECOND,
    "d": 86_400 * _SECOND,
    "w": 7 * 86_400 * _SECOND,
    "mo": 31 * 86_400 * _SECOND,
    "q": 92 * 86_400 * _SECOND,
    "y": 366 * 86_400 * _SECOND,
}
"""The longest that a unit can be, in nanoseconds."""
_QUANTITIES = frozenset({"Int", "Float", "Duration"})


def monotone_in(expr: pl.Expr, schema: pl.Schema | None = None) -> str | None:
    """Return the one column in which the expression never decreases, if there is one.

    ``ts.dt.truncate("1h")`` -> ``"ts"``. Known: the column, aliases, ``dt.truncate``, ``dt.round``,
    ``dt.date``, ``dt.cast_time_unit``, ``dt.offset_by`` a literal without months or years (which
    put the end of January before that of February), adding or taking off a literal number or
    duration, and casts between instants. ``schema`` tells the time zone: where hours come twice
    the expression is tried on the times around them. Without it, no zone is assumed.
    """
    try:
        tree = to_tree(expr)
    except PlanError:
        return None
    name = _monotone(tree)
    dtype = None if name is None or schema is None else schema.get(name)
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone in (None, "UTC"):
        return name
    assert name is not None
    fine = all(_can_be_tried(*step) for step in _steps(tree))
    return name if fine and keeps_order(expr, name, dtype) else None


def apply_to(expr: pl.Expr, values: pl.Series) -> pl.Series:
    """Return what the expression makes of values of the column it is monotone in.

    ``ts.dt.truncate("1h")`` over ``[12:34]`` -> ``[12:00]``; a watermark is so carried through.
    """
    name = monotone_in(expr, pl.Schema({}))
    if name is None:
        raise PlanError("expression is not monotone in one column", value=str(expr))
    return values.rename(name).to_frame().select(expr).to_series()


def slack_ns(expr: pl.Expr) -> int | None:
    """Return what a rounding of a column's time takes off it at most: it takes off less than that.

    ``ts.dt.truncate("1h")`` -> an hour in nanoseconds; None for anything else.
    """
    tree = to_tree(expr)
    while kind_of(tree) in ("Alias", "KeepName", "RenameAlias"):
        tree = children(tree)[0]
    if kind_of(tree) != "Function" or kind_of(children(tree)[0]) != "Column":
        return None
    if tag_of(tree) == "TemporalExpr.Date":
        return _LONGEST["d"]
    every = _text(children(tree)[1]) if tag_of(tree) in _FLOORS else None
    return (_length_ns(every) or None) if every is not None else None


def _monotone(tree: Tree) -> str | None:
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Column":
        return str(payload)
    if kind in ("Alias", "KeepName", "RenameAlias"):
        return _monotone(children(tree)[0])
    if kind == "Cast":
        kept = _keeps_order(payload["dtype"])
        return _monotone(payload["expr"]) if kept else None
    if kind == "BinaryExpr":
        return _shifted(payload)
    if kind == "Function" and _is_step(tree):
        return _monotone(children(tree)[0])
    return None


def _is_step(tree: Tree) -> bool:
    tag, options = tag_of(tree), children(tree)[1:]
    if tag == "TemporalExpr.CastTimeUnit":
        return True
    if tag == "TemporalExpr.Date":
        return True
    duration = _text(options[0]) if options else None
    if duration is None:
        return False
    return tag in _FLOORS or (tag == "TemporalExpr.OffsetBy" and not _CALENDAR.search(duration))


def _steps(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the kind and the length of each rounding and shift in the expression."""
    if kind_of(tree) == "Function" and len(children(tree)) > 1:
        yield tag_of(tree), _text(children(tree)[1]) or ""
    for child in children(tree):
        yield from _steps(child)


def _can_be_tried(tag: str, length: str) -> bool:
    """Tell whether trying minutes tells all of a step in a zone.

    It does of roundings to a divisor or a multiple of a minute. A shift by days looks at local
    times far from where it is tried, and moves the hour that comes twice.
    """
    if tag not in _FLOORS:
        return not _DAYS.search(length)
    length_ns, minute = _length_ns(length), _LONGEST["m"]
    return bool(length_ns) and (length_ns % minute == 0 or minute % length_ns == 0)


def _length_ns(every: str) -> int:
    """Return the longest that a duration text can be; 0 if it is not understood."""
    parts = _PART.findall(every)
    if "".join(number + unit for number, unit in parts) != every:
        return 0
    return sum(int(number) * _LONGEST[unit] for number, unit in parts)


def _literal(tree: Tree) -> tuple[str, Any] | None:
    """Return the type and value of a literal: ``("Int", 1)``, ``("String", "1h")``."""
    if kind_of(tree) != "Literal":
        return None
    inner = next(iter(payload_of(tree).values()))
    return next(iter(inner.items())) if isinstance(inner, dict) else None


def _text(tree: Tree) -> str | None:
    found = _literal(tree)
    return str(found[1]) if found is not None and found[0] == "String" else None


def _keeps_order(dtype: Tree) -> bool:
    target = dtype.get("Literal")
    name = target if isinstance(target, str) else next(iter(target or {"": None}))
    return name in ("Date", "Datetime")


def _shifted(payload: Tree) -> str | None:
    left, right = payload["left"], payload["right"]
    if payload["op"] in ("Plus", "Minus") and _is_quantity(right):
        return _monotone(left)
    if payload["op"] == "Plus" and _is_quantity(left):
        return _monotone(right)
    return None


def _is_quantity(tree: Tree) -> bool:
    """A text would not do: "a" < "ab", but "ax" > "abx"."""
    while kind_of(tree) == "Cast":
        tree = payload_of(tree)["expr"]
    found = _literal(tree)
    return found is not None and found[0].rstrip("0123456789") in _QUANTITIES
