"""Conditions on ``now()``: rows that enter and leave a result as the clock moves.

::

    WHERE ts > now() - INTERVAL '5 minutes'    -> there until ts + 5 minutes
    WHERE ts <= now()                          -> there since ts
    WHERE day = CURRENT_DATE                   -> there since day, until the day after

Each comparison becomes an instant of each row since which, or until which, it is true; the engine's
temporal filter does the rest, by timers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl
from sqlglot import exp

from penstock.plan.temporal_filters import TemporalFilter
from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.binding import parts
from penstock.sql_plan.casts import cast
from penstock.sql_plan.clock import is_now, reads_clock
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Relation
from penstock.sql_plan.scalars import Scalars
from penstock.sql_plan.types import dtype_of
from penstock.sql_plan.values import literal_as
from penstock.stream import Stream

_HINT = "compare it with a time of the row: ts > now() - INTERVAL '5 minutes' AND ..."
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}
_NEGATED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LTE,
    exp.GTE: exp.LT,
    exp.LT: exp.GTE,
    exp.LTE: exp.GT,
}
_UNITS = {"second": "1s", "minute": "1m", "hour": "1h", "day": "1d", "week": "1w", "month": "1mo",
          "quarter": "1q", "year": "1y"}  # fmt: skip


def kept(relation: Relation, nodes: Sequence[exp.Expr]) -> Relation:
    """Keep the rows for which all bound conditions are true, those on the clock last."""
    moving = [node for node in nodes if reads_clock(node)]
    scalars = scalars_over(relation.stream.schema)
    standing = [scalars.predicate(node) for node in nodes if node not in moving]
    relation = relation.filtered(standing)
    if not moving:
        return relation
    bounds = [bound for node in moving for bound in _bounds(scalars, node)]
    since = [bound.instant for bound in bounds if bound.begins]
    until = [bound.instant for bound in bounds if not bound.begins]
    step = TemporalFilter(
        input=relation.stream.node,
        since=_all(since, pl.max_horizontal(since)) if since else None,
        until=_all(until, pl.min_horizontal(until)) if until else None,
    )
    return replace(relation, stream=Stream(step))


def _all(instants: list[pl.Expr], decisive: pl.Expr) -> pl.Expr:
    """A comparison with null is not true: where one instant is null, so is the whole."""
    if len(instants) == 1:
        return instants[0]
    return pl.when(pl.all_horizontal(i.is_not_null() for i in instants)).then(decisive)


@dataclass(frozen=True, slots=True)
class _Bound:
    """The instant, in microseconds, at which a comparison becomes true (``begins``) or false."""

    instant: pl.Expr
    begins: bool


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read from the clock: ``floor(now + ahead, unit) + after``, in microseconds."""

    ahead: int = 0
    unit: str | None = None
    after: int = 0

    def moved(self, micros: int) -> _Reading:
        """Return it with a span added."""
        if self.unit is None:
            return replace(self, ahead=self.ahead + micros)
        return replace(self, after=self.after + micros)


def _bounds(scalars: Scalars, node: exp.Expr) -> Iterator[_Bound]:
    node = node.unnest()
    if isinstance(node, exp.Between):
        low, high = node.args["low"], node.args["high"]
        yield from _bounds(scalars, exp.GTE(this=node.this, expression=low))
        yield from _bounds(scalars, exp.LTE(this=node.this, expression=high))
        return
    if isinstance(node, exp.Not) and type(node.this.unnest()) in _NEGATED:
        inside = node.this.unnest()
        kind = _NEGATED[type(inside)]
        yield from _bounds(scalars, kind(this=inside.this, expression=inside.expression))
        return
    if type(node) not in _MIRRORED:
        raise refuse(node, "a condition on now() is one comparison", hint=_HINT)
    clock, kind, other = _sides(node)
    if not reads_clock(clock):  # the other half of BETWEEN
        yield from _always(scalars, node)
        return
    reading, instant = _reading(clock), _instant(scalars, other)
    for one in (exp.GTE, exp.LTE) if kind is exp.EQ else (kind,):
        yield _bound(reading, one, instant)


def _sides(node: exp.Expr) -> tuple[exp.Expr, type[exp.Expr], exp.Expr]:
    """Return the side that reads the clock, how it compares, and the other one."""
    left, right, kind = node.this.unnest(), node.expression.unnest(), type(node)
    if reads_clock(right):
        left, right, kind = right, left, _MIRRORED[kind]
    if reads_clock(right):
        raise refuse(node, "now() stands on both sides", hint=_HINT)
    if not isinstance(left, exp.Sub) or is_interval(left.expression):
        return left, kind, right
    one, two = left.this.unnest(), left.expression.unnest()
    if isinstance(two, exp.Literal):
        return left, kind, right
    if reads_clock(one) and not reads_clock(two):  # now() - ts < INTERVAL '1 hour'
        return one, kind, exp.Add(this=exp.Paren(this=two), expression=right)
    if reads_clock(two) and not reads_clock(one):
        return two, _MIRRORED[kind], exp.Sub(this=exp.Paren(this=one), expression=right)
    return left, kind, right


def is_interval(node: exp.Expr) -> bool:
    """Tell whether a node is a written interval."""
    inside = node.unnest()
    return isinstance(inside, exp.Interval) or (
        isinstance(inside, exp.Cast) and inside.to.this is exp.DataType.Type.INTERVAL
    )


def _always(scalars: Scalars, node: exp.Expr) -> Iterator[_Bound]:
    """A comparison without the clock: true since ever, or never."""
    true = scalars.predicate(node)
    ever = pl.lit(-(1 << 62), dtype=pl.Int64)
    yield _Bound(pl.when(true).then(ever), begins=True)


def _bound(reading: _Reading, kind: type[exp.Expr], instant: pl.Expr) -> _Bound:
    """``floor(now + ahead) + after >= x`` is ``now >= ceil(x - after) - ahead``, and so on."""
    begins = kind in (exp.GT, exp.GTE)
    found = _plus(instant.dt.epoch("us"), -reading.after)
    if reading.unit is None:
        strict = kind in (exp.GT, exp.LTE)
        return _Bound(_plus(found, int(strict) - reading.ahead), begins)
    moved = found.cast(pl.Datetime("us"))
    floor = moved.dt.truncate(reading.unit)
    following = floor.dt.offset_by(reading.unit)
    if kind in (exp.GTE, exp.LT):
        following = pl.when(floor == moved).then(floor).otherwise(following)
    return _Bound(_plus(following.dt.epoch("us"), -reading.ahead), begins)


def _plus(micros: pl.Expr, more: int) -> pl.Expr:
    return micros + more if more else micros


def _instant(scalars: Scalars, node: exp.Expr) -> pl.Expr:
    """Return what the clock is compared with as a time in UTC without a zone."""
    if any(is_now(part) for part in parts(node)):
        raise refuse(node, "now() stands on both sides", hint=_HINT)
    value = scalars.value(node)
    if value.constant and value.dtype == pl.String:
        value = literal_as(value, pl.Datetime("us"))
    if value.dtype != pl.Date and not isinstance(value.dtype, pl.Datetime):
        raise refuse(node, f"now() is compared with a time, not {value.dtype}", hint=_HINT)
    plain = value.dtype == pl.Datetime("us")
    return value.expr if plain else cast(value, pl.Datetime("us"), strict=True)


def _reading(node: exp.Expr) -> _Reading:
    """Return what is read from the clock; refuses what does not just move or truncate it."""
    node = node.unnest()
    if isinstance(node, exp.CurrentDate):
        return _Reading(unit="1d")
    if is_now(node) and not isinstance(node, (exp.CurrentTime, exp.Localtime)):
        return _Reading()
    if isinstance(node, (exp.Add, exp.Sub)):
        return _shifted(node)
    if isinstance(node, (exp.Cast, exp.Date, exp.TsOrDsToDate)):
        return _converted(node)
    if isinstance(node, (exp.TimestampTrunc, exp.DateTrunc)):
        unit = _UNITS.get(node.args["unit"].name.lower())
        inner = _reading(node.this)
        if unit is not None and inner.unit is None:
            return replace(inner, unit=unit)
    raise refuse(node, "this cannot be computed from a clock that moves", hint=_HINT)


def _shifted(node: exp.Add | exp.Sub) -> _Reading:
    sign, clock, span = (1 if isinstance(node, exp.Add) else -1), node.this, node.expression
    if sign > 0 and not reads_clock(clock):
        clock, span = span, clock
    inner, span = _reading(clock), span.unnest()
    if isinstance(span, exp.Literal) and span.is_int and inner.unit == "1d":  # CURRENT_DATE - 7
        return inner.moved(sign * int(span.name) * 86_400_000_000)
    if isinstance(span, exp.Cast) and is_interval(span):
        span = exp.Interval(this=span.this)
    if not isinstance(span, exp.Interval):
        raise refuse(node, "now() is moved by a written INTERVAL", hint=_HINT)
    length = interval(scalars_over(pl.Schema()), span)
    if length.months:
        raise refuse(
            node,
            "months have no fixed length, so that now() cannot be moved by them",
            hint="move the other side: ts + INTERVAL '1 month' > now()",
        )
    return inner.moved(sign * int(length.literal))


def _converted(node: exp.Expr) -> _Reading:
    """A cast to a timestamp reads the same instant, one to a date the day."""
    inner = _reading(node.this)
    target = dtype_of(node.args["to"]) if isinstance(node, exp.Cast) else pl.Date()
    if isinstance(target, pl.Datetime):
        return inner
    if target == pl.Date and inner.unit is None:
        return replace(inner, unit="1d")
    if target == pl.Date and inner.unit == "1d" and inner.after % 86_400_000_000 == 0:
        return inner
    raise refuse(node, "this cannot be computed from a clock that moves", hint=_HINT)
