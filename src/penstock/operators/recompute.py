"""Recompute, the general fallback: any function of the rows of a key, evaluated when touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import PenstockError, StateLimitError
from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import concat, consolidate, difference
from penstock.operators.expiry import Expiry
from penstock.operators.refusing import refuse
from penstock.operators.settling import Settled, Settling
from penstock.state.arrays import Ids, distinct
from penstock.state.cell import Cell
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore

SLOT = "_penstock_slot"
"""Int64; in the frames given to the function, and owed back by it: the group a row belongs to."""


@dataclass(frozen=True, slots=True)
class RecomputeInput:
    """One input: its schema, the expressions of its key, and whether it is a changelog."""

    schema: pl.Schema
    keys: tuple[pl.Expr, ...]
    changelog: bool


class Recompute(Operator):
    """For the keys touched in an epoch, evaluate ``function`` over all their rows and emit the
    difference from what it gave before.

    ``function`` takes one frame per input, holding every row of the touched keys and no other row,
    with ``SLOT`` as last column, and returns rows with ``SLOT``. Rows of an append-only input come
    in order of arrival; those of a changelog, which is a bag, sorted by all columns.

    State: all rows of all inputs, and what was last emitted, until ``expiry`` frees a key or a
    retraction takes its last row, or ``settling`` says that a result is final. A key of more than
    ``max_group_rows`` rows is an error. An append-only row with which the function fails is taken
    out again and becomes a dead letter.
    """

    def __init__(
        self,
        inputs: Sequence[RecomputeInput],
        function: Callable[..., pl.DataFrame],
        *,
        output: pl.Schema,
        step: str,
        max_group_rows: int,
        expiry: Callable[[KeyIndex], Expiry] | None = None,
        settling: Settling | None = None,
    ) -> None:
        self._inputs = list(inputs)
        self._function = function
        self._step_name = self.step_name = step
        self._limit = max_group_rows
        first = inputs[0]
        empty = pl.DataFrame(schema=first.schema).select(*first.keys) if first.keys else None
        self._key_schema = empty.schema if empty is not None else pl.Schema()
        self._index = KeyIndex(self._key_schema)
        self._bags = [Bag(part.schema) for part in inputs]
        self._emitted = RowStore(output)
        self._output = output
        self._started: Cell = Cell(value=False)
        self._expiry = expiry(self._index) if expiry else None
        named = {f"rows{i}": store for i, store in enumerate(self._stores)}
        extra = self._expiry.state if self._expiry else {}
        self.state = {
            "index": self._index,
            "emitted": self._emitted,
            "started": self._started,
            **named,
            **extra,
        }
        self._settled = None if settling is None else Settled(settling)
        if self._settled is not None:
            self.state = {**self.state, "settled": self._settled.below}

    @property
    def _stores(self) -> list[RowStore]:
        return [bag.store for bag in self._bags]

    @property
    def wants_idle_steps(self) -> bool:
        """Without keys there is one group, which has a result before any input."""
        return not self._key_schema and not self._started.value

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take in the rows, recompute the touched keys, emit the difference."""
        result = self._take(deltas, tick)
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        if self._settled is not None:
            self._release_empty(self._settled.free(self._stores[0], self._emitted, tick))
        return result

    def _take(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take in the rows and evaluate; if that fails, without the rows that make it fail."""
        taken = [
            self._absorb(number, delta, tick)
            for number, delta in enumerate(deltas)
            if delta is not None
        ]
        touched = [slots for slots, _ in taken]
        if self.wants_idle_steps:
            touched.append(self._index.assign(pl.DataFrame(height=1)))
            self._started.value = True
        slots = distinct(np.concatenate(touched)) if touched else None
        if slots is None or not len(slots):  # rows may have cancelled each other
            return None
        try:
            return self._evaluate(slots)
        except PenstockError:
            raise
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            cause: BaseException = error
        except pl.exceptions.PanicException as error:
            cause = error
        delta = deltas[0]
        if len(self._inputs) > 1 or self._inputs[0].changelog or delta is None:
            raise cause
        self._bags[0].store.remove(taken[0][1])
        self._release_empty(distinct(taken[0][0]))
        return self._without_culprit(delta, cause, tick)

    def _without_culprit(
        self, delta: pl.DataFrame, cause: BaseException, tick: Tick
    ) -> Delta | None:
        """Take in each half of the rows in turn; refuse a row that fails alone."""
        if delta.height == 1:
            refuse(delta, self._step_name, cause, tick)
            return None
        half = delta.height // 2
        found = [self._take([part], tick) for part in (delta[:half], delta[half:])]
        changes = concat([part for part in found if part is not None])
        changes = None if changes is None else consolidate(changes)
        return changes if changes is not None and changes.height else None

    def _absorb(self, number: int, delta: pl.DataFrame, tick: Tick) -> tuple[np.ndarray, Ids]:
        """Return the slots of the rows, and of an append-only input their ids in the store."""
        spec = self._inputs[number]
        rows = consolidate(delta) if spec.changelog else delta
        keys = self._keys_of(rows, spec)
        slots = self._index.assign(keys)
        if self._expiry is not None and slots.size:
            used, first = np.unique(slots, return_index=True)
            self._expiry.touch(used, keys[first], tick)
        bag = self._bags[number]
        if not spec.changelog:
            return slots, bag.add(slots, rows)
        bag.apply(slots, rows, rows[WEIGHT].to_numpy())
        return slots, np.empty(0, dtype=np.int64)

    def _keys_of(self, rows: pl.DataFrame, spec: RecomputeInput) -> pl.DataFrame:
        if not spec.keys:
            return pl.DataFrame(height=rows.height)
        keys = rows.select(*spec.keys)
        keys.columns = list(self._key_schema)
        return keys.cast(self._key_schema)

    def _evaluate(self, slots: np.ndarray) -> Delta | None:
        frames, counts = [], np.zeros(len(slots), dtype=np.int64)
        for spec, store in zip(self._inputs, self._stores, strict=True):
            count = store.count(slots)
            self._check(slots, count)
            counts += count
            positions, rows = store.lookup(slots)
            frames.append(self._ordered(rows, slots[positions], spec))
        after = self._function(*frames).select(*self._output, SLOT)
        if self._settled is not None:
            after = self._settled.open_only(after)
        old_positions, before = self._emitted.lookup(slots)
        before = before.with_columns(pl.Series(SLOT, slots[old_positions], dtype=pl.Int64))
        delta = difference(before, after)
        self._emitted.remove_slots(slots)
        self._emitted.append(after[SLOT].to_numpy(), after.drop(SLOT))
        self._release_empty(slots[counts == 0])
        return None if delta is None else self._plain(delta)

    def _release_empty(self, slots: np.ndarray) -> None:
        """Release the keys without rows and results."""
        if not self._key_schema or not slots.size:
            return
        held = self._emitted.count(slots)
        for store in self._stores:
            held = held + store.count(slots)
        self._index.release(slots[held == 0])

    def _plain(self, delta: pl.DataFrame) -> Delta | None:
        """Drop the slot; rows that moved from one group to another may then cancel."""
        delta = delta.drop(SLOT)
        both = delta[WEIGHT].min() != delta[WEIGHT].max()
        delta = consolidate(delta) if both else delta
        return delta if delta.height else None

    def _ordered(self, rows: pl.DataFrame, slots: np.ndarray, spec: RecomputeInput) -> pl.DataFrame:
        if spec.changelog:
            sortable = [c for c, t in rows.schema.items() if not t.is_nested()]
            rows = rows.with_columns(pl.Series(SLOT, slots, dtype=pl.Int64))
            return rows.sort(SLOT, *sortable, maintain_order=True)
        return rows.with_columns(pl.Series(SLOT, slots, dtype=pl.Int64))

    def _check(self, slots: np.ndarray, counts: np.ndarray) -> None:
        if counts.size and int(counts.max()) > self._limit:
            slot = slots[int(counts.argmax())]
            key = self._index.keys(np.array([slot])).rows() if self._key_schema else "all rows"
            raise StateLimitError(
                f"group {key} has {int(counts.max())} rows, the limit is {self._limit}",
                step=self._step_name,
                value=self._limit,
                hint="group by a window, use an aggregate that keeps partials only, "
                "or raise max_group_rows",
            )

    def _free(self, slots: np.ndarray) -> None:
        if not slots.size:
            return
        for store in (*self._stores, self._emitted):
            store.remove_slots(slots)
        self._index.release(slots)
