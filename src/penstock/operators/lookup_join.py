"""LookupJoin: each left row with what the right side holds when it comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.join import How, JoinSpec
from penstock.operators.pairs import LEFT, RIGHT, Side, columns_of, matches
from penstock.state.arrays import Ids, distinct
from penstock.state.index import KeyIndex


class LookupJoin(Operator):
    """Join the rows of the left, which are emitted once, with the right's contents of the moment.

    right ``+(a, 1)``, left ``a``, right ``-(a, 1) +(a, 2)``, left ``a`` -> ``(a, 1)``, ``(a, 2)``.
    Of one epoch the right's changes come first. Output is in the order of the left rows.

    State: the columns of all living right rows that the output needs, freed by retraction; nothing
    of the left.
    """

    def __init__(self, spec: JoinSpec) -> None:
        self._spec = spec
        needed = spec.pairing.needs(RIGHT)
        self._index = KeyIndex(spec.key_schema)
        self._bag = Bag(pl.Schema({name: spec.right.schema[name] for name in needed}))
        self.state = {"index": self._index, "right": self._bag.store}

    def watermark(self, tick: Tick) -> int:
        """No row waits: the left's watermark holds of the output."""
        return tick.watermarks[LEFT]

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:  # noqa: ARG002
        """Take the right's changes, then look up the left's rows."""
        left, right = deltas
        if right is not None:
            self._take(right)
        return None if left is None else self._looked_up(left)

    def _take(self, delta: pl.DataFrame) -> None:
        delta, weights = self._spec.right.divide(delta)
        keys, known = self._keys(RIGHT, delta)
        if not known.all():  # a null matches nothing
            delta, keys = delta.filter(known), keys.filter(known)
            weights = None if weights is None else weights[known]
        if not delta.height:
            return
        slots = self._index.assign(keys)
        self._bag.apply(slots, delta.select(*self._bag.store.schema), weights)
        if weights is not None:
            touched = distinct(slots)
            self._index.release(touched[self._bag.store.count(touched) == 0])

    def _keys(self, side: Side, rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
        keys = columns_of(rows, self._spec.side(side).keys, self._spec.key_schema)
        if not any(column.null_count() for column in keys):
            return keys, np.ones(rows.height, np.bool_)
        known = keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        return keys, known.to_numpy()

    def _looked_up(self, delta: pl.DataFrame) -> pl.DataFrame | None:
        rows, _ = self._spec.left.divide(delta)
        keys, known = self._keys(LEFT, rows)
        slots = np.where(known, self._index.lookup(keys), -1)
        pairing, store = self._spec.pairing, self._bag.store
        parts: list[pl.DataFrame] = []
        places: list[Ids] = []
        for take, ids in matches(slots, store):
            parts.append(pairing.both(rows[take], store.rows(ids)))
            places.append(take)
        if self._spec.how is How.LEFT:
            alone = np.flatnonzero(store.count(slots) == 0)
            parts.append(pairing.alone(LEFT, rows[alone]))
            places.append(alone)
        if not sum(map(len, places)):
            return None
        order = np.argsort(np.concatenate(places), kind="stable")
        return pl.concat(parts)[order]
