"""``ROWS``, ``GROUPS`` and ``RANGE``: the frame clause as it is written, with PostgreSQL's rules."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.frames import HIGH, LOW, VALUE, Frame
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.values import Value, aligned
from penstock.sql_plan.window_partitions import Partition

_EXCLUDED = ("NO OTHERS", "CURRENT ROW", "GROUP", "TIES")
_RANK = {("UNBOUNDED", "PRECEDING"): 0, ("", "PRECEDING"): 1, ("CURRENT ROW", ""): 2,
         ("", "FOLLOWING"): 3, ("UNBOUNDED", "FOLLOWING"): 4}  # fmt: skip
"""The order in which the ends of a frame may follow each other."""


def frame_of(
    scalars: Scalars, call: exp.Window, where: Partition
) -> tuple[Frame, dict[str, pl.Expr]]:
    """Return the frame of a call, and the columns that RANGE with a distance reads."""
    spec: exp.Expr | None = call.args.get("spec")
    order = tuple(where.order)
    if spec is None:
        return Frame("RANGE", None, 0 if order else None, order), {}
    kind = str(spec.args.get("kind")).upper()
    exclude = _excluded(spec)
    start, end = _side(spec, "start"), _side(spec, "end")
    _check(call, start, end)
    if not order and (kind != "RANGE" or exclude != "NO OTHERS"):
        whole = start[1:] == end[1:] == (None, 0) or (start[0], end[0]) == (0, 4)
        if not whole or exclude != "NO OTHERS":
            raise refuse(call, f"{kind} needs ORDER BY: rows without an order have no neighbours")
        return Frame(kind, None, None, order), {}
    distances = {n: side[1] for n, side in (("start", start), ("end", end)) if side[1] is not None}
    if kind != "RANGE":
        counts = {n: _count(scalars, node, kind) for n, node in distances.items()}
        ends = [
            None if side[0] in (0, 4) else (-1 if side[0] == 1 else 1) * counts.get(n, 0)
            for n, side in (("start", start), ("end", end))
        ]
        return Frame(kind, ends[0], ends[1], order, exclude), {}
    measured = _measured(scalars, call, start, end) if distances else {}
    if not order:  # all rows are equal
        return Frame(kind, None, None, order), {}
    flags = [None if s[0] in (0, 4) else int(s[1] is not None) for s in (start, end)]
    return Frame(kind, flags[0], flags[1], order, exclude), measured


def _excluded(spec: exp.Expr) -> str:
    found = spec.args.get("exclude")
    said = "NO OTHERS" if found is None else found.name.upper()
    if said not in _EXCLUDED:
        raise refuse(spec, f"EXCLUDE {said} is not known")
    return said


_Side = tuple[int, exp.Expr | None, int]
"""How far an end lies back (see ``_RANK``), and the distance that is written."""


def _side(spec: exp.Expr, name: str) -> _Side:
    found, direction = spec.args.get(name), spec.args.get(f"{name}_side")
    side = str(direction or "").upper()
    if isinstance(found, exp.Expr):
        return _RANK["", side], found, 0
    word = str(found or "CURRENT ROW").upper()
    return _RANK[word, "" if word == "CURRENT ROW" else side], None, 0


def _check(call: exp.Window, start: _Side, end: _Side) -> None:
    if start[0] == 4:
        raise refuse(call, "a frame cannot start at UNBOUNDED FOLLOWING")
    if end[0] == 0:
        raise refuse(call, "a frame cannot end at UNBOUNDED PRECEDING")
    if start[0] > end[0]:
        raise refuse(call, "a frame cannot end before it starts")


def _constant(scalars: Scalars, node: exp.Expr, what: str) -> Value:
    if node.find(exp.Column):
        raise refuse(node, f"{what} of a frame must be a constant")
    return scalars.value(node)


def _count(scalars: Scalars, node: exp.Expr, kind: str) -> int:
    count = pl.select(_constant(scalars, node, f"the number of {kind}").expr).item()
    if not isinstance(count, int) or count < 0:
        raise refuse(
            node, f"the number of {kind} in a frame is a whole number that is not negative"
        )
    return count


def _measured(scalars: Scalars, call: exp.Window, start: _Side, end: _Side) -> dict[str, pl.Expr]:
    """Return the value that is ordered by and the ends of the frame, so that all of them ascend."""
    items = call.args["order"].expressions if call.args.get("order") else []
    if len(items) != 1:
        raise refuse(call, "RANGE with a distance needs exactly one column in ORDER BY")
    value, down = scalars.of_rows(items[0].this), bool(items[0].args.get("desc"))
    if not (value.dtype.is_numeric() or value.dtype.is_temporal()):
        raise refuse(call, f"RANGE with a distance needs a number or an instant, not {value.dtype}")
    ends = {}
    for name, side in ((LOW, start), (HIGH, end)):
        if side[1] is not None:
            distance = _distance(scalars, value, side[1])
            back = (side[0] == 1) != down
            kind = exp.Sub if back else exp.Add
            ends[name] = scalars.value(kind(this=items[0].this.copy(), expression=distance))
    same = aligned(value, *ends.values())
    if same is None:
        raise refuse(call, f"the distance of RANGE does not fit {value.dtype}")
    names = (VALUE, *ends)
    return {n: _ascending(v, down=down) for n, v in zip(names, same, strict=True)}


def _distance(scalars: Scalars, value: Value, node: exp.Expr) -> exp.Expr:
    """Return a distance that is not negative; a text beside an instant is an interval."""
    temporal = value.dtype.is_temporal()
    if temporal and isinstance(node, exp.Literal) and node.args.get("is_string"):
        node = exp.Interval(this=node.copy())
    distance = _constant(scalars, node, "the distance")
    if not (temporal if distance.is_interval else distance.dtype.is_numeric()):
        raise refuse(node, f"a distance of {distance.dtype} does not fit {value.dtype}")
    if temporal and not distance.is_interval and value.dtype != pl.Date:
        raise refuse(node, "the distance between instants is an interval")
    size = pl.select(distance.expr).item()
    if size is None or size < size * 0:
        raise refuse(node, "the distance of a frame must not be null or negative")
    return node


def _ascending(value: Value, *, down: bool) -> pl.Expr:
    expr = value.expr
    if value.dtype.is_float():
        expr = expr.cast(pl.Float64).fill_nan(float("inf"))
    else:
        expr = expr.to_physical() if not value.dtype.is_integer() else expr
        expr = expr.cast(pl.Int64)
    return -expr if down else expr
