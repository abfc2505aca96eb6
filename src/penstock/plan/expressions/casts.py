"""Casts that no value survives: Polars finds them with the first row, we when the line is written."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.errors import PlanError
from penstock.plan.expressions.classify import dtype_of
from penstock.plan.expressions.tree import Tree, kind_of, payload_of, to_tree, walk

_BYTES = (pl.Binary, pl.Null)
"""Types that a list can be made of, or that can become one."""


def check_casts(exprs: Sequence[pl.Expr], schema: pl.Schema, step: str) -> None:
    """Raise ``PlanError`` where a list would be cast to a plain value, or a plain value to a list."""
    for expr in exprs:
        if "cast(" not in str(expr):
            continue
        try:
            tree = to_tree(expr)
        except PlanError:
            continue
        for node in walk(tree):
            if kind_of(node) == "Cast":
                _check(node, schema, step)


def _check(cast: Tree, schema: pl.Schema, step: str) -> None:
    after = dtype_of(cast, schema)
    before = dtype_of(payload_of(cast)["expr"], schema)
    if after is None or before is None:
        return
    if isinstance(before, _BYTES) or isinstance(after, _BYTES):
        return
    if _is_list(before) != _is_list(after):
        raise PlanError(
            f"{before} cannot be cast to {after}",
            step=step,
            value=str(after),
            hint="take elements with .list.get(0) or .explode(), or make a list with pl.concat_list",
        )


def _is_list(dtype: pl.DataType) -> bool:
    return isinstance(dtype, (pl.List, pl.Array))
