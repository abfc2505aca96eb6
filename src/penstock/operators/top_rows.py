"""TopRows: the k best rows of each group, of rows that are only ever added."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators import scores
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import consolidate
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
        if chosen is not None:
            rows, slots = rows[chosen], slots[chosen]
        return self._compete(rows, slots) if rows.height else None

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

    def _compete(self, rows: pl.DataFrame, slots: Ids) -> Delta | None:
        used = distinct(slots)
        positions, ids = self._rows.lookup_ids(used)
        old = self._rows.rows(ids)
        both = pl.concat([old, rows.select(old.columns)])
        slots = np.concatenate([used[positions], slots])
        order = self._order(both, slots)
        slots = slots[order]
        was = order < len(ids)
        place, old_place = _places(slots, np.ones(len(slots), bool)), _places(slots, was)
        stays = place < self._spec.k
        entered, left = order[stays & ~was], order[~stays & was]
        if not entered.size:
            return None
        self._rows.remove(ids[left])
        # In order of arrival: among equal rows the lower row id is the earlier one.
        arrived = np.sort(entered)
        where = np.empty(len(order), dtype=np.int64)
        where[order] = slots
        self._rows.append(where[arrived], both[arrived])
        last = stays & (place == self._spec.k - 1)
        if self._scored:
            self._bars.data[slots[last]] = self._scores(both[order[last]])
        if self._spec.rank is None:
            return self._changes(both, left, np.sort(entered))
        moved = place != old_place
        before, after = was & (moved | ~stays), stays & (moved | ~was)
        return self._ranked(both, (order[before], old_place[before]), (order[after], place[after]))

    def _order(self, rows: pl.DataFrame, slots: Ids) -> Ids:
        spec = self._spec
        keyed = rows.select(pl.Series(_SLOT, slots), *(pl.col(name) for name in spec.by))
        found = keyed.select(
            pl.arg_sort_by(
                *keyed.columns,
                descending=[False, *spec.descending],
                nulls_last=[False, *spec.nulls_last],
                maintain_order=True,
            )
        )
        return found.to_series().to_numpy().astype(np.int64)

    def _changes(self, both: pl.DataFrame, left: Ids, entered: Ids) -> Delta:
        rows = both[np.concatenate([left, entered])].select(self._columns)
        weights = np.concatenate([np.full(len(left), -1), np.full(len(entered), 1)])
        return rows.with_columns(pl.Series(WEIGHT, weights, dtype=pl.Int64))

    def _ranked(
        self, both: pl.DataFrame, before: tuple[Ids, Ids], after: tuple[Ids, Ids]
    ) -> Delta | None:
        assert self._spec.rank is not None
        changes = self._changes(both, before[0], after[0])
        places = pl.Series(self._spec.rank, np.concatenate([before[1], after[1]]) + 1)
        changes = changes.with_columns(places.cast(pl.Int64))
        changes = consolidate(changes.select(*self._columns, self._spec.rank, WEIGHT))
        return changes if changes.height else None

    def _restore_bars(self) -> None:
        """After a restart, take the bars from the rows held."""
        if self._barred:
            return
        self._barred = True
        ids = self._rows.live_ids()
        if not (self._scored and ids.size):
            return
        self._bars.ensure(self._groups.capacity)
        rows, slots = self._rows.rows(ids), self._rows.slots_of(ids)
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
