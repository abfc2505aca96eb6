"""Counted: aggregates over groups whose rows may be deleted, without keeping the rows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators import exact_sums
from penstock.operators.aggregate import PartialAggregates, RunningAggregate
from penstock.operators.contract import Delta, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.tallies import AMOUNT, GROUP, VALUE, Changed, Tallies
from penstock.state.contract import Stateful
from penstock.state.table import KeyedTable

_SLOT = "_penstock_slot"
_PLACE = "place"


class Keeping(enum.Enum):
    """How a column of a group is kept up to date."""

    DISTINCT = "distinct"  # how many values have a count
    EXTREME = "extreme"  # a minimum or maximum of the values that have one
    SUM = "sum"  # the exact sum of the finite ones


@dataclass(frozen=True, slots=True)
class Kept:
    """A column of each group, made from the values of ``value`` in the rows that ``rows`` takes.

    Columns of one ``source`` share their counts. ``merge`` finds the extreme in ``VALUE``.
    """

    name: str
    keeping: Keeping
    value: pl.Expr
    rows: pl.Expr | None
    source: str
    merge: pl.Expr | None = None


class _Source(Protocol):
    tallies: Tallies

    def update(
        self, rows: pl.DataFrame, groups: np.ndarray, before: pl.DataFrame
    ) -> list[pl.Series]: ...


class CountedAggregate(RunningAggregate):
    """Keep partials of every group as ``RunningAggregate`` does, and beside them columns that no
    partial can give: numbers of distinct values, extremes and float sums under deletion.

    State, besides the groups: a count for each distinct value of each group, shared by all columns
    of one source; for float sums one number for each 32 exponents in use. An epoch touches the
    values it brings, and all values of a group only when the current extreme was deleted.
    """

    def __init__(
        self,
        partials: PartialAggregates,
        kept: Sequence[Kept],
        *,
        input_schema: pl.Schema,
        changelog: bool,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        super().__init__(partials, input_schema=input_schema, changelog=changelog, expiry=expiry)
        by_source: dict[tuple[bool, str], list[Kept]] = {}
        for column in kept:
            of_sum = column.keeping is Keeping.SUM
            by_source.setdefault((of_sum, column.source), []).append(column)
        empty = pl.DataFrame(schema=input_schema)
        self._sources: list[_Source] = [
            _Sums(columns[0])
            if of_sum
            else _Values(columns, empty.select(columns[0].value).dtypes[0])
            for (of_sum, _), columns in by_source.items()
        ]
        tables: dict[str, Stateful] = {
            f"values{i}": source.tallies.table for i, source in enumerate(self._sources)
        }
        self.state = {**self.state, **tables}

    def _update(self, frame: pl.DataFrame, tick: Tick) -> Delta | None:
        partials, table = self._partials, self._table
        slots = self._slots(frame)
        groups = np.unique(slots) if partials.keys else np.zeros(1, dtype=np.int64)
        keys = table.keys(groups) if partials.keys else pl.DataFrame(height=1)
        rows = frame.with_columns(pl.Series(_SLOT, slots, dtype=pl.Int64))
        if not self._changelog:
            rows = rows.with_columns(pl.lit(1, pl.Int64).alias(WEIGHT))
        existed, before = table.exists(groups), table.get(groups)
        fresh = self._fresh(rows)
        found = [s for source in self._sources for s in source.update(rows, groups, before)]
        order = np.argsort(~existed, kind="stable")  # groups that existed come first below
        groups, keys = groups[order], keys[order] if partials.keys else keys
        old = before[order[: int(existed.sum())]]
        linear = self._merging(old.select(fresh.columns), fresh[order])
        merged = linear.hstack(pl.DataFrame(found)[order]).select(*partials.schema)
        table.set(groups, merged)
        if self._expiry is not None:
            self._expiry.touch(groups, keys, tick)
        return self._changes(groups, keys, old, merged)

    def _slots(self, frame: pl.DataFrame) -> np.ndarray:
        if self._partials.keys:
            return self._table.assign(frame.select(*self._partials.keys))
        self._table.assign(pl.DataFrame(height=1), unique=True)
        return np.zeros(frame.height, dtype=np.int64)

    def _fresh(self, rows: pl.DataFrame) -> pl.DataFrame:
        extract = self._partials.extract
        if not self._partials.keys:
            return rows.select(*extract)
        return rows.group_by(_SLOT).agg(*extract).sort(_SLOT).drop(_SLOT)

    def _free(self, slots: np.ndarray) -> None:
        for source in self._sources:
            source.tallies.free(np.unique(slots))
        super()._free(slots)


def _taken(rows: pl.DataFrame, kept: Kept) -> pl.DataFrame:
    """Return ``GROUP, VALUE, AMOUNT`` of the rows that a source takes."""
    if kept.rows is not None:
        rows = rows.filter(kept.rows)
    return rows.select(
        pl.col(_SLOT).alias(GROUP), kept.value.alias(VALUE), pl.col(WEIGHT).alias(AMOUNT)
    )


class _Values:
    """Counts of the distinct values of one source, and the columns made from them."""

    def __init__(self, columns: Sequence[Kept], dtype: pl.DataType) -> None:
        self._columns = columns
        self._dtype = dtype
        self.tallies = Tallies(dtype, pl.Int64(), signed=False)

    def update(
        self, rows: pl.DataFrame, groups: np.ndarray, before: pl.DataFrame
    ) -> list[pl.Series]:
        changed = self.tallies.add(_taken(rows, self._columns[0]))
        places = np.searchsorted(groups, changed.groups)
        return [
            self._distinct(column, before, changed, places)
            if column.keeping is Keeping.DISTINCT
            else self._extreme(column, before, changed, places, groups)
            for column in self._columns
        ]

    def _distinct(
        self, column: Kept, before: pl.DataFrame, changed: Changed, places: np.ndarray
    ) -> pl.Series:
        more = changed.appeared.astype(np.int64) - changed.vanished
        total = before[column.name].fill_null(0).to_numpy().copy()
        np.add.at(total, places, more)
        return pl.Series(column.name, total)

    def _extreme(
        self,
        column: Kept,
        before: pl.DataFrame,
        changed: Changed,
        places: np.ndarray,
        groups: np.ndarray,
    ) -> pl.Series:
        """The old extreme and the values that appeared decide, unless the old one vanished."""
        assert column.merge is not None
        old = before[column.name]
        lost = changed.values.eq_missing(old.gather(places)).to_numpy() & changed.vanished
        stale = np.zeros(len(groups), dtype=bool)
        stale[places[lost]] = True
        held = np.flatnonzero(~stale)
        new = changed.appeared & ~stale[places]
        again = np.flatnonzero(stale)
        positions, values = self.tallies.of(groups[again])
        candidates = [
            (held, old.gather(held)),
            (places[new], changed.values.filter(new)),
            (again[positions], values[VALUE]),
        ]
        both = pl.concat(
            [pl.DataFrame({_PLACE: p, VALUE: v.cast(self._dtype)}) for p, v in candidates]
        )
        best = both.group_by(_PLACE).agg(column.merge.alias(column.name)).sort(_PLACE)
        everyone = pl.DataFrame({_PLACE: np.arange(len(groups))})
        return everyone.join(best, on=_PLACE, how="left", maintain_order="left")[column.name]


class _Sums:
    """The exact sum of the finite values of one source."""

    def __init__(self, column: Kept) -> None:
        self._column = column
        self.tallies = Tallies(exact_sums.BIN, exact_sums.WIDE, signed=True)

    def update(
        self,
        rows: pl.DataFrame,
        groups: np.ndarray,
        before: pl.DataFrame,  # noqa: ARG002 - all sums of a group are made of its bins
    ) -> list[pl.Series]:
        taken = _taken(rows, self._column).filter(pl.col(VALUE).is_finite())
        terms = exact_sums.terms(taken[VALUE], taken[AMOUNT])
        self.tallies.add(taken.select(GROUP).hstack(terms))
        positions, bins = self.tallies.of(groups)
        return [pl.Series(self._column.name, exact_sums.totals(positions, bins, len(groups)))]
