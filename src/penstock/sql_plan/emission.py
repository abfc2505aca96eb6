"""EMIT ON WINDOW CLOSE: each result once, when the watermark says that it cannot change any more."""

from __future__ import annotations

import dataclasses

from sqlglot import exp

from penstock.errors import PlanError
from penstock.plan.grouping import Aggregate, Emission, Final
from penstock.plan.node import Node, walk
from penstock.plan.rows import RowStep
from penstock.plan.sharing import rewired
from penstock.plan.sources import Watermark
from penstock.sql_plan.dialect import position
from penstock.stream import Stream

_WATERMARK = "declare one where the rows come from: WATERMARK FOR ts AS ts - INTERVAL '5 seconds'"
_WINDOW = "group by a window: FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_start, ..."


def emitted_once(stream: Stream, node: exp.Expr) -> Stream:
    """Return the stream with its results held back until their windows are closed.

    Every aggregation whose groups end holds them until they do, so that the query need not select
    ``window_start`` or ``window_end``, and what is computed from results sees final ones only. What
    changes for another reason (a join, a rank) is held by a step of its own. Refused without a
    watermark, and where no group or row ever is complete.
    """
    if not any(isinstance(step, Watermark) for step in walk(stream.node)):
        raise _refused(node, "no watermark is declared on what it reads", _WATERMARK)
    if not any(isinstance(step, Aggregate) for step in walk(stream.node)):
        raise _refused(node, "there is no window: its rows never change", _WINDOW)
    found = _final(_closing(stream.node), node)
    if found.properties.changelog:
        raise _refused(node, "its results may change after the window is closed", _WINDOW)
    return Stream(found)


def _closing(root: Node) -> Node:
    """Return the plan with every aggregation emitting a group when it has ended, where it does."""
    made: dict[int, Node] = {}
    for step in walk(root):
        found = rewired(step, made, step.label)
        if isinstance(found, Aggregate) and found.properties.changelog and found.properties.times:
            found = dataclasses.replace(found, emission=Emission.FINAL)
        made[id(step)] = found
    return made[id(root)]


def _final(step: Node, node: exp.Expr) -> Node:
    if not step.properties.changelog:
        return step
    if isinstance(step, RowStep):
        return dataclasses.replace(step, input=_final(step.input, node))
    if not step.properties.times:
        raise _refused(node, "no window over the watermark is among its groups", _WINDOW)
    return Final(input=step, line=step.line)


def _refused(node: exp.Expr, why: str, hint: str) -> PlanError:
    return PlanError(
        f"EMIT ON WINDOW CLOSE{position(node)} can never emit: {why}", step="sql", hint=hint
    )
