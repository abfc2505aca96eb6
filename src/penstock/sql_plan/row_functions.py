"""Rows and structs: ``ROW(a, b)``, ``(r).f1``."""

from __future__ import annotations

import polars as pl
from sqlglot import exp

from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.scalars import Scalars, Translator
from penstock.sql_plan.types import sql_type
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


def _struct(scalars: Scalars, node: exp.Expr) -> Value:
    """``{'a': 1}``, ``STRUCT(1 AS a)`` and ``struct_pack(a := 1)``."""
    named: dict[str, Value] = {}
    for number, part in enumerate(node.expressions, 1):
        keyed = isinstance(part, (exp.PropertyEQ, exp.Kwarg, exp.Alias))
        name = (
            part.alias if isinstance(part, exp.Alias) else part.this.name if keyed else f"f{number}"
        )
        inside = part.this if isinstance(part, exp.Alias) else part.expression if keyed else part
        named[name] = scalars.value(inside)
    return _of_fields(node, named)


def _named_struct(scalars: Scalars, node: exp.Expr) -> Value:
    """``named_struct('a', 1)`` of Spark."""
    if len(node.expressions) % 2:
        raise refuse(node, "names and values come in pairs")
    names = [str(scalars.written(part, "a name")) for part in node.expressions[::2]]
    return _of_fields(node, dict(zip(names, scalars.values(node.expressions[1::2]), strict=True)))


def _of_fields(node: exp.Expr, named: dict[str, Value]) -> Value:
    if not named:
        raise refuse(node, "a struct has at least one field")
    dtype = pl.Struct({name: value.dtype for name, value in named.items()})
    return Value(pl.struct([v.expr.alias(name) for name, v in named.items()]), dtype)


def _type_of(scalars: Scalars, node: exp.Expr) -> Value:
    """``pg_typeof(x)``: the type by its name in SQL."""
    if len(node.expressions) != 1:
        raise refuse(node, "one value is needed")
    known = {"TIMESTAMP": "timestamp without time zone", "TIMESTAMPTZ": "timestamp with time zone"}
    said = sql_type(scalars.value(node.expressions[0]).dtype)
    base = said.partition("(")[0]
    return constant(known.get(base, base.lower()), pl.String())


def _hex(_: Scalars, node: exp.Expr) -> Value:
    """``x'1F'`` and ``b'101'`` are numbers here: there is no type of bits."""
    number = int(str(node.this), 2 if isinstance(node, exp.BitString) else 16)
    if number >= 1 << 63:
        raise refuse(node, "too large a number")
    return constant(number, pl.Int64() if number >= 1 << 31 else pl.Int32())


def _text(_: Scalars, node: exp.Expr) -> Value:
    return constant(str(node.this), pl.String())


NODES: dict[type[exp.Expr], Translator] = {
    exp.Tuple: _row,
    exp.Dot: _field,
    exp.ByteString: _text,
    exp.RawString: _text,
    exp.HexString: _hex,
    exp.BitString: _hex,
    exp.Struct: _struct,
}
FUNCTIONS: dict[str, Translator] = {
    "ROW": _row,
    "STRUCT_PACK": _struct,
    "NAMED_STRUCT": _named_struct,
    "PG_TYPEOF": _type_of,
}
READS: dict[type[exp.Expr], tuple[str, ...]] = {exp.HexString: ("is_integer",)}
