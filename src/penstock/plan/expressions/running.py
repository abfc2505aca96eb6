"""Functions that run along the rows and need only a little of what came before.

    (a.cum_sum() / a.shift(2)).over("k")  ->  calls cum_sum(a), shift(a, 2); keys k; what is left:
                                              run_0 / run_1

Each call is evaluated over the rows of an epoch with a few rows put in front of them, that stand for
all rows before. Anything else about other rows gives None, and is recomputed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.classify import (
    Shape,
    classify_tree,
    dtype_of,
    is_deterministic_tree,
)
from penstock.plan.expressions.tree import (
    Tree,
    children,
    column,
    kind_of,
    options_of,
    payload_of,
    tag_of,
    to_expr,
    to_tree,
    walk,
    with_children,
)

_CUMULATIVE = {"CumSum": "cum_sum", "CumMin": "cum_min", "CumMax": "cum_max", "CumProd": "cum_prod"}
_NAME = "_penstock_run_"


@dataclass(frozen=True, slots=True)
class RunningCall:
    """One call: ``run`` over the column ``name`` (which is ``value`` of each row) gives the result.

    ``depth`` rows before are needed; with ``accumulates`` one, which holds the result so far.
    """

    name: str
    value: pl.Expr
    run: pl.Expr
    depth: int
    accumulates: bool


@dataclass(frozen=True, slots=True)
class RunningExprs:
    """Expressions as calls, what is left of them over the results of the calls, and the keys."""

    calls: tuple[RunningCall, ...]
    exprs: tuple[pl.Expr, ...]
    keys: tuple[str, ...]


class _Other(Exception):  # noqa: N818 - an outcome, not a fault
    """The expression needs more than a few rows before."""


@dataclass
class _Search:
    schema: pl.Schema
    calls: list[RunningCall] = field(default_factory=list)
    keys: set[tuple[str, ...]] = field(default_factory=set)

    def outside(self, tree: Tree) -> Tree:
        """Replace calls, each under its own ``over`` or none."""
        if kind_of(tree) == "Over":
            return self.inside(_function(tree), _keys(tree))
        if _is_call(tree):
            return self.call(tree, ())
        return with_children(tree, [self.outside(child) for child in children(tree)])

    def inside(self, tree: Tree, keys: tuple[str, ...]) -> Tree:
        """Replace the calls below one ``over``."""
        if kind_of(tree) == "Over":
            raise _Other
        if _is_call(tree):
            return self.call(tree, keys)
        return with_children(tree, [self.inside(child, keys) for child in children(tree)])

    def call(self, tree: Tree, keys: tuple[str, ...]) -> Tree:
        self.keys.add(keys)
        if len(self.keys) > 1:
            raise _Other
        name = f"{_NAME}{len(self.calls)}"
        dtype = dtype_of(tree, self.schema)
        if dtype is None:
            raise _Other
        first = _first_number(tree)
        if first is not None:
            ones = pl.lit(1, pl.Int64)
            count = RunningCall(name, ones, pl.col(name).cum_sum(), 1, accumulates=True)
            self.calls.append(count)
            return to_tree((pl.col(name) + (first - 1)).cast(dtype))
        found = self._read(tree, name, dtype)
        self._check(found, dtype)
        self.calls.append(found)
        return column(name)

    def _read(self, tree: Tree, name: str, dtype: pl.DataType) -> RunningCall:
        tag, inputs = tag_of(tree), children(tree)
        value = inputs[0]
        if classify_tree(value, self.schema) is not Shape.ELEMENTWISE or not _reads(value):
            raise _Other
        expr, here = to_expr(value), pl.col(name)
        if tag in _CUMULATIVE and not options_of(tree)["reverse"]:
            run = getattr(here, _CUMULATIVE[tag])()
            return RunningCall(name, expr.cast(dtype), run, 1, accumulates=True)
        if tag == "CumCount" and not options_of(tree)["reverse"]:
            return RunningCall(
                name, expr.is_not_null().cast(dtype), here.cum_sum(), 1, accumulates=True
            )
        if tag == "FillNullWithStrategy.Forward" and options_of(tree) is None:
            return RunningCall(name, expr, here.forward_fill(), 1, accumulates=True)
        if tag in ("Shift", "Diff.Ignore"):
            count = _literal(inputs[1])
            run = here.shift(count) if tag == "Shift" else here.diff(count)
            return RunningCall(name, expr, run, count, accumulates=False)
        raise _Other

    def _check(self, call: RunningCall, dtype: pl.DataType) -> None:
        """Require that evaluating it our way gives the type that Polars gives."""
        empty = pl.DataFrame(schema=self.schema)
        given = empty.select(call.value.alias(call.name)).select(call.run.alias("result"))
        if given.schema["result"] != dtype:
            raise _Other


def running(exprs: Sequence[pl.Expr], schema: pl.Schema) -> RunningExprs | None:
    """Split expressions (expanded, see ``expand``) into running calls; None if they do not split."""
    search, rest = _Search(schema), []
    try:
        for expr in exprs:
            tree = to_tree(expr)
            if not is_deterministic_tree(tree):
                return None
            rest.append((expr.meta.output_name(), search.outside(tree)))
    except (_Other, PlanError):
        return None
    if not search.calls:
        return None
    seen = pl.DataFrame(schema=schema).with_columns(c.value.alias(c.name) for c in search.calls)
    wide = seen.with_columns(call.run.alias(call.name) for call in search.calls).schema
    if any(classify_tree(tree, wide) is not Shape.ELEMENTWISE for _, tree in rest):
        return None
    result = tuple(to_expr(tree).alias(name) for name, tree in rest)
    return RunningExprs(tuple(search.calls), result, search.keys.pop())


def _is_call(tree: Tree) -> bool:
    tag = tag_of(tree)
    return (
        tag in _CUMULATIVE
        or tag in ("CumCount", "Shift", "Diff.Ignore", "Range.IntRange")
        or tag == "FillNullWithStrategy.Forward"
    )


def _reads(tree: Tree) -> bool:
    return any(kind_of(node) == "Column" for node in walk(tree))


def _function(tree: Tree) -> Tree:
    return payload_of(tree)["function"]


def _keys(tree: Tree) -> tuple[str, ...]:
    payload = payload_of(tree)
    by = payload["partition_by"]
    plain = all(kind_of(key) == "Column" for key in by)
    if not by or not plain or payload["mapping"] != "GroupsToRows" or payload.get("order_by"):
        raise _Other
    return tuple(sorted(str(payload_of(key)) for key in by))


def _literal(tree: Tree) -> int:
    if kind_of(tree) != "Literal":
        raise _Other
    value = pl.select(to_expr(tree)).item()
    if not isinstance(value, int) or value < 1:
        raise _Other
    return value


def _first_number(tree: Tree) -> int | None:
    """Read ``int_range(start, start + len())``, the number of the row; return its start."""
    if tag_of(tree) != "Range.IntRange":
        return None
    if any(
        kind_of(node) not in ("Function", "Literal", "Len", "BinaryExpr") for node in walk(tree)
    ):
        raise _Other
    expr = to_expr(tree)
    short, long = (pl.DataFrame({"row": [0] * n}).select(expr).to_series() for n in (2, 5))
    first = int(short[0]) if len(short) == 2 else 0
    if short.to_list() != [first, first + 1] or long.to_list() != list(range(first, first + 5)):
        raise _Other
    return first
