"""Counted: aggregates over groups whose rows may be deleted, without keeping the rows."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators import exact_sums
from penstock.operators.aggregate import PartialAggregates, RunningAggregate
from penstock.operators.contract import Delta, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.grouped_values import GROUP, VALUE, GroupedValues
from penstock.operators.seen import MOST_FILTERS, Seen
from penstock.operators.tallies import AMOUNT, Changed, Tallies
from penstock.state.arrays import Ids
from penstock.state.contract import Stateful
from penstock.state.table import KeyedTable

_ROW = "_penstock_row"
_PLACE = "place"


class Keeping(enum.Enum):
    """How a column of a group is kept up to date."""

    DISTINCT = "distinct"  # how many values have a count
    EXTREME = "extreme"  # a minimum or maximum of the values that have one
    SUM = "sum"  # the exact sum of the finite ones


@dataclass(frozen=True, slots=True)
class Kept:
    """A column of each group, made from the values of ``value`` in the rows that ``rows`` takes.

    Columns of one ``source`` share their counts, those of one ``values`` differ in ``rows`` alone.
    ``merge`` finds the extreme in ``VALUE``.
    """

    name: str
    keeping: Keeping
    value: pl.Expr
    rows: pl.Expr | None
    source: str
    values: str
    merge: pl.Expr | None = None


class _Source(Protocol):
    grouped: GroupedValues

    def update(
        self, rows: pl.DataFrame, slots: Ids, groups: Ids, before: pl.DataFrame
    ) -> list[pl.Series]:
        """Take in rows of the groups ``slots``; return columns of ``groups``, ascending."""


class CountedAggregate(RunningAggregate):
    """Keep partials of every group as ``RunningAggregate`` does, and beside them columns that no
    partial can give: numbers of distinct values, extremes and float sums under deletion.

    State, besides the groups: a count for each distinct value of each group, shared by all columns
    of one source (of append-only rows the bits of ``Seen``, shared by all that read the values); for
    float sums one number for each 32 exponents in use. An epoch touches the values it brings, and
    all values of a group only when the current extreme was deleted.
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
        self._sources = _sources(kept, input_schema, changelog=changelog)
        tables: dict[str, Stateful] = {
            f"values{i}": source.grouped.table for i, source in enumerate(self._sources)
        }
        self.state = {**self.state, **tables}

    def _update(self, frame: pl.DataFrame, tick: Tick) -> Delta | None:
        partials, table = self._partials, self._table
        slots, groups, keys, fresh = self._grouped(frame)
        existed, before = table.exists(groups), table.get(groups)
        found = [s for source in self._sources for s in source.update(frame, slots, groups, before)]
        kept = pl.DataFrame(found)
        order = np.argsort(~existed, kind="stable")  # groups that existed come first below
        groups, keys = groups[order], keys[order] if partials.keys else keys
        old = before[order[: int(existed.sum())]]
        linear = self._merging(old.select(fresh.columns), fresh[order])
        merged = linear.hstack(kept[order]).select(*partials.schema)
        table.set(groups, merged)
        if self._expiry is not None:
            self._expiry.touch(groups, keys, tick)
        return self._changes(groups, keys, old, merged)

    def _grouped(self, frame: pl.DataFrame) -> tuple[Ids, Ids, pl.DataFrame, pl.DataFrame]:
        """Return the slot of each row, and of each group, ascending, slot, key and partials."""
        partials = self._partials
        if not partials.keys:
            self._table.assign(pl.DataFrame(height=1), unique=True)
            slots = np.zeros(frame.height, dtype=np.int64)
            only = np.zeros(1, dtype=np.int64)
            return slots, only, pl.DataFrame(height=1), frame.select(*partials.extract)
        grouped = frame.with_row_index(_ROW).group_by(*partials.keys).agg(*partials.extract, _ROW)
        slots = self._table.assign(grouped.select(partials.key_names), unique=True)
        rows = grouped[_ROW]
        by_row = np.empty(frame.height, dtype=np.int64)
        by_row[rows.explode().to_numpy()] = np.repeat(slots, rows.list.len().to_numpy())
        order = np.argsort(slots)
        grouped = grouped.drop(_ROW)[order]
        keys = grouped.select(partials.key_names)
        return by_row, slots[order], keys, grouped.drop(partials.key_names)

    def _free(self, slots: np.ndarray) -> None:
        for source in self._sources:
            source.grouped.free(np.unique(slots))
        super()._free(slots)


def _sources(kept: Sequence[Kept], schema: pl.Schema, *, changelog: bool) -> list[_Source]:
    """Put together the columns that share what is kept of their values."""
    together: dict[Hashable, list[Kept]] = {}
    for column in kept:
        shared = column.source if changelog else column.values
        together.setdefault((column.keeping is Keeping.SUM, shared), []).append(column)
    empty = pl.DataFrame(schema=schema)
    found: list[_Source] = []
    for columns in together.values():
        dtype = empty.select(columns[0].value).dtypes[0]
        if columns[0].keeping is Keeping.SUM:
            found.append(_Sums(columns[0]))
        elif changelog:
            found.append(_Values(columns, dtype))
        else:
            shares = range(0, len(columns), MOST_FILTERS)
            found.extend(_Distinct(columns[i : i + MOST_FILTERS], dtype) for i in shares)
    return found


def _taken(rows: pl.DataFrame, slots: Ids, kept: Kept) -> pl.DataFrame:
    """Return ``GROUP, VALUE, AMOUNT`` of the rows that a source takes."""
    rows = rows.with_columns(pl.Series(GROUP, slots, dtype=pl.Int64))
    if kept.rows is not None:
        rows = rows.filter(kept.rows)
    return rows.select(pl.col(GROUP), kept.value.alias(VALUE), pl.col(WEIGHT).alias(AMOUNT))


class _Distinct:
    """Numbers of distinct values of append-only rows."""

    def __init__(self, columns: Sequence[Kept], dtype: pl.DataType) -> None:
        self._names = [column.name for column in columns]
        self._seen = Seen(columns[0].value, dtype, [column.rows for column in columns])
        self.grouped: GroupedValues = self._seen.values

    def update(
        self, rows: pl.DataFrame, slots: Ids, groups: Ids, before: pl.DataFrame
    ) -> list[pl.Series]:
        return [
            pl.Series(name, before[name].fill_null(0).to_numpy() + more)
            for name, more in zip(self._names, self._seen.add(rows, slots, groups), strict=True)
        ]


class _Values:
    """Counts of the distinct values of one source, and the columns made from them."""

    def __init__(self, columns: Sequence[Kept], dtype: pl.DataType) -> None:
        self._columns = columns
        self._dtype = dtype
        self.tallies = Tallies(dtype, pl.Int64(), signed=False)
        self.grouped: GroupedValues = self.tallies

    def update(
        self, rows: pl.DataFrame, slots: Ids, groups: Ids, before: pl.DataFrame
    ) -> list[pl.Series]:
        changed = self.tallies.add(_taken(rows, slots, self._columns[0]))
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
        self.grouped: GroupedValues = self.tallies

    def update(
        self,
        rows: pl.DataFrame,
        slots: Ids,
        groups: Ids,
        before: pl.DataFrame,  # noqa: ARG002 - all sums of a group are made of its bins
    ) -> list[pl.Series]:
        taken = _taken(rows, slots, self._column).filter(pl.col(VALUE).is_finite())
        terms = exact_sums.terms(taken[VALUE], taken[AMOUNT])
        self.tallies.add(taken.select(GROUP).hstack(terms))
        positions, bins = self.tallies.of(groups)
        return [pl.Series(self._column.name, exact_sums.totals(positions, bins, len(groups)))]
