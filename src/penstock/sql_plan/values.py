"""A typed value of an SQL expression, and how values are brought to a common type."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.sql_plan.intervals import span
from penstock.sql_plan.types import common, sql_type


@dataclass(frozen=True, slots=True)
class Value:
    """A Polars expression with its type.

    ``literal`` is the Python value of a constant. The part of an interval that has no fixed length
    are ``months``, or ``month_count`` where rows differ: in ``expr`` they count 30 days each, as they
    do when PostgreSQL compares intervals; the literal does not hold them.
    """

    expr: pl.Expr
    dtype: pl.DataType
    months: int = 0
    literal: Any = ...
    month_count: pl.Expr | None = None

    @property
    def constant(self) -> bool:
        """Whether it is written down in the statement."""
        return self.literal is not ...

    @property
    def is_interval(self) -> bool:
        """Whether it is a span of time."""
        return isinstance(self.dtype, pl.Duration)

    @property
    def has_months(self) -> bool:
        """Whether a part of it has no fixed length."""
        return bool(self.months) or self.month_count is not None

    @property
    def counted_months(self) -> pl.Expr:
        """The months of an interval."""
        return pl.lit(self.months) if self.month_count is None else self.month_count

    @property
    def fixed(self) -> pl.Expr:
        """An interval without its months."""
        if self.constant:
            return pl.lit(self.literal, dtype=pl.Int64).cast(pl.Duration("us"))
        if not self.has_months:
            return self.expr
        return self.expr - in_days(self.counted_months)

    def to(self, dtype: pl.DataType) -> Value:
        """Return it as another type, where that loses nothing."""
        if dtype == self.dtype:
            return self
        return Value(self.expr.cast(dtype), dtype, literal=self.literal)


def in_days(months: pl.Expr) -> pl.Expr:
    """Return months as intervals of 30 days each."""
    return (months.cast(pl.Int64) * 30 * 86_400_000_000).cast(pl.Duration("us"))


def span_of(months: pl.Expr, micros: pl.Expr) -> Value:
    """Return an interval whose months differ from row to row."""
    dtype = pl.Duration("us")
    whole = micros.cast(pl.Int64).cast(dtype) + in_days(months)
    return Value(whole, dtype, month_count=months.cast(pl.Int64))


def constant_span(months: int, micros: int) -> Value:
    """Return an interval that is written down."""
    dtype = pl.Duration("us")
    whole = micros + months * 30 * 86_400_000_000
    return Value(pl.lit(whole, dtype=pl.Int64).cast(dtype), dtype, months, micros)


def aligned(*values: Value) -> list[Value] | None:
    """Return values as the one type that can hold them all; None if there is none.

    A constant text takes the type of what it stands beside, as an untyped literal of PostgreSQL.
    """
    typed = [v for v in values if not (v.constant and v.dtype in (pl.String, pl.Null))]
    target: pl.DataType | None = typed[0].dtype if typed else pl.String()
    for value in typed[1:]:
        target = None if target is None else common(target, value.dtype)
    if target is None:
        return None
    return [_as(value, target) for value in values]


def _as(value: Value, target: pl.DataType) -> Value:
    if value.constant and value.dtype == pl.String and target != pl.String:
        return literal_as(value, target)
    return value.to(target)


def literal_as(value: Value, target: pl.DataType) -> Value:
    """Read a constant text as another type; ``ValueError`` that names both."""
    try:
        return _literal_as(value, target)
    except (pl.exceptions.PolarsError, ValueError) as error:
        inner = f" ({error})" if isinstance(error, ValueError) else ""
        raise ValueError(f"{value.literal!r} is no {sql_type(target)}{inner}") from error


def _literal_as(value: Value, target: pl.DataType) -> Value:
    series = pl.Series([value.literal], dtype=pl.String)
    if isinstance(target, pl.Datetime):
        naive = series.str.to_datetime(time_unit=target.time_unit, strict=True)
        series = naive if target.time_zone is None else naive.dt.replace_time_zone("UTC")
        series = series.cast(target)
    elif target == pl.Date:
        series = series.str.to_date(strict=True)
    elif isinstance(target, pl.Duration):
        series = pl.Series([_fixed_span(value.literal)], dtype=pl.Duration("us"))
    elif isinstance(target, pl.List):
        series = pl.Series([_items(value.literal, target)], dtype=target)
    elif target == pl.Binary:
        series = pl.Series([_bytes(value.literal)], dtype=pl.Binary)
    elif target.is_integer() or target.is_float():
        series = series.str.strip_chars().cast(target)
    elif target == pl.Time:
        series = series.str.to_time(strict=True)
    elif target == pl.Boolean:
        series = pl.Series([_boolean(value.literal)], dtype=pl.Boolean)
    else:
        series = series.cast(target)
    return constant(series.to_list()[0], target)


def ratio(one: pl.Expr, two: pl.Expr) -> pl.Expr:
    """Divide floats, rounded correctly.

    By a divisor that is one value Polars multiplies with its inverse, unless there is only one row:
    a row would come out otherwise than it was when it goes. A column of that value is divided by.
    """
    return one / (two + one.is_null().cast(pl.Float64) * 0.0)


def constant(literal: Any, dtype: pl.DataType) -> Value:
    """Return a constant."""
    if isinstance(dtype, pl.List) and literal:
        return Value(pl.concat_list([pl.lit(x) for x in literal]).cast(dtype), dtype, 0, literal)
    return Value(pl.lit(literal, dtype=dtype), dtype, literal=literal)


def _fixed_span(text: str) -> datetime.timedelta:
    months, micros = span(text)
    if months:
        raise ValueError("months and years have no fixed length")
    return datetime.timedelta(microseconds=micros)


def _bytes(text: str) -> bytes:
    """``\\x`` and hexadecimal digits, or the text itself."""
    return bytes.fromhex(text[2:]) if text.startswith("\\x") else text.encode()


def _items(text: str, target: pl.List) -> list[Any]:
    """Read ``{1,2,NULL,"a b"}``."""
    inside = text.strip()
    if not (inside.startswith("{") and inside.endswith("}")):
        raise ValueError(f"an array is written as {{1,2}}, not {text!r}")
    inner = target.inner if isinstance(target.inner, pl.DataType) else target.inner()
    found: list[Any] = []
    for quoted, plain in _ITEM.findall(inside[1:-1]):
        if plain.strip().upper() == "NULL":
            found.append(None)
        else:
            said = re.sub(r"\\(.)", r"\1", quoted) if quoted else plain.strip()
            found.append(literal_as(constant(said, pl.String()), inner).literal)
    return found


_ITEM = re.compile(r'(?:^|,)\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]+))')


def _boolean(text: str) -> bool:
    known = {"t": True, "true": True, "yes": True, "on": True, "1": True}
    known |= {"f": False, "false": False, "no": False, "off": False, "0": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError(f"not a boolean: {text!r}") from None
