"""BestRows: the k best rows of each group of a changelog."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import StateLimitError
from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import consolidate, difference
from penstock.operators.expiry import Expiry
from penstock.operators.top_rows import TopSpec
from penstock.state.arrays import Ids, distinct
from penstock.state.index import KeyIndex

_SLOT = "_penstock_slot"
_PLACE = "_penstock_place"
_MARK = "_penstock_mark"
_RESERVE = 64
"""Rows beyond the k best that a group keeps in order at least. Larger: fewer times all rows of a
group are read because its best were deleted; smaller: less to read in every epoch."""


class Only(enum.Enum):
    """Which groups show their best rows."""

    BEST = "best"  # all of them
    ALONE = "alone"  # those of a single row


class BestRows(Operator):
    """Keep all rows of each group, the best of them apart; emit how the first ``k`` change.

    The *head* of a group are its best rows: ``k`` and a reserve, which grows with the root of the
    group. The *rest* are the others, none of which comes before a row of the head. An epoch reads
    the heads of the groups it touches; a row for the rest costs one comparison. Only when more rows
    of a head were deleted than its reserve holds is it filled up from the rest, which reads all
    rows of the group: on a group of a million rows once in a thousand such deletions.

    Of rows that compare equal the smaller by all columns comes first. State: all rows of the
    groups, freed when the expiry says so.
    """

    def __init__(
        self,
        schema: pl.Schema,
        spec: TopSpec,
        output: pl.Schema,
        *,
        only: Only = Only.BEST,
        max_group_rows: int | None = None,
        expiry: Callable[[KeyIndex], Expiry] | None = None,
    ) -> None:
        self._spec, self._output, self._limit = spec, output, max_group_rows
        self._only = only
        equal = {*spec.keys, *spec.by}  # in rows of a group that tie
        self._ties = [n for n, dtype in schema.items() if n not in equal and not dtype.is_nested()]
        self._groups = KeyIndex(pl.Schema({name: schema[name] for name in spec.keys}))
        self._head, self._rest = Bag(schema), Bag(schema)
        self._expiry = expiry(self._groups) if expiry else None
        extra = self._expiry.state if self._expiry else {}
        self.state = {
            "groups": self._groups,
            "head": self._head.store,
            "rest": self._rest.store,
            **extra,
        }

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take in the changes; emit how the best rows of the touched groups changed."""
        result = None if deltas[0] is None else self._take(consolidate(deltas[0]), tick)
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return result

    def _take(self, delta: pl.DataFrame, tick: Tick) -> Delta | None:
        if not delta.height:
            return None
        rows, weights = delta.drop(WEIGHT), delta[WEIGHT].to_numpy()
        slots = self._slots(rows)
        touched, first = np.unique(slots, return_index=True)
        if self._expiry is not None:
            self._expiry.touch(touched, rows[first].select(self._spec.keys), tick)
        before = self._best(touched)
        gone = weights < 0
        if gone.any():
            missing = self._head.remove(slots[gone], rows.filter(gone), -weights[gone])
            if missing is not None:
                self._rest.remove(*missing)
        if not gone.all():
            copies = np.repeat(np.flatnonzero(~gone), weights[~gone])
            self._add(slots[copies], rows[copies])
        self._balance(touched)
        after = self._best(touched)
        self._check(touched)
        self._release_empty(touched)
        return difference(before, after)

    def _slots(self, rows: pl.DataFrame) -> Ids:
        if self._spec.keys:
            return self._groups.assign(rows.select(self._spec.keys))
        self._groups.assign(pl.DataFrame(height=1))
        return np.zeros(rows.height, dtype=np.int64)

    def _add(self, slots: Ids, rows: pl.DataFrame) -> None:
        """Put rows into the head where they come before its last row, or where there is no rest."""
        into_head = self._rest.store.count(slots) == 0
        doubtful = np.flatnonzero(~into_head)
        if doubtful.size:
            into_head[doubtful[self._before_last(slots[doubtful], rows[doubtful])]] = True
        self._head.add(slots[into_head], rows.filter(into_head))
        self._rest.add(slots[~into_head], rows.filter(~into_head))

    def _before_last(self, slots: Ids, rows: pl.DataFrame) -> np.ndarray:
        """Tell which rows come before the last row of the head of their group."""
        positions, held = self._head.store.lookup(used := distinct(slots))
        mark = np.concatenate([np.full(held.height, -1), np.arange(len(slots))])
        both = pl.concat([held, rows.select(held.columns)]).with_columns(
            pl.Series(_SLOT, np.concatenate([used[positions], slots]), dtype=pl.Int64),
            pl.Series(_MARK, mark, dtype=pl.Int64),
        )
        marks = self._sorted(both).select(_SLOT, _MARK)
        place = pl.int_range(pl.len(), dtype=pl.Int64)
        last = pl.when(pl.col(_MARK) < 0).then(place).max().over(_SLOT)
        better = marks.filter((place < last) & (pl.col(_MARK) >= 0))[_MARK].to_numpy()
        found = np.zeros(len(slots), dtype=bool)
        found[better] = True
        return found

    def _balance(self, touched: Ids) -> None:
        """Move what is too much in a head to the rest, and what is missing from there."""
        heads, rests = self._head.store.count(touched), self._rest.store.count(touched)
        wanted = self._wanted(heads + rests)
        long = heads > 2 * wanted
        if long.any():
            self._move(self._head, self._rest, touched[long], wanted[long], keep=True)
        short = (heads < self._spec.k) & (rests > 0)
        if short.any():
            more = (wanted - heads)[short]
            self._move(self._rest, self._head, touched[short], more, keep=False)

    def _wanted(self, counts: Ids) -> Ids:
        """Return how many rows a head should have, by the number of rows of the group."""
        roots = np.sqrt(counts).astype(np.int64)
        return self._spec.k + np.maximum(roots, _RESERVE)

    def _move(self, source: Bag, target: Bag, slots: Ids, counts: Ids, *, keep: bool) -> None:
        """Move all but the first ``counts`` rows of each slot (``keep``), or the first ones."""
        positions, ids = source.store.lookup_ids(slots)
        rows = source.store.rows(ids).with_columns(
            pl.Series(_SLOT, slots[positions], dtype=pl.Int64),
            pl.Series(_MARK, np.arange(len(ids)), dtype=pl.Int64),
            pl.Series(_PLACE, counts[positions], dtype=pl.Int64),
        )
        place = pl.int_range(pl.len(), dtype=pl.Int64).over(_SLOT)
        first = place < pl.col(_PLACE)
        moved = self._sorted(rows).filter(~first if keep else first)
        source.store.remove(ids[moved[_MARK].to_numpy()])
        target.add(moved[_SLOT].to_numpy(), moved.select(target.store.schema.names()))

    def _best(self, slots: Ids) -> pl.DataFrame:
        """Return the first k rows of each group."""
        if self._only is Only.ALONE:
            slots = slots[self._head.store.count(slots) + self._rest.store.count(slots) == 1]
        positions, rows = self._head.store.lookup(slots)
        rows = rows.with_columns(pl.Series(_SLOT, slots[positions], dtype=pl.Int64))
        place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(_SLOT)
        rank = self._spec.rank or _PLACE
        best = self._sorted(rows).with_columns(place.alias(rank))
        return best.filter(pl.col(rank) <= self._spec.k).select(*self._output)

    def _sorted(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Sort by slot, by the order, and where rows are equal in it by all columns."""
        spec = self._spec
        ties = len(self._ties)
        return rows.with_columns(*spec.computed).sort(
            _SLOT,
            *spec.by,
            *self._ties,
            descending=[False, *spec.descending, *[False] * ties],
            nulls_last=[False, *spec.nulls_last, *[False] * ties],
            maintain_order=True,
        )

    def _check(self, touched: Ids) -> None:
        if self._limit is None:
            return
        counts = self._head.store.count(touched) + self._rest.store.count(touched)
        if int(counts.max()) > self._limit:
            slot = touched[int(counts.argmax())]
            key = self._groups.keys(np.array([slot])).rows() if self._spec.keys else "all rows"
            raise StateLimitError(
                f"group {key} has {int(counts.max())} rows, the limit is {self._limit}",
                step="top_k",
                value=self._limit,
                hint="group by a window, or raise max_group_rows",
            )

    def _release_empty(self, touched: Ids) -> None:
        if self._spec.keys:
            held = self._head.store.count(touched) + self._rest.store.count(touched)
            self._groups.release(touched[held == 0])

    def _free(self, slots: Ids) -> None:
        if slots.size:
            self._head.store.remove_slots(slots)
            self._rest.store.remove_slots(slots)
            self._groups.release(slots)
