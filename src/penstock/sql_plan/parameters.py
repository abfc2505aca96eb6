"""Values that stand beside a statement: ``$1``, ``?``, ``:name``, ``%(name)s``.

They take their places in the syntax tree, as constants. No text is put together, so that what a value
holds is never read as SQL.
"""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlglot import exp

from penstock.errors import PlanError
from penstock.sql_plan.dialect import refuse

Parameters = Sequence[Any] | Mapping[str, Any]

_PLACES = (exp.Parameter, exp.Placeholder)
_TAKERS = (exp.Query, exp.Values, exp.Insert, exp.Update, exp.Delete)


def given(node: exp.Expr, values: Parameters | None) -> exp.Expr:
    """Return a statement with values in the places of its parameters."""
    if not any(True for _ in node.find_all(*_PLACES)):
        return node
    if values is None:
        place = next(node.find_all(*_PLACES))
        raise refuse(place, "a parameter has no value", hint="session.sql(text, [value, ...])")
    if not isinstance(node, _TAKERS):
        raise refuse(
            next(node.find_all(*_PLACES)),
            "parameters are for queries, INSERT, UPDATE and DELETE",
            hint="a definition is kept as its text: write the value there",
        )
    return node.transform(
        lambda part: _value(part, values) if isinstance(part, _PLACES) else part, copy=False
    )


def _value(place: exp.Expr, values: Parameters) -> exp.Expr:
    name = place.name if isinstance(place, exp.Placeholder) else place.this.name
    if isinstance(values, Mapping):
        if name not in values:
            raise PlanError(
                f"parameter {name!r} has no value",
                step="sql",
                value=name,
                alternatives=[str(key) for key in values],
            )
        return written(values[name], name)
    if not name.isdigit() or not 1 <= int(name) <= len(values):
        raise PlanError(
            f"parameter {name!r} has no value: there are {len(values)}",
            step="sql",
            value=name,
            hint="$1 is the first; names need a dict",
        )
    return written(values[int(name) - 1], name)


def written(value: Any, name: str) -> exp.Expr:
    """Return a Python value as a constant; a text has no type of its own, as one in quotes."""
    if value is None:
        return exp.Null()
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    if isinstance(value, (list, tuple)):
        return exp.Array(expressions=[written(item, name) for item in value])
    raise PlanError(
        f"parameter {name!r} is a {type(value).__name__}",
        step="sql",
        value=type(value).__name__,
        hint="give numbers, text, bytes, dates, times, lists, or a dict for JSON",
    )


def _as(kind: str, text: str) -> exp.Expr:
    return exp.cast(exp.Literal.string(text), kind)


def _whole(value: int) -> exp.Expr:
    number = exp.Literal.number(str(abs(value)))
    return exp.Paren(this=exp.Neg(this=number)) if value < 0 else number


def _decimal(value: Decimal) -> exp.Expr:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise PlanError(f"{value} is no number that a decimal holds", step="sql", value=str(value))
    scale = max(0, -exponent)
    digits = max(len(value.as_tuple().digits) + max(0, exponent), scale, 1)
    return _as(f"numeric({digits}, {scale})", f"{value:f}")


def _instant(value: datetime.datetime) -> exp.Expr:
    if value.tzinfo is None:
        return _as("timestamp", str(value))
    return _as("timestamptz", str(value.astimezone(datetime.UTC).replace(tzinfo=None)))


def _span(value: datetime.timedelta) -> exp.Expr:
    micros = value // datetime.timedelta(microseconds=1)
    return exp.Interval(this=exp.Literal.string(f"{micros} microseconds"))


_WRITERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], exp.Expr]], ...] = (
    (bool, lambda value: exp.Boolean(this=value)),
    (int, _whole),
    (float, lambda value: _as("double precision", repr(float(value)))),
    (Decimal, _decimal),
    ((str, uuid.UUID), lambda value: exp.Literal.string(str(value))),
    ((bytes, bytearray), lambda value: _as("bytea", "\\x" + bytes(value).hex())),
    (datetime.datetime, _instant),
    (datetime.date, lambda value: _as("date", value.isoformat())),
    (datetime.time, lambda value: _as("time", value.isoformat())),
    (datetime.timedelta, _span),
    (dict, lambda value: exp.Literal.string(json.dumps(value))),
)
"""Kinds of values in the order in which they are tried: a bool is an int, a datetime a date."""
