"""Pairs of rows for which a condition is true, read column by column.

The columns that the condition reads are gathered for all pairs, the others for those that remain:
where a condition drops most pairs, or rows are wide, that is most of the work of a join.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.contract import Tick
from penstock.operators.pairs import OutputColumn, Pairing, for_each
from penstock.operators.refusing import refuse
from penstock.state.arrays import Ids, Mask
from penstock.state.rows import RowStore

Read = Callable[[str, Ids], pl.Series]
"""Gives the values of a column in rows by number."""

Reads = tuple[Read, Read]
At = tuple[Ids, Ids]
"""Numbers of the left and of the right rows of pairs."""


def of_frame(frame: pl.DataFrame) -> Read:
    """Read the rows of a frame by position; positions are made what Polars takes once for all columns."""
    rows_of: tuple[Ids | None, pl.Series] = (None, pl.Series(dtype=pl.get_index_type()))

    def read(name: str, rows: Ids) -> pl.Series:
        nonlocal rows_of
        if rows_of[0] is not rows:
            rows_of = rows, pl.Series(rows).cast(pl.get_index_type())
        return frame.get_column(name)[rows_of[1]]

    return read


def of_store(store: RowStore) -> Read:
    """Read the rows of a store by id."""
    return store.values


def true_pairs(
    pairing: Pairing, reads: Reads, at: At, weights: Ids | None, tick: Tick
) -> tuple[pl.DataFrame, Ids | None]:
    """Return the pairs for which the condition is true, and their weights (None: all one)."""
    if pairing.condition is None:
        return _read(pairing, reads, at), weights
    wanted = set(pairing.condition.meta.root_names())
    narrow = _read(pairing, reads, at, wanted)
    try:
        true = _evaluated(pairing.condition, narrow, len(at[0]))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        true = _tried(pairing.condition, _read(pairing, reads, at), weights, tick)
    if true.all():
        return _beside(pairing, reads, at, narrow), weights
    hits = np.flatnonzero(true)
    left = None if weights is None else weights[hits]
    return _beside(pairing, reads, (at[0][hits], at[1][hits]), narrow[hits]), left


def _read(
    pairing: Pairing, reads: Reads, at: At, names: Collection[str] | None = None
) -> pl.DataFrame:
    columns = [c for c in pairing.columns if names is None or c.name in names]
    if not columns:
        return pl.DataFrame(height=len(at[0]))
    return pl.DataFrame([_column(pairing, column, reads, at) for column in columns])


def _beside(pairing: Pairing, reads: Reads, at: At, narrow: pl.DataFrame) -> pl.DataFrame:
    """Return the pairs of which some columns are read already."""
    known = set(narrow.columns)
    return pl.DataFrame(
        [
            narrow.get_column(column.name)
            if column.name in known
            else _column(pairing, column, reads, at)
            for column in pairing.columns
        ]
    )


def _column(pairing: Pairing, column: OutputColumn, reads: Reads, at: At) -> pl.Series:
    side = 1 if column.left is None else 0
    name = column.right if column.left is None else column.left
    return pairing.typed(reads[side](str(name), at[side]), column.name)


def _evaluated(condition: pl.Expr, pairs: pl.DataFrame, height: int) -> Mask:
    found = pairs.select(condition).to_series()
    if len(found) != height:  # a constant
        found = found.new_from_index(0, height)
    return found.fill_null(value=False).to_numpy()


def _tried(condition: pl.Expr, pairs: pl.DataFrame, weights: Ids | None, tick: Tick) -> Mask:
    """Tell for which pairs the condition is true; a pair on which it fails is a dead letter."""
    try:
        found = for_each(pairs, pairs.select(condition).to_series())
        return found.fill_null(value=False).to_numpy()
    except pl.exceptions.PolarsError as error:
        cause: BaseException = error
    except pl.exceptions.PanicException as error:
        cause = error
    if pairs.height == 1:
        shown = pairs if weights is None else pairs.with_columns(pl.Series(WEIGHT, weights))
        refuse(shown, "join_where", cause, tick, replayable=False)
        return np.zeros(1, dtype=bool)
    half = pairs.height // 2
    first, second = (None, None) if weights is None else (weights[:half], weights[half:])
    parts = [(pairs[:half], first), (pairs[half:], second)]
    return np.concatenate([_tried(condition, part, some, tick) for part, some in parts])
