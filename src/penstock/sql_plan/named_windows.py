"""``WINDOW w AS (...)``: every ``OVER w`` gets what the name stands for.

::

    SELECT sum(x) OVER w, rank() OVER (w ORDER BY y) FROM t WINDOW w AS (PARTITION BY k)
    -> SELECT sum(x) OVER (PARTITION BY k), rank() OVER (PARTITION BY k ORDER BY y) FROM t
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.binding import parts
from penstock.sql_plan.dialect import position, refuse

_PARTS = ("partition_by", "order", "spec")


def with_named_windows(node: exp.Select) -> exp.Select:
    """Put definitions in the place of names; returns a copy if there is any."""
    if not node.args.get("windows") and not any(w.args.get("alias") for w in _uses(node)):
        return node
    node = node.copy()
    known: dict[str, exp.Window] = {}
    for window in node.args.get("windows") or []:
        name = window.name.lower()
        if name in known:
            raise refuse(window, f"window {window.name!r} is defined twice")
        _fill(window, known)
        known[name] = window
    for use in _uses(node):
        _fill(use, known)
    node.set("windows", None)
    return node


def _uses(node: exp.Select) -> Iterator[exp.Window]:
    order = node.args.get("order")
    for item in [*node.expressions, *(order.expressions if order else [])]:
        yield from (part for part in parts(item) if isinstance(part, exp.Window))


def _fill(window: exp.Window, known: dict[str, exp.Window]) -> None:
    """Add what the window refers to, which PostgreSQL lets it add to but not change."""
    alias = window.args.get("alias")
    if alias is None:
        return
    base = known.get(alias.name.lower())
    if base is None:
        raise PlanError(
            f"no window {alias.name!r}{position(alias)}",
            step="sql",
            value=alias.name,
            alternatives=sorted(known),
            hint="name it behind FROM and WHERE: WINDOW w AS (PARTITION BY ... ORDER BY ...)",
        )
    own = [part for part in _PARTS if window.args.get(part)]
    if own and base.args.get("spec"):
        raise refuse(window, f"window {alias.name!r} has a frame, so that nothing can be added")
    for part, said in (("partition_by", "PARTITION BY"), ("order", "ORDER BY")):
        if part in own and (part == "partition_by" or base.args.get(part)):
            raise refuse(window, f"{said} of window {alias.name!r} cannot be changed")
    for part in _PARTS:
        value = base.args.get(part)
        if part not in own and value:
            copied = [v.copy() for v in value] if isinstance(value, list) else value.copy()
            window.set(part, copied)
    window.set("alias", None)
