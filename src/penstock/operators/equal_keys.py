"""Which rows of two frames have equal keys."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from penstock.operators.pairs import BLOCK
from penstock.state.arrays import Ids

_LEFT = "_penstock_left"
_RIGHT = "_penstock_right"


def equal_keys(left: pl.DataFrame, right: pl.DataFrame) -> Iterator[tuple[Ids, Ids]]:
    """Yield, in blocks, the positions of the pairs of rows that are equal; none holds a null.

    At 14 ns a row a hash table made for one epoch costs less than looking into one that is kept,
    as long as it is not much larger than the epoch.
    """
    if not left.height or not right.height:
        return
    names = left.columns
    most = 1
    if (right if len(names) > 1 else right.to_series()).n_unique() < right.height:
        found = right.group_by(names).len().get_column("len").max()
        most = found if isinstance(found, int) else 1
    step = max(BLOCK // most, 1)
    one = left.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_LEFT))
    two = right.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_RIGHT))
    for begin in range(0, left.height, step):
        met = one[begin : begin + step].join(two, on=names, how="inner", maintain_order="left")
        if met.height:
            yield met[_LEFT].to_numpy(), met[_RIGHT].to_numpy()
