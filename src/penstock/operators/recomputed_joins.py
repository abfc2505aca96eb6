"""Joins evaluated afresh over the rows of a key: functions for ``Recompute``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from penstock.operators.join import How, JoinSpec
from penstock.operators.pairs import LEFT, RIGHT
from penstock.operators.recompute import SLOT

_LEFT_ROW = "_penstock_left_row"
_RIGHT_ROW = "_penstock_right_row"
_LEFT_TIME = "_penstock_left_time"
_RIGHT_TIME = "_penstock_right_time"

Evaluation = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs must have the right's time in ``[left + lower, left + upper]``, in physical units."""

    left: str
    right: str
    lower: int
    upper: int


def evaluation(spec: JoinSpec, near: Near | None = None) -> Evaluation:
    """Return the join of all rows of some keys, each input and the output with ``SLOT`` last."""

    def evaluate(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        pairs = _pairs(spec, near, left, right)
        if not spec.how.pairs:
            keep = left.with_row_index(_LEFT_ROW).join(
                pairs, on=_LEFT_ROW, how="semi" if spec.how is How.SEMI else "anti"
            )
            return keep.drop(_LEFT_ROW)
        mine, other = left[pairs[_LEFT_ROW]], right[pairs[_RIGHT_ROW]]
        parts = [spec.pairing.both(mine, other).with_columns(mine[SLOT])]
        for side, rows, row in ((LEFT, left, _LEFT_ROW), (RIGHT, right, _RIGHT_ROW)):
            if spec.how.keeps(side):
                lonely = rows.with_row_index(row).join(pairs, on=row, how="anti").drop(row)
                parts.append(spec.pairing.alone(side, lonely).with_columns(lonely[SLOT]))
        return pl.concat(parts)

    return evaluate


def _pairs(
    spec: JoinSpec, near: Near | None, left: pl.DataFrame, right: pl.DataFrame
) -> pl.DataFrame:
    """Return the numbers of the rows that belong together."""
    one = _numbered(
        left, spec.left.keys, _LEFT_ROW, (near.left if near else None, _LEFT_TIME), spec
    )
    two = _numbered(
        right, spec.right.keys, _RIGHT_ROW, (near.right if near else None, _RIGHT_TIME), spec
    )
    pairs = one.join(two, on=SLOT)
    if near is not None:
        apart = pl.col(_RIGHT_TIME) - pl.col(_LEFT_TIME)
        pairs = pairs.filter(apart.is_between(near.lower, near.upper))
    return pairs.select(_LEFT_ROW, _RIGHT_ROW)


def _numbered(
    rows: pl.DataFrame,
    keys: tuple[pl.Expr, ...],
    row: str,
    time: tuple[str | None, str],
    spec: JoinSpec,
) -> pl.DataFrame:
    column, name = time
    times = [] if column is None else [pl.col(column).to_physical().cast(pl.Int64).alias(name)]
    whole = rows.with_row_index(row)
    if not spec.nulls_equal and keys:
        whole = whole.filter(pl.all_horizontal(*(key.is_not_null() for key in keys)))
    return whole.select(SLOT, row, *times)
