"""Arithmetic of numbers, instants and intervals, as PostgreSQL defines it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import polars as pl
from sqlglot import exp

from penstock.sql_plan import intervals
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.json_changes import is_jsonb, less
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.types import MAX_DIGITS, scale_of, sql_type
from penstock.sql_plan.values import (
    Value,
    aligned,
    constant,
    constant_span,
    literal_as,
    ratio,
    span_of,
)

_QUOTIENT_SCALE = 16
"""Digits after the point that a quotient of decimals has at least, as in PostgreSQL."""


def interval(scalars: Scalars, node: exp.Expr) -> Value:
    """Return a written interval: microseconds, and months apart, which have no fixed length."""
    unit = node.args["unit"].name.lower() if node.args.get("unit") else None
    text = str(scalars.written(node.this, "an interval"))
    try:
        months, micros = intervals.span(text, unit)
    except ValueError:
        raise refuse(node, "cannot read the interval") from None
    return constant_span(months, micros)


def shifted(value: Value, span: Value, sign: int) -> Value:
    """Return an instant or a date moved by an interval; a date becomes a timestamp."""
    dtype = pl.Datetime("us") if value.dtype == pl.Date else value.dtype
    expr = value.expr.cast(dtype) if value.dtype == pl.Date else value.expr
    if span.month_count is not None:
        moved = (span.month_count * sign).cast(pl.String)
        expr = expr.dt.offset_by(pl.concat_str([moved, pl.lit("mo")]))
    elif span.months:
        expr = expr.dt.offset_by(f"{sign * span.months}mo")
    if not span.constant or span.literal:
        length = span.fixed.cast(pl.Duration(dtype.time_unit))  # type: ignore[attr-defined]
        expr = expr + length if sign > 0 else expr - length
    return Value(expr, dtype)


def _is_instant(value: Value) -> bool:
    return value.dtype == pl.Date or isinstance(value.dtype, pl.Datetime)


def _sum(sign: int) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        if sign < 0 and is_jsonb(node.this):
            return less(scalars, node)
        left, right = _untyped(scalars.value(node.this), scalars.value(node.expression))
        moved = _of_instants(scalars, left, right, sign)
        if moved is not None:
            return moved
        if not _summable(left, right):
            raise _no_operator(node, left, right)
        one, two = _numbers(node, left, right)
        if one.dtype.is_integer():
            combine = operator.add if sign > 0 else operator.sub
            return _checked(scalars, node, one, two, combine)
        return scalars.typed(one.expr + two.expr if sign > 0 else one.expr - two.expr)

    return translate


def _of_instants(scalars: Scalars, left: Value, right: Value, sign: int) -> Value | None:
    """Return sums of instants, dates and intervals; None if the operands are others."""
    if right.is_interval and _is_instant(left):
        return shifted(left, right, sign)
    if sign > 0 and left.is_interval and _is_instant(right):
        return shifted(right, left, sign)
    if left.dtype == pl.Date and right.dtype.is_integer():
        return scalars.typed(left.expr.dt.offset_by(_days(right.expr * sign)))
    if sign > 0 and right.dtype == pl.Date and left.dtype.is_integer():
        return scalars.typed(right.expr.dt.offset_by(_days(left.expr)))
    if sign < 0 and left.dtype == pl.Date and right.dtype == pl.Date:
        return Value((left.expr - right.expr).dt.total_days().cast(pl.Int32), pl.Int32())
    if left.is_interval and right.is_interval and (left.has_months or right.has_months):
        return _spans(left, right, sign)
    return _on_the_clock(left, right, sign)


def _spans(left: Value, right: Value, sign: int) -> Value:
    if left.constant and right.constant:
        return constant_span(left.months + sign * right.months, left.literal + sign * right.literal)
    theirs = right.counted_months
    months: pl.Expr = left.counted_months + (theirs if sign > 0 else -theirs)
    one, two = (v.fixed.dt.total_microseconds() for v in (left, right))
    return span_of(months, one + sign * two)


def _on_the_clock(left: Value, right: Value, sign: int) -> Value | None:
    """``date + time`` is an instant; a time moved by an interval stays within its day."""
    if sign > 0 and {left.dtype, right.dtype} == {pl.Date(), pl.Time()}:
        day, time = (left, right) if left.dtype == pl.Date else (right, left)
        length = (time.expr.to_physical() // 1000).cast(pl.Duration("us"))
        return Value(day.expr.cast(pl.Datetime("us")) + length, pl.Datetime("us"))
    for time, span in ((left, right), (right, left)):
        if time.dtype == pl.Time and span.is_interval and (sign > 0 or time is left):
            nanos = time.expr.to_physical() + sign * span.fixed.dt.total_microseconds() * 1000
            return Value((nanos % 86_400_000_000_000).cast(pl.Time), pl.Time())
    return None


def _summable(left: Value, right: Value) -> bool:
    numbers = left.dtype.is_numeric() and right.dtype.is_numeric()
    spans = left.is_interval and right.is_interval
    instants = isinstance(left.dtype, pl.Datetime) and isinstance(right.dtype, pl.Datetime)
    nothing = pl.Null in (left.dtype, right.dtype)
    return numbers or spans or instants or nothing or pl.Time in (left.dtype, right.dtype)


def _no_operator(node: exp.Expr, left: Value, right: Value) -> Exception:
    texts = isinstance(node, exp.Add) and pl.String in (left.dtype, right.dtype)
    return refuse(
        node,
        f"no such operator for {sql_type(left.dtype)} and {sql_type(right.dtype)}",
        hint="|| joins texts; cast(x AS numeric) reads a number" if texts else None,
    )


def _untyped(left: Value, right: Value) -> tuple[Value, Value]:
    """Give a constant text the type of the number or instant beside it."""
    for one, two in ((left, right), (right, left)):
        if one.constant and one.dtype == pl.String and two.dtype != pl.String:
            read = literal_as(one, two.dtype)
            return (read, right) if one is left else (left, read)
    return left, right


def _days(count: pl.Expr) -> pl.Expr:
    return pl.concat_str([count.cast(pl.Int64).cast(pl.String), pl.lit("d")])


def _numbers(node: exp.Expr, left: Value, right: Value) -> list[Value]:
    found = aligned(left, right)
    if found is None:
        raise _no_operator(node, left, right)
    return found


def _product(scalars: Scalars, node: exp.Expr) -> Value:
    left, right = _untyped(scalars.value(node.this), scalars.value(node.expression))
    for span, factor in ((left, right), (right, left)):
        if span.is_interval and factor.dtype.is_numeric():
            return _times(scalars, span, factor)
    one, two = _arithmetic(node, left, right)
    if one.dtype.is_decimal():
        scale = scale_of(left.dtype) + scale_of(right.dtype)
        wide = pl.Decimal(MAX_DIGITS, min(MAX_DIGITS, scale))
        return Value(left.expr.cast(wide) * right.expr.cast(wide), wide)
    if one.dtype.is_integer():
        return _checked(scalars, node, one, two, operator.mul)
    return scalars.typed(one.expr * two.expr)


def _checked(
    scalars: Scalars, node: exp.Expr, one: Value, two: Value, combine: Callable[[Any, Any], Any]
) -> Value:
    """Combine whole numbers; a row whose result is out of range fails, rather than wrap around.

    The wider type and the cast back cost 3 to 5 ns a row.
    """
    dtype = one.dtype
    if one.constant and two.constant and None not in (one.literal, two.literal):
        result = combine(one.literal, two.literal)
        if not _fits(result, dtype):
            raise refuse(node, f"{sql_type(dtype).lower()} out of range")
        return constant(result, dtype)
    wide = _WIDER.get(dtype)
    if wide is None:
        return Value(combine(one.expr, two.expr), dtype)
    whole = combine(one.expr.cast(wide), two.expr.cast(wide))
    return Value(whole.cast(dtype, strict=scalars.strict), dtype)


_WIDER: dict[pl.DataType, pl.DataType] = {
    **dict.fromkeys((pl.Int8(), pl.Int16(), pl.Int32(), pl.UInt8(), pl.UInt16()), pl.Int64()),
    **dict.fromkeys((pl.UInt32(), pl.UInt64(), pl.Int64()), pl.Int128()),
}
"""Types in which sums and products of whole numbers have room."""


def _fits(number: int, dtype: pl.DataType) -> bool:
    least, most = (pl.select(edge).item() for edge in (dtype.min(), dtype.max()))  # type: ignore[attr-defined]
    return bool(least <= number <= most)


def _times(scalars: Scalars, span: Value, factor: Value) -> Value:
    if span.has_months:
        if not factor.dtype.is_integer():
            raise ValueError("months can be multiplied by whole numbers only")
        if factor.constant and span.constant and factor.literal is not None:
            return constant_span(span.months * factor.literal, span.literal * factor.literal)
        micros = span.fixed.dt.total_microseconds() * factor.expr
        return span_of(span.counted_months * factor.expr, micros)
    return scalars.typed(
        (span.expr.dt.total_microseconds() * factor.expr).cast(pl.Int64).cast(span.dtype)
    )


def _arithmetic(node: exp.Expr, left: Value, right: Value) -> list[Value]:
    for value in (left, right):
        if not (value.dtype.is_numeric() or value.dtype == pl.Null):
            raise _no_operator(node, left, right)
    return _numbers(node, left, right)


def _quotient(scalars: Scalars, node: exp.Expr) -> Value:
    left, right = _untyped(scalars.value(node.this), scalars.value(node.expression))
    if left.is_interval and right.dtype.is_numeric():
        micros = ratio(left.expr.dt.total_microseconds().cast(pl.Float64), right.expr)
        return Value(micros.round().cast(pl.Int64).cast(left.dtype), left.dtype)
    one, two = _arithmetic(node, left, right)
    divisor = pl.when(two.expr != 0).then(two.expr)
    if one.dtype.is_integer():
        whole = one.expr.abs() // divisor.abs()
        signed = pl.when((one.expr < 0) != (two.expr < 0)).then(-whole).otherwise(whole)
        return Value(signed.cast(one.dtype), one.dtype)
    if one.dtype.is_decimal():
        scale = max(_QUOTIENT_SCALE, scale_of(one.dtype))
        return scalars.typed(one.expr.cast(pl.Decimal(MAX_DIGITS, scale)) / divisor)
    if pl.Null in (one.dtype, two.dtype):
        return scalars.typed(one.expr / divisor)
    return Value(ratio(one.expr, divisor).cast(one.dtype), one.dtype)


def _remainder(scalars: Scalars, node: exp.Expr) -> Value:
    left, right = _untyped(scalars.value(node.this), scalars.value(node.expression))
    one, two = _arithmetic(node, left, right)
    rest = one.expr % pl.when(two.expr != 0).then(two.expr)
    crossed = (rest != 0) & ((one.expr < 0) != (two.expr < 0))
    return Value(pl.when(crossed).then(rest - two.expr).otherwise(rest), one.dtype)


def _negative(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    if value.month_count is not None:
        return Value(-value.expr, value.dtype, month_count=-value.month_count)
    if value.constant and value.literal is not None:
        return Value(-value.expr, value.dtype, -value.months, -value.literal)
    if value.dtype.is_integer():
        return _checked(scalars, node, constant(0, value.dtype), value, operator.sub)
    return Value(-value.expr, value.dtype, -value.months, value.literal)


def _bits(name: str) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        left, right = _arithmetic(node, *scalars.values([node.this, node.expression]))
        return scalars.typed(getattr(left.expr, name)(right.expr))

    return translate


def _shift(*, left: bool) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        value, by = _arithmetic(node, *scalars.values([node.this, node.expression]))
        power = pl.lit(2, dtype=pl.Int64).pow(by.expr.cast(pl.Int64))
        wide = value.expr.cast(pl.Int64)
        moved = wide * power if left else wide // power
        return Value(moved.cast(value.dtype), value.dtype)

    return translate


def _inverted(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.number(node.this)
    return Value(-value.expr - 1, value.dtype)


NODES: dict[type[exp.Expr], Translator] = {
    exp.Add: _sum(1),
    exp.Sub: _sum(-1),
    exp.Mul: _product,
    exp.Div: _quotient,
    exp.IntDiv: _quotient,
    exp.Mod: _remainder,
    exp.Neg: _negative,
    exp.Interval: interval,
    exp.BitwiseAnd: _bits("__and__"),
    exp.BitwiseOr: _bits("__or__"),
    exp.BitwiseXor: _bits("__xor__"),
    exp.BitwiseLeftShift: _shift(left=True),
    exp.BitwiseRightShift: _shift(left=False),
    exp.BitwiseNot: _inverted,
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Div: ("typed", "safe"),
    exp.Interval: ("unit",),
    exp.BitwiseLeftShift: ("requires_int128",),
    exp.BitwiseRightShift: ("requires_int128",),
}
