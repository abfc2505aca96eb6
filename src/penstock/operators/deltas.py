"""Arithmetic of deltas: frames whose last column is the weight (Z-sets, as in DBSP)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.columns import WEIGHT


def weighted(frame: pl.DataFrame, weight: int) -> pl.DataFrame:
    """Append the weight column."""
    return frame.with_columns(pl.lit(weight, pl.Int64).alias(WEIGHT))


def consolidate(frame: pl.DataFrame) -> pl.DataFrame:
    """Add up the weights of equal rows, drop the zeros, put deletions first.

    ``(x,+1) (y,+1) (x,-1)`` -> ``(y,+1)``
    """
    columns = [c for c in frame.columns if c != WEIGHT]
    if columns:
        summed = frame.group_by(columns, maintain_order=True).agg(pl.col(WEIGHT).sum())
    else:
        summed = frame.select(pl.col(WEIGHT).sum())
    return deletions_first(summed.filter(pl.col(WEIGHT) != 0))


def deletions_first(frame: pl.DataFrame) -> pl.DataFrame:
    """Put negative weights before positive ones, otherwise keeping the order."""
    negative = frame[WEIGHT] < 0
    if not negative.any() or negative.all():
        return frame
    return pl.concat([frame.filter(negative), frame.filter(~negative)])


def difference(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame | None:
    """Return the delta that turns one bag of rows into another."""
    if before.height == 0 and after.height == 0:
        return None
    if before.height == 0:
        return consolidate(weighted(after, 1))
    delta = consolidate(pl.concat([weighted(before, -1), weighted(after, 1)]))
    return delta if delta.height else None


def concat(frames: Sequence[pl.DataFrame]) -> pl.DataFrame | None:
    """Concatenate deltas of one edge; None if there is nothing."""
    some = [frame for frame in frames if frame.height]
    if not some:
        return None
    return some[0] if len(some) == 1 else pl.concat(some)


def repeat_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn a positive Z-set into a bag: a row of weight 3 becomes three rows."""
    weights = frame[WEIGHT]
    bare = frame.drop(WEIGHT)
    if (weights == 1).all():
        return bare
    counts = weights.clip(lower_bound=0)
    index = pl.int_range(frame.height, eager=True).repeat_by(counts).explode()
    return bare[index.drop_nulls().cast(pl.UInt32)]


def materialised(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with constant columns written out.

    Polars divides by a constant column by multiplying with the reciprocal, which has another last
    bit. A row that was inserted in one epoch could then not be deleted with what another one gives.
    """
    return pl.DataFrame(frame.get_columns())
