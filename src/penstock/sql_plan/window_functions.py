"""Windows as functions in GROUP BY, Flink's older spelling, to windows in FROM.

::

    SELECT k, TUMBLE_START(ts, INTERVAL '1' MINUTE), count(*) FROM t
    GROUP BY k, TUMBLE(ts, INTERVAL '1' MINUTE)
    -> SELECT k, window_start, count(*) FROM TUMBLE(t, ts, INTERVAL '1' MINUTE)
       GROUP BY k, window_start, window_end
"""

from __future__ import annotations

from sqlglot import exp

from penstock.sql_plan.binding import parts, rewritten
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.window_tables import WINDOW_TIME
from penstock.windows import END, START

_KINDS = ("TUMBLE", "HOP", "SESSION")
_ENDS = {"START": START, "END": END, "ROWTIME": WINDOW_TIME}


def with_windows_in_from(node: exp.Select) -> exp.Select:
    """Move a window function of GROUP BY into FROM; returns the query itself if there is none."""
    group = node.args.get("group")
    if group is None:
        return node
    calls = [item for item in group.expressions if _is_window(item)]
    if not calls:
        return node
    if len(calls) > 1:
        raise refuse(calls[1], "GROUP BY takes one window")
    node, call = node.copy(), calls[0]
    others = [item for item in group.expressions if item is not call]
    in_from(node, call, others)
    keys = [_column(name, call) for name in _ENDS.values()]
    node.args["group"].set("expressions", [*(item.copy() for item in others), *keys])
    for clause in ("expressions", "having", "order"):
        found = node.args.get(clause)
        if isinstance(found, list):
            node.set(clause, [_with_ends(item, call, named=True) for item in found])
        elif found is not None:
            node.set(clause, _with_ends(found, call, named=False))
    return node


def _is_window(item: exp.Expr) -> bool:
    return isinstance(item, exp.Anonymous) and item.name.upper() in _KINDS


def _column(name: str, like: exp.Expr) -> exp.Column:
    found = exp.Column(this=exp.to_identifier(name))
    found.meta.update(next((part.meta for part in like.walk() if "line" in part.meta), {}))
    return found


def in_from(node: exp.Select, call: exp.Anonymous, others: list[exp.Expr]) -> None:
    """Put a window function around the one item of FROM; sessions are kept apart by ``others``."""
    source = node.args.get("from_")
    if source is None or node.args.get("joins") or source.this.args.get("joins"):
        raise refuse(
            call,
            f"{call.name.upper()} in GROUP BY needs one table in FROM",
            hint="join in a query of its own, or write FROM TUMBLE(t, ts, INTERVAL '1 minute')",
        )
    item = source.this.copy()
    name = item.alias_or_name
    time, *spans = (part.copy() for part in call.expressions)
    if isinstance(time, exp.Column):
        time.set("table", None)
    table: exp.Expr = item
    if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
        table = exp.Column(this=item.this)
    moved = exp.Anonymous(this=call.name.upper(), expressions=[table, time, *spans])
    if call.name.upper() == "SESSION" and others:
        moved.set("partition_by", [item.copy() for item in others])
    alias = exp.TableAlias(this=exp.to_identifier(name)) if name else None
    source = exp.From(this=exp.Table(this=moved, alias=alias))
    node.set("from_", source)


def _with_ends(whole: exp.Expr, call: exp.Anonymous, *, named: bool) -> exp.Expr:
    """Replace ``TUMBLE_START(ts, size)`` and the like; an output keeps the name of its function."""

    def end(part: exp.Expr) -> exp.Expr | None:
        if not isinstance(part, exp.Anonymous):
            return None
        kind, _, which = part.name.upper().partition("_")
        if kind not in _KINDS or which not in _ENDS:
            return None
        if kind != call.name.upper() or part.expressions != call.expressions:
            raise refuse(
                part, "this is not the window of GROUP BY", hint="give it the same arguments"
            )
        return _column(_ENDS[which], part)

    if not any(end(part) is not None for part in parts(whole)):
        return whole
    found = rewritten(whole, end)
    if named and isinstance(whole, exp.Anonymous):
        return exp.alias_(found, whole.name.lower())
    return found
