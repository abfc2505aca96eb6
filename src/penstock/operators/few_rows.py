"""Groups of a few rows, merged into what is kept of them without a query.

    rows (a, 1) (b, 2) (a, 3)   kept a: 5      ->   slots [a, b], before [5], after [9, 2]

The start of a query takes longer than the work on few rows, and longer still while all cores are
busy: with queries ten rows took 0.51 ms of processor time, without they take 0.28 (a busy machine).
The same partials, kept in the same table; only sums, counts and extremes of plain columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.arrays import Ids, Mask
from penstock.state.physical import numpy_type, physical_type, to_numpy
from penstock.state.table import KeyedTable

FEW = 512
"""Rows up to which this way takes less time than a query (the two meet near 2,000)."""

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Touched:
    """The groups of an epoch, those that existed before first.

    ``first`` is a row of each in ``rows``, the keys as they arrived. ``before`` holds the partials
    of those that existed, ``after`` of all; both as arrays in the order of the partials.
    """

    slots: Ids
    first: Ids
    rows: list[pl.Series]
    before: list[Values]
    after: list[Values]

    def keys(self, groups: Ids) -> list[pl.Series]:
        """Return the keys of groups, by column: a frame would use all cores for that."""
        index = pl.Series(self.first[groups].astype(np.uint32))
        return [column[index] for column in self.rows]

    def changes(self) -> tuple[Ids, Mask, list[Values]]:
        """Return what changed: groups, whether with what they were before (first), and partials."""
        known = len(self.before[0])
        changed = np.flatnonzero(_differing(self.before, self.after))
        new = np.arange(known, len(self.slots))
        groups = np.concatenate([changed, changed, new])
        was = np.zeros(len(groups), np.bool_)
        was[: len(changed)] = True
        partials = [
            np.concatenate([old[changed], now[changed], now[known:]])
            for old, now in zip(self.before, self.after, strict=True)
        ]
        return groups, was, partials


@dataclass(frozen=True, slots=True)
class _Partial:
    """One partial: how the rows of ``column`` (None: rows, whatever is in them) change it."""

    kind: str
    column: str | None
    dtype: pl.DataType  # of the column
    kept: npt.DTypeLike

    def merge(self, into: Values, groups: Ids, frame: pl.DataFrame) -> bool:
        """Merge rows into the partials of their groups; False if there are nulls in the way."""
        if self.column is None:
            np.add.at(into, groups, into.dtype.type(1))
            return True
        values, valid = to_numpy(frame.get_column(self.column), self.dtype)
        if self.kind == "count":
            np.add.at(into, groups, into.dtype.type(1) if valid is None else valid)
        elif self.kind == "sum":  # a null is 0 here
            np.add.at(into, groups, values.astype(self.kept, copy=False))
        elif valid is not None:
            return False
        else:
            _EXTREME[self.kind].at(into, groups, values)
        return True

    def nothing(self, count: int) -> Values:
        """Return partials of groups without rows."""
        dtype = np.dtype(self.kept)
        if self.kind not in _EXTREME:
            return np.zeros(count, dtype)
        if dtype.kind == "f":
            return np.full(count, np.nan, dtype)
        bounds = np.iinfo(dtype)
        return np.full(count, bounds.min if self.kind == "max" else bounds.max, dtype)


_EXTREME: dict[str, np.ufunc] = {"max": np.fmax, "min": np.fmin}
"""NaN loses against any number, as in Polars."""


class FewRows:
    """Merges a few rows into the partials of their groups."""

    def __init__(self, keys: dict[str, str], partials: list[_Partial]) -> None:
        self._keys = keys
        self._renamed = any(name != column for name, column in keys.items())
        self._partials = partials

    def merge(self, frame: pl.DataFrame, table: KeyedTable) -> Touched | None:
        """Merge and store; None, with nothing stored but new keys, if nulls are in the way."""
        named = [frame.get_column(c).alias(name) for name, c in self._keys.items()]
        given = pl.DataFrame(named) if self._renamed else frame
        slots, first, groups = np.unique(
            table.assign(given), return_index=True, return_inverse=True
        )
        existed = table.exists(slots)
        known = int(np.count_nonzero(existed))
        if 0 < known < len(slots):
            order = np.argsort(~existed, kind="stable")
            place = np.empty_like(order)
            place[order] = np.arange(len(order))
            slots, first, groups = slots[order], first[order], place[groups]
        before = table.physical(slots[:known])
        if before is None:
            return None
        after = []
        for partial, old in zip(self._partials, before, strict=True):
            into = partial.nothing(len(slots))
            into[:known] = old
            if not partial.merge(into, groups, frame):
                return None
            after.append(into)
        table.set_physical(slots, after)
        return Touched(slots, first, named, before, after)


def few_rows(
    keys: tuple[pl.Expr, ...],
    extract: tuple[pl.Expr, ...],
    schema: pl.Schema,
    input_schema: pl.Schema,
) -> FewRows | None:
    """Return how a few rows are merged, None if keys or partials are not of the simple kinds."""
    named = {expr.meta.output_name(): _column(expr, input_schema) for expr in keys}
    plain = {name: column for name, column in named.items() if column is not None}
    found = [_recognised(expr, schema, input_schema) for expr in extract]
    simple = [partial for partial in found if partial is not None]
    if not keys or len(plain) < len(keys) or len(simple) < len(found):
        return None
    return FewRows(plain, simple)


def _column(expr: pl.Expr, schema: pl.Schema) -> str | None:
    bare = expr.meta.undo_aliases()
    return next((name for name in schema if bare.meta.eq(pl.col(name))), None)


def _recognised(expr: pl.Expr, schema: pl.Schema, input_schema: pl.Schema) -> _Partial | None:
    """Return the partial that an expression extracts, if it is of a simple kind."""
    bare, out = expr.meta.undo_aliases(), schema[expr.meta.output_name()]
    if physical_type(out) is None:
        return None
    kept = numpy_type(out)
    if bare.meta.eq(pl.len().cast(out)):
        return _Partial("count", None, out, kept)
    for name, dtype in input_schema.items():
        for kind, fits in _KINDS.items():
            if fits(dtype) and bare.meta.eq(getattr(pl.col(name), kind)().cast(out)):
                return _Partial(kind, name, dtype, kept)
    return None


def _summed(dtype: pl.DataType) -> bool:
    return physical_type(dtype) is not None and (dtype.is_integer() or dtype == pl.Float64)


def _ordered(dtype: pl.DataType) -> bool:
    return physical_type(dtype) is not None and (dtype.is_numeric() or dtype.is_temporal())


_KINDS: dict[str, Callable[[pl.DataType], bool]] = {
    "count": lambda dtype: physical_type(dtype) is not None,
    "sum": _summed,
    "max": _ordered,
    "min": _ordered,
}


def _differing(before: list[Values], after: list[Values]) -> Mask:
    """Tell which groups of ``before`` have changed; NaN equals NaN."""
    changed = np.zeros(len(before[0]), np.bool_)
    for old, new in zip(before, after, strict=True):
        now = new[: len(old)]
        differs = old != now
        if old.dtype.kind == "f":
            differs &= ~(np.isnan(old) & np.isnan(now))
        changed |= differs
    return changed
