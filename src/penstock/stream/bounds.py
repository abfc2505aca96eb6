"""Options that bound what a step keeps, checked where they are written."""

from __future__ import annotations

from penstock.errors import PlanError
from penstock.instants import Duration, positive_ns


def lifetime_ns(ttl: Duration | None, step: str) -> int | None:
    """Return a time to live in nanoseconds; None is for ever."""
    return None if ttl is None else positive_ns(ttl, step=step, option="ttl")


def row_limit(rows: int | None, step: str) -> int | None:
    """Return ``max_group_rows`` as it is; ``PlanError`` unless it is a positive integer or None."""
    if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
        raise PlanError(f"max_group_rows must be a positive integer, not {rows!r}", step=step)
    return rows
