"""As-of, temporal and lookup joins: each row with one of the other side's, by time.

::

    a ASOF JOIN b ON a.k = b.k AND a.ts >= b.ts            the latest row of b up to a.ts
    a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k       the same, by the event time of b
    a JOIN b FOR SYSTEM_TIME AS OF PROCTIME() ON a.k = b.k what b holds when the row of a comes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.plan.lookup_joins import LookupJoin
from penstock.sql_plan.arrivals import is_arrival, is_proctime
from penstock.sql_plan.binding import columns_in
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.joins import Condition, Key, beside, keys_between
from penstock.sql_plan.now_filters import kept
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.values import aligned
from penstock.sql_plan.versions import time_of, versions_of
from penstock.stream import Stream

_WATERMARK = (
    "give it rows that stay and WATERMARK FOR their time, "
    "or take what it holds now: FOR SYSTEM_TIME AS OF PROCTIME()"
)
_STRATEGIES: dict[type[exp.Expr], tuple[str, bool]] = {
    exp.GTE: ("backward", True),
    exp.GT: ("backward", False),
    exp.LTE: ("forward", True),
    exp.LT: ("forward", False),
}
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GTE: exp.LTE,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.LT: exp.GT,
}


@dataclass(frozen=True, slots=True)
class _Match:
    """Which times belong together: Polars' strategy, and whether equal times do."""

    left: pl.Expr
    right: pl.Expr
    strategy: str
    exact: bool


def is_as_of(join: exp.Join) -> bool:
    """Tell whether a join takes one row by time."""
    return (join.method or "").upper() == "ASOF" or join.this.args.get("version") is not None


def as_of_side(join: exp.Join) -> str:
    """Return ``inner`` or ``left``; refuses what else an as-of join may say of itself."""
    side = join.side.upper()
    if side not in ("", "LEFT"):
        raise refuse(join, f"a {side.lower()} join as of a time is not supported", hint="use LEFT")
    if join.kind.upper() not in ("", "INNER", "OUTER"):
        raise refuse(join, f"a {join.kind.lower()} join as of a time is not supported")
    if not any(join.args.get(part) for part in ("on", "using", "match_condition")):
        raise refuse(join, "a join as of a time needs equal keys", hint="ON a.k = b.k")
    return "left" if side else "inner"


def as_of(
    context: Context,
    left: Relation,
    right: Relation,
    how: str,
    found: list[Condition],
    node: exp.Expr,
) -> Relation:
    """``ASOF JOIN``: equalities, and one comparison of times."""
    keys, rest = _divided(left, right, found, node)
    if len(rest) != 1:
        raise refuse(
            node,
            "ASOF JOIN needs equalities and one comparison of times",
            hint="ASOF JOIN t ON a.k = t.k AND a.ts >= t.ts; other conditions go into WHERE",
        )
    return _nearest(context, left, right, how, keys, _match(left, right, rest[0]))


def at_system_time(
    context: Context,
    left: Relation,
    right: Relation,
    how: str,
    found: list[Condition],
    time: exp.Expr,
    node: exp.Expr,
) -> Relation:
    """``FOR SYSTEM_TIME AS OF time``: the version of the other side at that time."""
    keys, rest = _divided(left, right, found, node)
    if rest and how == "left":
        raise refuse(
            node, "a left join as of a time takes equalities", hint="put the others into WHERE"
        )
    if not keys:
        raise refuse(node, "a join as of a time needs equal keys", hint="ON r.key = a.key")
    if reads_now([left], time):
        result = _held_now(left, right, how, keys, node)
    else:
        result = _version(context, left, right, how, keys, time, node)
    return kept(result, [c.node for c in rest])


def reads_now(left: Sequence[Relation], time: exp.Expr) -> bool:
    """Tell whether a time is that at which a row comes: the other side is asked what it holds then."""
    return is_proctime(time) or any(is_arrival(piece.stream.node, time) for piece in left)


def _divided(
    left: Relation, right: Relation, found: list[Condition], node: exp.Expr
) -> tuple[list[Key], list[Condition]]:
    if any(not c.plain for c in found):
        raise refuse(node, "a query in the condition of a join as of a time is not supported")
    keys = keys_between(left, right, found)
    if any(key.safe for key in keys):
        raise refuse(node, "IS NOT DISTINCT FROM is not supported in a join as of a time")
    taken = [key.condition for key in keys]
    return keys, [c for c in found if c not in taken]


def _match(left: Relation, right: Relation, item: Condition) -> _Match:
    node, kind = item.node, type(item.node)
    if kind not in _STRATEGIES:
        raise refuse(node, "an as-of join compares times with >=, >, <= or <")
    one, two = node.this, node.expression
    if columns_in(one) <= right.columns and columns_in(two) <= left.columns:
        one, two, kind = two, one, _MIRRORED[kind]
    if not (columns_in(one) <= left.columns and columns_in(two) <= right.columns):
        raise refuse(node, "an as-of join compares a time of each side")
    times = _same_type(left, right, one, two, node)
    return _Match(*times, *_STRATEGIES[kind])


def _same_type(
    left: Relation, right: Relation, one: exp.Expr, two: exp.Expr, node: exp.Expr
) -> tuple[pl.Expr, pl.Expr]:
    a = scalars_over(left.stream.schema).of_rows(one)
    b = scalars_over(right.stream.schema).of_rows(two)
    same = aligned(a, b)
    kinds = {(v.dtype.is_temporal(), v.dtype.is_numeric()) for v in (a, b)}
    if same is None or kinds not in ({(True, False)}, {(False, True)}):
        raise refuse(node, f"cannot compare times of types {a.dtype} and {b.dtype}")
    return same[0].expr, same[1].expr


def _version(
    context: Context,
    left: Relation,
    right: Relation,
    how: str,
    keys: Sequence[Key],
    time: exp.Expr,
    node: exp.Expr,
) -> Relation:
    right = versions_of(right, [key.right for key in keys])
    column = time_of(right.stream.node)
    if column is None:
        raise refuse(node, "what is joined has no time of its versions", hint=_WATERMARK)
    if not columns_in(time) <= left.columns:
        raise refuse(time, "FOR SYSTEM_TIME AS OF takes a time of the rows before the join")
    version = exp.Column(this=exp.Identifier(this=column, quoted=True))
    one, two = _same_type(left, right, time, version, node)
    return _nearest(context, left, right, how, keys, _Match(one, two, "backward", exact=True))


def _nearest(
    context: Context, left: Relation, right: Relation, how: str, keys: Sequence[Key], match: _Match
) -> Relation:
    """Join by copies of the right's keys and time, so that its columns stay as they are."""
    mine, one = _named(context, left.stream, [match.left, *(key.left for key in keys)])
    copies = [context.names("as of") for _ in mine]
    exprs = [match.right, *(key.right for key in keys)]
    two = right.stream.with_columns(
        expr.alias(name) for expr, name in zip(exprs, copies, strict=True)
    )
    joined = one.join_asof(
        two,
        left_on=mine[0],
        right_on=copies[0],
        by_left=mine[1:] or None,
        by_right=copies[1:] or None,
        strategy=match.strategy,
        allow_exact_matches=match.exact,
    )
    if how == "inner":
        joined = joined.filter(pl.col(copies[0]).is_not_null())
    result = beside(left, right)
    columns = [*left.stream.columns, *right.stream.columns]
    return replace(result, stream=joined.select(columns), one_row=left.one_row)


def _named(context: Context, stream: Stream, exprs: Sequence[pl.Expr]) -> tuple[list[str], Stream]:
    """Return columns that hold expressions: where one is a column, that, which keeps its watermark."""
    plain = [expr.meta.is_column() for expr in exprs]
    names = [
        expr.meta.output_name() if bare else context.names("as of")
        for expr, bare in zip(exprs, plain, strict=True)
    ]
    for at, name in enumerate(names):
        if name in names[:at]:  # Polars takes a column once
            names[at], plain[at] = context.names("as of"), False
    made = [e.alias(n) for e, n, bare in zip(exprs, names, plain, strict=True) if not bare]
    return names, stream.with_columns(made) if made else stream


def _held_now(
    left: Relation, right: Relation, how: str, keys: Sequence[Key], node: exp.Expr
) -> Relation:
    if left.stream.is_changelog:
        raise refuse(
            node,
            "FOR SYSTEM_TIME AS OF PROCTIME() needs rows that stay, these may be deleted",
            hint="join without it, or as of an event time",
        )
    joined = LookupJoin(
        left=left.stream.node,
        right=right.stream.node,
        left_on=tuple(key.left for key in keys),
        right_on=tuple(key.right for key in keys),
        how=how,
    )
    return replace(beside(left, right), stream=Stream(joined))
