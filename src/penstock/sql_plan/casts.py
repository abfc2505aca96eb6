"""CAST: values of one type as values of another, as PostgreSQL reads and rounds them."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.json_documents import canonical, canonical_json
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.text_forms import span_text, text_form
from penstock.sql_plan.types import dtype_of
from penstock.sql_plan.values import Value, constant, literal_as


def _cast(scalars: Scalars, node: exp.Expr) -> Value:
    target = dtype_of(node.args["to"])
    value = scalars.value(node.this)
    if node.args["to"].this == exp.DType.JSONB and value.dtype == pl.String:
        if value.constant and value.literal is not None:
            return constant(canonical(value.literal), pl.String())
        return Value(canonical_json(value.expr), pl.String())
    if value.constant and value.dtype == pl.String and value.literal is not None:
        if isinstance(target, pl.Duration):
            return scalars.value(exp.Interval(this=node.this))
        return _literal_cast(value, target, node)
    if value.is_interval and isinstance(target, pl.Duration):
        return value  # with its months
    strict = scalars.strict and not isinstance(node, exp.TryCast)
    found = cast(value, target, strict=strict)
    width = node.args["to"].expressions
    if target == pl.String and width and node.args["to"].this in exp.DataType.TEXT_TYPES:
        found = found.str.head(int(width[0].name))  # varchar(3)
    return Value(found, target)


def _literal_cast(value: Value, target: pl.DataType, node: exp.Expr) -> Value:
    try:
        return literal_as(value, target)
    except ValueError:
        if not isinstance(node, exp.TryCast):
            raise
        return constant(None, target)


def cast(value: Value, target: pl.DataType, *, strict: bool) -> pl.Expr:
    """Convert as PostgreSQL does: a float or decimal to a whole number is rounded, text is read."""
    expr = value.expr
    if target == pl.String and value.has_months:
        return span_text(value.counted_months, value.fixed)
    if target == pl.String:
        return text_form(expr, value.dtype)
    if target.is_integer() and value.dtype.is_decimal():
        return expr.round(0, mode="half_away_from_zero").cast(target, strict=strict)
    if target.is_integer() and value.dtype.is_float():
        return expr.round(0).cast(target, strict=strict)
    if isinstance(target, pl.Decimal) and isinstance(value.dtype, pl.Decimal):
        rounded = expr.round(target.scale, mode="half_away_from_zero")
        return rounded.cast(target, strict=strict)
    if isinstance(target, pl.List) and isinstance(value.dtype, pl.List):
        inner, wanted = (_inner_type(t) for t in (value.dtype, target))
        return expr.list.eval(cast(Value(pl.element(), inner), wanted, strict=strict))
    if value.dtype == pl.String:
        return _read(expr, target, strict=strict)
    if value.dtype.is_integer() and target == pl.Boolean:
        return expr != 0
    if isinstance(value.dtype, pl.Datetime) and isinstance(target, pl.Datetime):
        return _zoned(expr, value.dtype, target)
    return expr.cast(target, strict=strict)


def _inner_type(dtype: pl.List) -> pl.DataType:
    return dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner()


def _read(expr: pl.Expr, target: pl.DataType, *, strict: bool) -> pl.Expr:
    """Read text as another type."""
    if isinstance(target, pl.Datetime):
        naive = expr.str.to_datetime(time_unit=target.time_unit, strict=strict)
        return naive if target.time_zone is None else naive.dt.replace_time_zone("UTC")
    if target == pl.Date:
        return expr.str.to_date("%Y-%m-%d", strict=strict)
    if target == pl.Binary:
        hexed = expr.str.strip_prefix("\\x").str.decode("hex", strict=False)
        return pl.when(expr.str.starts_with("\\x")).then(hexed).otherwise(expr.cast(pl.Binary))
    if target.is_numeric():
        return expr.str.strip_chars().cast(target, strict=strict)
    if target == pl.Boolean:
        low = expr.str.strip_chars().str.to_lowercase()
        if not strict:
            return low.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
        return low.replace_strict(_BOOLEANS, return_dtype=pl.Boolean)
    return expr.cast(target, strict=strict)


_BOOLEANS = dict.fromkeys(("t", "true", "yes", "on", "1"), True)
_BOOLEANS |= dict.fromkeys(("f", "false", "no", "off", "0"), False)


def _zoned(expr: pl.Expr, source: pl.Datetime, target: pl.Datetime) -> pl.Expr:
    if source.time_zone is None and target.time_zone is not None:
        return expr.cast(pl.Datetime(target.time_unit)).dt.replace_time_zone(target.time_zone)
    if source.time_zone is not None and target.time_zone is None:
        utc = expr.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return utc.cast(target)
    return expr.cast(target)


NODES: dict[type[exp.Expr], Translator] = {exp.Cast: _cast, exp.TryCast: _cast}
READS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Cast: ("to",),
    exp.TryCast: ("to", "safe", "requires_string"),
}
