"""TopRows: the k best rows of each group, of rows that are only ever added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators import scores
from penstock.operators.aggregate import equal_rows
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.distinct import first_of_each
from penstock.operators.expiry import Expiry
from penstock.state.arrays import GrowArray, Ids, distinct
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore

_SLOT = "_penstock_slot"


@dataclass(frozen=True, slots=True)
class TopSpec:
    """What to keep: ``k`` rows a group in the order of the columns ``by``.

    ``computed`` are the expressions of those columns that the input does not have.
    """

    k: int
    keys: tuple[str, ...]
    by: tuple[str, ...]
    computed: tuple[pl.Expr, ...]
    descending: tuple[bool, ...]
    nulls_last: tuple[bool, ...]
    rank: str | None


@dataclass(frozen=True, slots=True)
class _Change:
    """Rows that leave or move away, those that come or move there; by both, place and group.

    Those that leave are ordered by group and place.
    """

    gone: pl.DataFrame
    came: pl.DataFrame
    places: tuple[Ids, Ids]
    groups: tuple[Ids, Ids]

    def unchanged(self, by: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tell which rows do not make way for an equal one at the same place, and which come."""
        width = 1 + max(int(places.max(initial=0)) for places in self.places)
        old, new = (g * width + p for g, p in zip(self.groups, self.places, strict=True))
        gone, came = np.ones(len(old), dtype=bool), np.ones(len(new), dtype=bool)
        if not len(old):
            return gone, came
        at = np.minimum(np.searchsorted(old, new), len(old) - 1)
        there = np.flatnonzero(old[at] == new)
        # Whole rows are compared where the order does not tell them apart already.
        for columns in (list(by), self.gone.columns):
            one, other = self.gone.select(columns), self.came.select(columns)
            there = there[equal_rows(one[at[there]], other[there])]
        gone[at[there]] = came[there] = False
        return gone, came


class TopRows(Operator):
    """Keep the ``k`` first rows of each group in an order; emit who enters and who leaves.

    A row that does not beat the k-th of its group is dropped at the price of one comparison of
    integers. Of rows that compare equal the first to arrive comes first.

    State: at most ``k`` rows a group, freed when the expiry says so.
    """

    def __init__(
        self,
        schema: pl.Schema,
        spec: TopSpec,
        expiry: Callable[[KeyIndex], Expiry] | None = None,
    ) -> None:
        self._spec = spec
        self._columns = list(schema)
        held = pl.DataFrame(schema=schema).with_columns(*spec.computed).schema
        self._groups = KeyIndex(pl.Schema({name: schema[name] for name in spec.keys}))
        self._rows = RowStore(held)
        self._scored = scores.has_scores(held[spec.by[0]])
        self._bars = GrowArray(np.int64, fill=scores.WORST)
        self._barred = False
        self._expiry = expiry(self._groups) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {"groups": self._groups, "rows": self._rows, **extra}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Compare the rows with the k-th of their groups, and let the better ones in."""
        delta = deltas[0]
        result = None if delta is None else self._take(delta, tick)
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return result

    def _take(self, delta: pl.DataFrame, tick: Tick) -> Delta | None:
        self._restore_bars()
        rows = delta.with_columns(*self._spec.computed) if self._spec.computed else delta
        slots = self._slots(rows)
        if self._expiry is not None:
            used = first_of_each(slots)
            self._expiry.touch(slots[used], rows[used].select(self._spec.keys), tick)
        self._bars.ensure(self._groups.capacity)
        chosen = self._candidates(rows, slots)
        if chosen is None:
            chosen = np.arange(rows.height)
        return self._compete(rows, slots[chosen], chosen) if chosen.size else None

    def _slots(self, rows: pl.DataFrame) -> Ids:
        if self._spec.keys:
            return self._groups.assign(rows.select(self._spec.keys))
        self._groups.assign(pl.DataFrame(height=1))
        return np.zeros(rows.height, dtype=np.int64)

    def _candidates(self, rows: pl.DataFrame, slots: Ids) -> Ids | None:
        """Return the rows that may be among the best; None for all of them."""
        if not self._scored:
            return None
        values = self._scores(rows)
        bars = self._bars.data[slots]
        if len(self._spec.by) > 1:
            return np.flatnonzero(values <= bars)
        better = values < bars
        doubtful = (values == bars) & ~scores.is_exact(values)
        return np.flatnonzero(better | doubtful)

    def _scores(self, rows: pl.DataFrame) -> Ids:
        spec = self._spec
        column = rows[spec.by[0]]
        return scores.scores(column, descending=spec.descending[0], nulls_last=spec.nulls_last[0])

    def _compete(self, rows: pl.DataFrame, slots: Ids, chosen: Ids) -> Delta | None:
        """Order the chosen rows, of the groups ``slots``, with those held; take in the best.

        Only the columns of the order are read of all; whole rows are those that enter, leave or move.
        """
        used = distinct(slots)
        positions, ids = self._rows.lookup_ids(used)
        names = list(self._spec.by)
        by = pl.concat([self._rows.columns(ids, names), rows.select(names)[chosen]])
        number = _numbers(used, int(used[-1]) + 1)
        groups = np.concatenate([positions, number[slots]])
        order = self._order(by, groups)
        groups = groups[order]
        was = order < len(ids)
        place, old_place = _places(groups, np.ones(len(groups), bool)), _places(groups, was)
        stays = place < self._spec.k
        entered = stays & ~was
        if not entered.any():
            return None
        last = stays & (place == self._spec.k - 1)
        if self._scored:
            self._bars.data[used[groups[last]]] = self._scores(by[order[last]])
        moved = (place != old_place) & (self._spec.rank is not None)
        before, after = was & (moved | ~stays), stays & (moved | ~was)
        gone = self._rows.rows(ids[order[before]])
        there = was[after]
        again = _numbers(order[before], len(ids))[order[after][there]]
        fresh = rows[chosen[order[entered] - len(ids)]].select(gone.columns)
        self._rows.remove(ids[order[~stays & was]])
        self._rows.append(used[groups[entered]], fresh)  # equal rows of a group as they arrived
        change = _Change(
            gone=gone,
            came=pl.concat([gone[again], fresh]),
            places=(old_place[before], np.append(place[after][there], place[entered])),
            groups=(groups[before], np.append(groups[after][there], groups[entered])),
        )
        return self._changes(change)

    def _order(self, by: pl.DataFrame, groups: Ids) -> Ids:
        """Return the rows by group, in each by the order, equal ones as they arrived."""
        spec = self._spec
        if self._scored and len(spec.by) == 1:
            values = self._scores(by)
            packed = scores.packed_order(groups, values) if scores.is_exact(values).all() else None
            if packed is not None:
                return packed
        keyed = by.select(pl.Series(_SLOT, groups), *(pl.col(name) for name in spec.by))
        found = keyed.select(
            pl.arg_sort_by(
                *keyed.columns,
                descending=[False, *spec.descending],
                nulls_last=[False, *spec.nulls_last],
                maintain_order=True,
            )
        )
        return found.to_series().to_numpy().astype(np.int64)

    def _changes(self, change: _Change) -> Delta | None:
        gone, came = change.gone.select(self._columns), change.came.select(self._columns)
        places, rank = change.places, self._spec.rank
        if rank is not None:
            stay, again = change.unchanged(self._spec.by)
            if not stay.all():
                gone, came = gone.filter(stay), came.filter(again)
                places = places[0][stay], places[1][again]
        columns = gone.vstack(came).get_columns()
        if rank is not None:
            columns.append(pl.Series(rank, np.concatenate(places) + 1, dtype=pl.Int64))
        weights = np.concatenate([np.full(gone.height, -1), np.full(came.height, 1)])
        result = pl.DataFrame([*columns, pl.Series(WEIGHT, weights, dtype=pl.Int64)])
        return result if result.height else None

    def _restore_bars(self) -> None:
        """After a restart, take the bars from the rows held."""
        if self._barred:
            return
        self._barred = True
        ids = self._rows.live_ids()
        if not (self._scored and ids.size):
            return
        self._bars.ensure(self._groups.capacity)
        rows = self._rows.columns(ids, list(self._spec.by))
        slots = self._rows.slots_of(ids)
        order = self._order(rows, slots)
        slots = slots[order]
        last = _places(slots, np.ones(len(slots), bool)) == self._spec.k - 1
        self._bars.data[slots[last]] = self._scores(rows[order[last]])

    def _free(self, slots: Ids) -> None:
        if slots.size:
            self._rows.remove_slots(slots)
            self._groups.release(slots)
            self._bars.ensure(self._groups.capacity)
            self._bars.data[slots] = scores.WORST


def _places(slots: Ids, counted: np.ndarray) -> Ids:
    """Number the counted rows of each run of equal slots: ``a a b``, all counted -> ``0 1 0``."""
    before = np.cumsum(counted) - counted
    starts = np.flatnonzero(np.diff(slots, prepend=-1))
    lengths = np.diff(starts, append=len(slots))
    places: Ids = before - np.repeat(before[starts], lengths)
    return places


def _numbers(items: Ids, size: int) -> Ids:
    """Return the place of each item, below ``size``, in ``items``."""
    found = np.empty(size, dtype=np.int64)
    found[items] = np.arange(len(items))
    return found
