"""Union: all rows of all inputs."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import concat, weighted


class UnionAll(Operator):
    """Concatenate the deltas in the order of the inputs; keeps nothing.

    Append-only inputs of a changelog union get weight 1.
    """

    def __init__(self, columns: Sequence[str], *, changelog: Sequence[bool]) -> None:
        self._columns = list(columns)
        self._add_weight = [any(changelog) and not flag for flag in changelog]

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Concatenate."""
        parts = []
        for delta, add in zip(deltas, self._add_weight, strict=True):
            if delta is not None:
                parts.append(self._aligned(weighted(delta, 1) if add else delta))
        return concat(parts)

    def _aligned(self, delta: pl.DataFrame) -> pl.DataFrame:
        hidden = [c for c in delta.columns if c not in self._columns and c != WEIGHT]
        last = [WEIGHT] if WEIGHT in delta.columns else []
        return delta.select(*self._columns, *hidden, *last)
