"""Functions on numbers."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.text_functions import first
from penstock.sql_plan.types import MAX_DIGITS
from penstock.sql_plan.values import Value

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
        whole = (value.expr.cast(_FLOAT) / unit).round(mode="half_away_from_zero") * unit
        return Value(whole.cast(value.dtype), value.dtype)
    if value.dtype.is_integer():
        return value
    if isinstance(value.dtype, pl.Decimal):
        dtype = pl.Decimal(MAX_DIGITS, digits)
        return Value(value.expr.round(digits, mode="half_away_from_zero").cast(dtype), dtype)
    return Value(value.expr.round(digits, mode="half_to_even").cast(value.dtype), value.dtype)


def _whole(apply: Callable[[pl.Expr], pl.Expr]) -> Translator:
    def translate(scalars: Scalars, node: exp.Expr) -> Value:
        value = scalars.number(first(node))
        if value.dtype.is_integer():
            return value
        return Value(apply(value.expr).cast(value.dtype), value.dtype)

    return translate


def _power(scalars: Scalars, node: exp.Expr) -> Value:
    base = scalars.number(node.this).expr.cast(_FLOAT)
    return Value(base.pow(scalars.number(node.expression).expr.cast(_FLOAT)), _FLOAT)


def _log(scalars: Scalars, node: exp.Expr) -> Value:
    if node.expression is None:
        return Value(scalars.number(node.this).expr.cast(_FLOAT).log10(), _FLOAT)
    base = scalars.number(node.this).expr.cast(_FLOAT).log()
    return Value(scalars.number(node.expression).expr.cast(_FLOAT).log() / base, _FLOAT)


def _pi(_: Scalars, __: exp.Expr) -> Value:
    return Value(pl.lit(3.141592653589793), _FLOAT)


NODES: dict[type[exp.Expr], Translator] = {
    exp.Abs: _same_type(lambda e: e.abs()),
    exp.Sign: _same_type(lambda e: e.sign()),
    exp.Ceil: _whole(lambda e: e.ceil()),
    exp.Floor: _whole(lambda e: e.floor()),
    exp.Trunc: _whole(lambda e: e.truncate()),
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
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Round: ("decimals",),
}
