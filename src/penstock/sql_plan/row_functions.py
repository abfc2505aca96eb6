"""Rows and structs: ``ROW(a, b)``, ``(r).f1``."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.values import Value, constant


def _row(scalars: Scalars, node: exp.Expr) -> Value:
    """``ROW(a, b)``: fields are f1, f2, ..."""
    if not node.expressions:
        raise refuse(node, "a row has at least one value")
    named = {f"f{n}": v for n, v in enumerate(scalars.values(node.expressions), 1)}
    dtype = pl.Struct({name: value.dtype for name, value in named.items()})
    return Value(pl.struct([v.expr.alias(name) for name, v in named.items()]), dtype)


def _field(scalars: Scalars, node: exp.Expr) -> Value:
    value = scalars.value(node.this)
    if not isinstance(value.dtype, pl.Struct):
        raise refuse(node, f"a row is needed before the dot, not {value.dtype}")
    types = {f.name: f.dtype for f in value.dtype.fields}
    name = node.expression.name
    if name not in types:
        raise refuse(node, f"no field {name!r}, only {', '.join(types)}")
    return scalars.typed(value.expr.struct.field(name))


def _text(_: Scalars, node: exp.Expr) -> Value:
    return constant(str(node.this), pl.String())


NODES: dict[type[exp.Expr], Translator] = {
    exp.Tuple: _row,
    exp.Dot: _field,
    exp.ByteString: _text,
    exp.RawString: _text,
}
FUNCTIONS: dict[str, Translator] = {"ROW": _row}
