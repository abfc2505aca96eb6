"""Which rows of two frames have equal keys."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

from penstock.operators.pairs import BLOCK
from penstock.state.arrays import Ids

_MANY = "_penstock_many"
_FEW = "_penstock_few"
_A_FEW = 8
"""Rows that the others are compared with one by one."""


def equal_keys(left: pl.DataFrame, right: pl.DataFrame) -> Iterator[tuple[Ids, Ids]]:
    """Yield, in blocks, the positions of the pairs of rows that are equal; none holds a null.

    At 14 ns a row a hash table made for one epoch costs less than looking into one that is kept,
    as long as it is not much larger than the epoch.
    """
    if not left.height or not right.height:
        return
    if right.height > left.height:  # the smaller one is looked into
        for here, there in _paired(right, left):
            yield there, here
    else:
        yield from _paired(left, right)


def _one_by_one(many: pl.DataFrame, few: pl.DataFrame) -> Iterator[tuple[Ids, Ids]]:
    """Compare all rows with each of the few: of integers 0.2 ns a row, a hash table takes 14."""
    columns = [column.to_numpy() for column in many]
    for number, row in enumerate(few.iter_rows()):
        same = columns[0] == row[0]
        for column, value in zip(columns[1:], row[1:], strict=True):
            same &= column == value
        found = np.flatnonzero(same)
        if len(found):
            yield found, np.full(len(found), number)


def _paired(many: pl.DataFrame, few: pl.DataFrame) -> Iterator[tuple[Ids, Ids]]:
    names = many.columns
    if few.height <= _A_FEW and all(dtype.is_integer() for dtype in many.dtypes):
        yield from _one_by_one(many, few)
        return
    step = max(BLOCK // _most_alike(few), 1)
    one = many.hstack([pl.Series(_MANY, np.arange(many.height))])
    two = few.hstack([pl.Series(_FEW, np.arange(few.height))])
    for begin in range(0, many.height, step):
        met = one[begin : begin + step].join(two, on=names, how="inner", maintain_order="left")
        if met.height:
            yield met[_MANY].to_numpy(), met[_FEW].to_numpy()


def _most_alike(rows: pl.DataFrame) -> int:
    """Return how many rows are equal at most: as many pairs may come of one row."""
    if rows.height == 1 or (rows.width == 1 and rows.to_series().n_unique() == rows.height):
        return 1
    most = rows.group_by(rows.columns).len().get_column("len").max()
    return most if isinstance(most, int) else 1
