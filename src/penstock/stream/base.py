"""What all parts of Stream share: the plan node they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import polars as pl

from penstock.errors import PlanError, user_line
from penstock.plan.expressions import Shape, as_exprs, classify, expand
from penstock.plan.node import Node


class StreamBase:
    """A lazy, immutable table that never ends; every verb returns a new one."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def _derived(self, kind: type[Node], **fields: Any) -> Self:
        """Return the stream of a new node, which remembers the user's line."""
        return type(self)(kind(line=user_line(), **fields))

    @property
    def node(self) -> Node:
        """The plan node this stream stands for."""
        return self._node

    @property
    def schema(self) -> pl.Schema:
        """Column names and types."""
        return self._node.schema

    def collect_schema(self) -> pl.Schema:
        """Return column names and types; they are always known, without a run."""
        return self._node.schema

    def lazy(self) -> Self:
        """Return the stream itself: it is lazy."""
        return self

    @property
    def columns(self) -> list[str]:
        """Column names."""
        return list(self._node.schema)

    @property
    def is_changelog(self) -> bool:
        """Whether rows may be retracted; changes then carry a ``_weight``."""
        return self._node.properties.changelog

    def _expanded(self, step: str, *exprs: Any, **named: Any) -> tuple[pl.Expr, ...]:
        """Return one expression per output column."""
        found = self._resolved(step, as_exprs(*exprs, **named))
        names = [expr.meta.output_name() for expr in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise PlanError(
                f"column {twice!r} is given twice",
                step=step,
                value=twice,
                hint='rename one of them with .alias("...")',
            )
        return tuple(found)

    def _expanded_any(self, step: str, *exprs: Any) -> tuple[pl.Expr, ...]:
        """Expand where equal output names do no harm."""
        return tuple(e for expr in exprs for e in self._resolved(step, as_exprs(expr)))

    def _resolved(self, step: str, exprs: Sequence[pl.Expr]) -> list[pl.Expr]:
        try:
            return expand(exprs, self._node.schema)
        except PlanError as error:
            error.step = error.step or step
            raise

    def _shapes(self, exprs: Sequence[pl.Expr]) -> set[Shape]:
        return {classify(expr, self._node.schema) for expr in exprs}

    def _names(self, step: str, columns: Any) -> tuple[str, ...]:
        """Return column names for names or selectors."""
        exprs = self._expanded(step, columns)
        for expr in exprs:
            if not expr.meta.is_column():
                raise PlanError(
                    f"{expr} is not a column", step=step, hint="name columns of the stream"
                )
        return tuple(expr.meta.output_name() for expr in exprs)
