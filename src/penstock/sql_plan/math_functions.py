"""Functions on numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl
from sqlglot import exp

from penstock.plan.expressions.repeatable import row_wise
from penstock.sql_plan.calls import Call
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.text_functions import first
from penstock.sql_plan.types import MAX_DIGITS, scale_of
from penstock.sql_plan.values import Value, ratio

_FLOAT = pl.Float64()


def _same_type(apply: Callable[[pl.Expr], pl.Expr]) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        value = scalars.number(first(node))
        return Value(apply(value.expr).cast(value.dtype), value.dtype)

    return translate


def _float(apply: Callable[[pl.Expr], pl.Expr]) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        return Value(apply(scalars.number(first(node)).expr.cast(_FLOAT)), _FLOAT)

    return translate


def _round(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.number(node.this)
    digits = scalars.written(node.args.get("decimals"), "the digits") or 0
    if not isinstance(digits, int):
        raise refuse(node, "round takes a whole number of digits")
    if digits < 0:
        unit = 10**-digits
        whole = (
            ratio(value.expr.cast(_FLOAT), pl.lit(float(unit))).round(mode="half_away_from_zero")
            * unit
        )
        dtype = pl.Decimal(MAX_DIGITS, 0) if value.dtype.is_decimal() else value.dtype
        return Value(whole.cast(dtype), dtype)
    if value.dtype.is_integer():
        return value
    if isinstance(value.dtype, pl.Decimal):
        dtype = pl.Decimal(MAX_DIGITS, digits)
        return Value(value.expr.round(digits, mode="half_away_from_zero").cast(dtype), dtype)
    return Value(value.expr.round(digits, mode="half_to_even").cast(value.dtype), value.dtype)


def _truncated(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.number(node.this)
    digits = scalars.written(node.args.get("decimals"), "the digits") or 0
    if not isinstance(digits, int):
        raise refuse(node, "trunc takes a whole number of digits")
    if value.dtype.is_integer() and digits >= 0:
        return value
    if isinstance(value.dtype, pl.Decimal) and digits >= 0:
        scale = min(digits, value.dtype.scale)
        return Value(
            value.expr.truncate(scale).cast(pl.Decimal(MAX_DIGITS, scale)),
            pl.Decimal(MAX_DIGITS, scale),
        )
    unit = 10.0**digits
    cut = ratio((value.expr.cast(_FLOAT) * unit).truncate(), pl.lit(unit))
    return Value(cut.cast(value.dtype), value.dtype)


def _both(apply: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Call:
    def translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        one, two = (scalars.number(part).expr.cast(_FLOAT) for part in arguments)
        return Value(apply(one, two), _FLOAT)

    return Call(2, 2, translate)


def _of_wholes(name: str) -> Call:
    """``gcd`` and ``lcm``, which NumPy has."""

    def compute(pairs: pl.Series) -> pl.Series:
        one, two = (pairs.struct.field(key) for key in ("a", "b"))
        numbers = [side.fill_null(0).cast(pl.Int64).to_numpy() for side in (one, two)]
        found = pl.Series(pairs.name, getattr(np, name)(*numbers), dtype=pl.Int64)
        return found.set(one.is_null() | two.is_null(), None)

    def translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        one, two = (scalars.number(part) for part in arguments)
        if not (one.dtype.is_integer() and two.dtype.is_integer()):
            raise refuse(arguments[0], f"{name} takes whole numbers")
        pairs = pl.struct(one.expr.alias("a"), two.expr.alias("b"))
        found = row_wise(pairs, compute, pl.Int64())
        dtype = pl.Int64() if pl.Int64() in (one.dtype, two.dtype) else pl.Int32()
        return Value(found.cast(dtype), dtype)

    return Call(2, 2, translate)


def _bucket(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``width_bucket(x, low, high, n)``: 0 below, n + 1 from high on; or by an array of bounds."""
    if len(arguments) == 2:
        value, bounds = scalars.values(arguments)
        if not isinstance(bounds.dtype, pl.List):
            raise refuse(arguments[1], f"the bounds are an array, not {bounds.dtype}")
        passed = pl.struct(value.expr.alias("x"), bounds.expr.alias("a"))
        return Value(row_wise(passed, _passed, pl.Int32()), pl.Int32())
    if len(arguments) == 3:
        raise refuse(arguments[0], "width_bucket takes 2 or 4 arguments")
    x, low, high = (scalars.number(part).expr.cast(_FLOAT) for part in arguments[:3])
    count = scalars.number(arguments[3]).expr.cast(pl.Int64)
    up = low < high
    at = ratio((x - low) * count, high - low).floor().cast(pl.Int64) + 1
    below = pl.when(up).then(x < low).otherwise(x > low)
    above = pl.when(up).then(x >= high).otherwise(x <= high)
    found = pl.when(below).then(pl.lit(0)).when(above).then(count + 1).otherwise(at)
    return Value(found.cast(pl.Int32), pl.Int32())


def _passed(pairs: pl.Series) -> pl.Series:
    """Return how many bounds each value has passed."""
    frame = pairs.struct.unnest().with_row_index("i")
    long = frame.lazy().filter(pl.col("x").is_not_null()).explode("a", empty_as_null=True)
    counted = long.group_by("i").agg((pl.col("x") >= pl.col("a")).sum().cast(pl.Int32).alias("n"))
    found = frame.lazy().select("i").join(counted, on="i", how="left", maintain_order="left")
    return found.select(pl.col("n").alias(pairs.name)).collect().to_series()


def _nulls(*, counted: bool) -> Call:
    def translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        values = scalars.values(arguments)
        flags = [v.expr.is_null() if counted else v.expr.is_not_null() for v in values]
        return Value(pl.sum_horizontal([f.cast(pl.Int32) for f in flags]), pl.Int32())

    return Call(1, 100, translate)


def _nan(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return Value(scalars.number(arguments[0]).expr.cast(_FLOAT).is_nan(), pl.Boolean())


def _whole(apply: Callable[[pl.Expr], pl.Expr]) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        value = scalars.number(first(node))
        if value.dtype.is_integer():
            return value
        if isinstance(value.dtype, pl.Decimal):  # ceil(9.99) has more digits before the point
            wide, whole = (pl.Decimal(MAX_DIGITS, s) for s in (value.dtype.scale, 0))
            return Value(apply(value.expr.cast(wide)).cast(whole), whole)
        return Value(apply(value.expr).cast(value.dtype), value.dtype)

    return translate


def _power(scalars: Scalars, node: exp.Expr) -> Value:
    base = scalars.number(node.this).expr.cast(_FLOAT)
    return Value(base.pow(scalars.number(node.expression).expr.cast(_FLOAT)), _FLOAT)


def _log(scalars: Scalars, node: exp.Expr) -> Value:
    if node.expression is None:
        return Value(scalars.number(node.this).expr.cast(_FLOAT).log10(), _FLOAT)
    base = scalars.number(node.this).expr.cast(_FLOAT).log()
    logarithm = scalars.number(node.expression).expr.cast(_FLOAT).log()
    return Value(ratio(logarithm, base), _FLOAT)


def _pi(_: Scalars, __: exp.Expr) -> Value:
    return Value(pl.lit(3.141592653589793), _FLOAT)


_FACTORIALS = {n: math.factorial(n) for n in range(34)}
"""As far as 38 digits go."""


def _factorial(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    number = scalars.number(arguments[0]).expr.cast(pl.Int64)
    dtype = pl.Decimal(MAX_DIGITS, 0)
    found = number.replace_strict(
        list(_FACTORIALS), list(map(Decimal, _FACTORIALS.values())), return_dtype=dtype
    )
    return Value(found, dtype)


def _divided(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    """``div(a, b)``: the whole part of a quotient."""
    quotient = scalars.value(exp.Div(this=arguments[0], expression=arguments[1]))
    if quotient.dtype.is_integer():
        return quotient
    if isinstance(quotient.dtype, pl.Decimal):
        dtype = pl.Decimal(MAX_DIGITS, 0)
        return Value(quotient.expr.truncate(0).cast(dtype), dtype)
    return Value(quotient.expr.truncate(), quotient.dtype)


def _digits(*, needed: bool) -> Call:
    """``scale`` and ``min_scale``: digits behind the point, of the type or those that are not 0."""

    def apply(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        value = scalars.number(arguments[0])
        if not (value.dtype.is_decimal() or value.dtype.is_integer()):
            raise refuse(arguments[0], f"a numeric is needed, not {value.dtype}")
        if not needed or not isinstance(value.dtype, pl.Decimal):
            count = pl.lit(scale_of(value.dtype), dtype=pl.Int32)
            return Value(pl.when(value.expr.is_not_null()).then(count), pl.Int32())
        behind = value.expr.cast(pl.String).str.extract(r"\.(\d*?)0*$", 1)
        count = behind.fill_null("").str.len_chars().cast(pl.Int32)
        return Value(pl.when(value.expr.is_not_null()).then(count), pl.Int32())

    return Call(1, 1, apply)


def _same_number(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
    return scalars.number(arguments[0])


def _degrees(apply: Callable[[pl.Expr], pl.Expr], *, into: bool) -> Call:
    """A trigonometric function of degrees, or into degrees; exact where the angle is."""

    def translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        x = scalars.number(arguments[0]).expr.cast(_FLOAT)
        found = apply(x).degrees() if into else apply((x % 360.0).radians())
        return Value(found.round(15 if not into else 13), _FLOAT)

    return Call(1, 1, translate)


def _written_in(base: str) -> Call:
    """A whole number in another base, negative ones as two's complement of their type."""

    def translate(scalars: Scalars, arguments: list[exp.Expr]) -> Value:
        value = scalars.number(arguments[0])
        if not value.dtype.is_integer():
            raise refuse(arguments[0], f"a whole number is needed, not {value.dtype}")
        bits = 64 if value.dtype == pl.Int64 else 32
        return Value(
            row_wise(value.expr.cast(pl.Int64), _Based(base, bits), pl.String()), pl.String()
        )

    return Call(1, 1, translate)


@dataclass(frozen=True, slots=True)
class _Based:
    base: str
    bits: int

    def __call__(self, numbers: pl.Series) -> pl.Series:
        size = 1 << self.bits
        found = [None if n is None else format(n % size, self.base) for n in numbers]
        return pl.Series(numbers.name, found, dtype=pl.String)


def _random(_: Scalars, arguments: list[exp.Expr]) -> Value:
    raise refuse(
        exp.Anonymous(this="random", expressions=arguments),
        "random() would give another result whenever a row is looked at again",
        hint="take what varies from the rows: hashes of a key (md5), or a column made by the source",
    )


NODES: dict[type[exp.Expr], Translator] = {
    exp.Abs: _same_type(lambda e: e.abs()),
    exp.Sign: _same_type(lambda e: e.sign()),
    exp.Ceil: _whole(lambda e: e.ceil()),
    exp.Floor: _whole(lambda e: e.floor()),
    exp.Trunc: _truncated,
    exp.Round: _round,
    exp.Sqrt: _float(lambda e: e.sqrt()),
    exp.Cbrt: _float(lambda e: e.cbrt()),
    exp.Exp: _float(lambda e: e.exp()),
    exp.Ln: _float(lambda e: e.log()),
    exp.Log: _log,
    exp.Pow: _power,
    exp.Sin: _float(lambda e: e.sin()),
    exp.Cos: _float(lambda e: e.cos()),
    exp.Tan: _float(lambda e: e.tan()),
    exp.Asin: _float(lambda e: e.arcsin()),
    exp.Acos: _float(lambda e: e.arccos()),
    exp.Atan: _float(lambda e: e.arctan()),
    exp.Radians: _float(lambda e: e.radians()),
    exp.Degrees: _float(lambda e: e.degrees()),
    exp.Pi: _pi,
    exp.Cot: _float(lambda e: e.cot()),
    exp.Sinh: _float(lambda e: e.sinh()),
    exp.Cosh: _float(lambda e: e.cosh()),
    exp.Tanh: _float(lambda e: e.tanh()),
    exp.Asinh: _float(lambda e: e.arcsinh()),
    exp.Acosh: _float(lambda e: e.arccosh()),
    exp.Atanh: _float(lambda e: e.arctanh()),
}
FUNCTIONS: dict[str, Translator] = {
    "ATAN2": _both(pl.arctan2),
    "GCD": _of_wholes("gcd"),
    "LCM": _of_wholes("lcm"),
    "WIDTHBUCKET": Call(2, 4, _bucket),
    "FACTORIAL": Call(1, 1, _factorial),
    "DIV": Call(2, 2, _divided),
    "SCALE": _digits(needed=False),
    "MIN_SCALE": _digits(needed=True),
    "TRIM_SCALE": Call(1, 1, _same_number),
    "SIND": _degrees(lambda e: e.sin(), into=False),
    "COSD": _degrees(lambda e: e.cos(), into=False),
    "TAND": _degrees(lambda e: e.tan(), into=False),
    "COTD": _degrees(lambda e: e.cot(), into=False),
    "ASIND": _degrees(lambda e: e.arcsin(), into=True),
    "ACOSD": _degrees(lambda e: e.arccos(), into=True),
    "ATAND": _degrees(lambda e: e.arctan(), into=True),
    "ATAN2D": _both(lambda y, x: pl.arctan2(y, x).degrees()),
    "TO_HEX": _written_in("x"),
    "HEX": _written_in("X"),
    "TO_BIN": _written_in("b"),
    "TO_OCT": _written_in("o"),
    "RAND": Call(0, 1, _random),
    "UUID": Call(0, 1, _random),
    "NUM_NULLS": _nulls(counted=True),
    "NUM_NONNULLS": _nulls(counted=False),
    "ISNAN": Call(1, 1, _nan),
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Round: ("decimals",),
    exp.Trunc: ("decimals",),
}
