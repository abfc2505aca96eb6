"""Join: rows of two inputs with equal keys."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.pair_conditions import of_frame, of_store, true_pairs
from penstock.operators.pairs import (
    LEFT,
    RIGHT,
    Changes,
    Pairing,
    Side,
    chosen,
    columns_of,
    matches,
)
from penstock.state.arrays import Ids, distinct
from penstock.state.contract import Stateful
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore
from penstock.state.tally import Tally


class How(enum.Enum):
    """Which rows a join gives, named as in Polars."""

    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"
    SEMI = "semi"
    ANTI = "anti"
    CROSS = "cross"

    @property
    def pairs(self) -> bool:
        """Whether rows of both sides are put together."""
        return self not in (How.SEMI, How.ANTI)

    def keeps(self, side: Side) -> bool:
        """Tell whether rows of a side without a match are emitted, padded with nulls."""
        return self is How.FULL or self is (How.LEFT if side == LEFT else How.RIGHT)


@dataclass(frozen=True, slots=True)
class JoinInput:
    """One side: its schema, the expressions of its key, and whether it is a changelog."""

    schema: pl.Schema
    keys: tuple[pl.Expr, ...]
    changelog: bool

    def divide(self, delta: pl.DataFrame) -> tuple[pl.DataFrame, Ids | None]:
        """Return the rows, without hidden columns, and their weights (None: all one)."""
        weights = delta[WEIGHT].to_numpy() if self.changelog else None
        if delta.width > len(self.schema):
            delta = delta[list(self.schema)]
        return delta, weights


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """What to join: both sides, the common types of the keys, and how output rows are made.

    Keys that are null match nothing unless ``nulls_equal``.
    """

    left: JoinInput
    right: JoinInput
    how: How
    key_schema: pl.Schema
    pairing: Pairing
    changelog: bool
    nulls_equal: bool = False

    def side(self, side: Side) -> JoinInput:
        """Return one input."""
        return self.left if side == LEFT else self.right


class _TallyOf:
    """The right side of a semi or anti join: how many rows a key has, not which."""

    def __init__(self) -> None:
        self.store = Tally()

    def apply(self, slots: Ids, rows: pl.DataFrame, weights: Ids | None) -> None:  # noqa: ARG002
        """Count rows with weights (None: all one)."""
        self.store.add(slots, np.ones(len(slots), np.int64) if weights is None else weights)


class Join(Operator):
    """Join two inputs, append-only or changelogs, on equal keys, by the bilinear rule.

    d(L x R) = dL x R + (L + dL) x dR: one side's changes meet the rows of the other side, first
    the left's, then the right's. A row without a match counts as such while the other side has no
    row of its key: when that turns, the rows of that key are emitted or retracted.

    State: the columns that the output needs of all living rows of both sides, under one index of
    keys; of the right side of semi and anti joins the number of rows of each key. Freed by
    retraction, by a key that the watermark bounds, or by a time to live.
    """

    def __init__(self, spec: JoinSpec, expiry: Callable[[KeyIndex], Expiry] | None = None) -> None:
        self._spec = spec
        self._index = KeyIndex(spec.key_schema)
        self._bags = [self._bag(LEFT), self._bag(RIGHT) if spec.how.pairs else _TallyOf()]
        self._expiry = expiry(self._index) if expiry else None
        # A left row that matches is out of a semi or anti join for good if the right only grows.
        self._settles = not spec.how.pairs and not spec.right.changelog
        state: dict[str, Stateful] = {
            "index": self._index,
            "left": self._bags[LEFT].store,
            "right": self._bags[RIGHT].store,
        }
        self.state = {**state, **(self._expiry.state if self._expiry else {})}

    def _bag(self, side: Side) -> Bag:
        spec = self._spec
        needs = spec.pairing.needs(side)
        return Bag(pl.Schema({c: spec.side(side).schema[c] for c in needs}))

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take the left's changes, then the right's; then free what is over."""
        out = Changes(changelog=self._spec.changelog)
        for side in (LEFT, RIGHT):
            delta = deltas[side]
            if delta is not None:
                self._take(side, delta, tick, out)
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return out.result()

    def _take(self, side: Side, delta: pl.DataFrame, tick: Tick, out: Changes) -> None:
        delta, weights = self._spec.side(side).divide(delta)
        keys = self._keys(side, delta)
        joinable = self._joinable(keys)
        if joinable is not None:
            rest = None if weights is None else weights[~joinable]
            self._unmatched(side, delta.filter(~joinable), rest, out)
            delta, keys = delta.filter(joinable), keys.filter(joinable)
            weights = None if weights is None else weights[joinable]
        if delta.height:
            slots = self._index.assign(keys)
            if self._expiry is not None:
                used, first = np.unique(slots, return_index=True)
                self._expiry.touch(used, keys[first], tick)
            self._meet(side, slots, delta, weights, out, tick)

    def _keys(self, side: Side, rows: pl.DataFrame) -> pl.DataFrame:
        return columns_of(rows, self._spec.side(side).keys, self._spec.key_schema)

    def _joinable(self, keys: pl.DataFrame) -> np.ndarray | None:
        """Return which rows have no null in their key; None if none has."""
        if self._spec.nulls_equal or not any(column.null_count() for column in keys):
            return None
        return keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series().to_numpy()

    def _unmatched(self, side: Side, rows: pl.DataFrame, weights: Ids | None, out: Changes) -> None:
        """Emit rows that have no match."""
        how = self._spec.how
        if how.keeps(side):
            out.add(self._spec.pairing.alone(side, rows), 1 if weights is None else weights)
        elif how is How.ANTI and side == LEFT:
            out.add(rows, 1 if weights is None else weights)

    def _meet(
        self,
        side: Side,
        slots: Ids,
        rows: pl.DataFrame,
        weights: Ids | None,
        out: Changes,
        tick: Tick,
    ) -> None:
        """Emit what changed rows give with the other side as it is, then keep them."""
        how, mine, other = self._spec.how, self._bags[side], self._bags[1 - side]
        if how.pairs:
            self._pair(side, slots, rows, weights, out, tick)
        if how.keeps(side) or (side == LEFT and not how.pairs):
            matched = other.store.count(slots) > 0
            if how is How.SEMI:
                self._emit(rows, weights, matched, out)
            else:
                lonely = None if weights is None else weights[~matched]
                self._unmatched(side, chosen(rows, ~matched), lonely, out)
            if self._settles:
                slots, rows = slots[~matched], chosen(rows, ~matched)
                weights = None if weights is None else weights[~matched]
        turns = how.keeps(RIGHT if side == LEFT else LEFT) or (side == RIGHT and not how.pairs)
        if weights is None and not turns:
            mine.apply(slots, rows, None)
            return
        touched = distinct(slots)
        before = mine.store.count(touched)
        mine.apply(slots, rows, weights)
        after = mine.store.count(touched)
        if turns:
            self._turn(side, touched[(before == 0) & (after > 0)], out, appeared=True)
            self._turn(side, touched[(before > 0) & (after == 0)], out, appeared=False)
        if weights is not None or self._settles:
            self._release(touched)

    @staticmethod
    def _emit(rows: pl.DataFrame, weights: Ids | None, mask: np.ndarray, out: Changes) -> None:
        out.add(chosen(rows, mask), 1 if weights is None else weights[mask])

    def _pair(
        self,
        side: Side,
        slots: Ids,
        rows: pl.DataFrame,
        weights: Ids | None,
        out: Changes,
        tick: Tick,
    ) -> None:
        pairing, store = self._spec.pairing, self._bags[1 - side].store
        assert isinstance(store, RowStore)
        mine, other = of_frame(rows), of_store(store)
        for take, ids in matches(slots, store):
            each = None if weights is None else weights[take]
            reads, at = (
                ((mine, other), (take, ids)) if side == LEFT else ((other, mine), (ids, take))
            )
            pairs, each = true_pairs(pairing, reads, at, each, tick)
            out.add(pairs, 1 if each is None else each)

    def _turn(self, side: Side, slots: Ids, out: Changes, *, appeared: bool) -> None:
        """Rows of the other side under ``slots`` have found their first match, or lost the last."""
        other, how = self._bags[1 - side].store, self._spec.how
        if not len(slots) or not len(other):
            return
        assert isinstance(other, RowStore)
        rows = other.lookup(slots)[1]
        if how.pairs:
            padded = self._spec.pairing.alone(RIGHT if side == LEFT else LEFT, rows)
            out.add(padded, -1 if appeared else 1)
        else:
            out.add(rows, 1 if appeared == (how is How.SEMI) else -1)
            if self._settles:
                other.remove_slots(slots)

    def _release(self, slots: Ids) -> None:
        left, right = (bag.store.count(slots) for bag in self._bags)
        empty = slots[(left == 0) & (right == 0)]
        if len(empty) and self._spec.key_schema:
            self._index.release(empty)

    def _free(self, slots: Ids) -> None:
        if len(slots):
            for bag in self._bags:
                bag.store.remove_slots(slots)
            self._index.release(slots)
