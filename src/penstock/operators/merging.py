"""Merging rows of partial aggregates: those kept of each group, and the epoch's new ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

_ROW = "_penstock_row"
_OLD = "_penstock_old_"


class Merging:
    """Merges old and new partials that stand for the same groups, row by row.

    Sums and extremes are merged by arithmetic between the two columns, several times faster than
    the ``group_by`` that other partials need.
    """

    def __init__(self, merge: Sequence[pl.Expr], schema: pl.Schema) -> None:
        self._merge = list(merge)
        names = [expr.meta.output_name() for expr in merge]
        pairs = [_pairwise(e, n, schema[n]) for e, n in zip(merge, names, strict=True)]
        found = [pair for pair in pairs if pair is not None]
        self._pairwise = found if len(found) == len(pairs) else None
        self._kinds = [_kind(e, n, schema[n]) for e, n in zip(merge, names, strict=True)]
        self._names = names

    def __call__(self, old: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
        """Merge ``old`` into the first rows of ``fresh``; the others have nothing to merge with."""
        known = old.height
        if not known:
            return fresh
        merged = self._merged(old, fresh[:known])
        return merged if known == fresh.height else merged.vstack(fresh[known:])

    def _merged(self, old: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
        if self._pairwise is None:
            return self._grouped(old, fresh)
        if None not in self._kinds and not _has_nulls(old, fresh):
            return self._summed(old, fresh)
        columns = [series.alias(_OLD + series.name) for series in old.get_columns()]
        return pl.DataFrame([*fresh.get_columns(), *columns]).select(self._pairwise)

    def _summed(self, old: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
        """Merge whole numbers without a query: its start costs more than few rows do."""
        pairs = zip(self._kinds, old.get_columns(), fresh.get_columns(), strict=True)
        merged = [
            pl.Series(one.name, _BETWEEN[kind](one.to_numpy(), two.to_numpy()))
            for kind, one, two in pairs
            if kind is not None
        ]
        return pl.DataFrame(merged)

    def _grouped(self, old: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
        row = pl.Series(_ROW, np.tile(np.arange(fresh.height), 2))
        both = pl.concat([old, fresh]).with_columns(row)
        merged = both.group_by(_ROW, maintain_order=True).agg(self._merge)
        return merged.select(self._names)


_BETWEEN = {"sum": np.add, "max": np.maximum, "min": np.minimum}


def _kind(merge: pl.Expr, name: str, dtype: pl.DataType) -> str | None:
    """Name the merge of two whole numbers of up to 64 bits, if it is one."""
    if not dtype.is_integer() or dtype in (pl.Int128, pl.UInt128):
        return None
    bare, new = merge.meta.undo_aliases(), pl.col(name)
    kinds = {"sum": new.sum(), "max": new.max(), "min": new.min()}
    return next((kind for kind, expr in kinds.items() if bare.meta.eq(expr)), None)


def _has_nulls(old: pl.DataFrame, fresh: pl.DataFrame) -> bool:
    return any(s.has_nulls() for frame in (old, fresh) for s in frame.get_columns())


def _pairwise(merge: pl.Expr, name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Return the expression over one old and one new column that does what ``merge`` does."""
    old, new = pl.col(_OLD + name), pl.col(name)
    bare = merge.meta.undo_aliases()
    if bare.meta.eq(new.sum()) and dtype.is_numeric():
        return (old + new).cast(dtype).alias(name)
    for whole, between in ((new.max(), pl.max_horizontal), (new.min(), pl.min_horizontal)):
        if not bare.meta.eq(whole):
            continue
        if dtype.is_float():  # NaN loses against any number, as in the aggregations
            known = between(old.fill_nan(None), new.fill_nan(None))
            return known.fill_null(old).fill_null(new).alias(name)
        if dtype.is_integer() or dtype.is_temporal():
            return between(old, new).alias(name)
    return None
