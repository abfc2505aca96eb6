"""Functions: a user's Python code on rows, once per row however often epochs bring it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl

from penstock.columns import PARTITION, WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.culprits import sift
from penstock.operators.deltas import concat, consolidate
from penstock.operators.refusing import refuse_each
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable

POSITION = "_penstock_position"
"""Hidden column: the place of the input row that an output row belongs to."""

_COUNT = "count"

Answer = tuple[pl.DataFrame, np.ndarray]
"""Output rows, and for each the position of the input row it belongs to."""


class RowFunction(Protocol):
    """A function from rows to rows that looks at one row at a time."""

    def apply(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what becomes of the rows; raises whatever the user's code raises."""

    def apply_by_row(self, frame: pl.DataFrame) -> Answer:
        """Return what becomes of the rows, and which row each came from."""


class MapFunction(Operator):
    """Call a function with each delta of an append-only input. Keeps nothing.

    Rows that make it raise go to the dead letters; the others pass. To find them it is called again
    with fewer rows (``culprits.gallop``).
    """

    def __init__(self, function: RowFunction, name: str) -> None:
        self._function = function
        self._name = self.step_name = name

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Call the function, for each source partition apart where they are carried."""
        delta = deltas[0]
        if delta is None:
            return None
        if PARTITION not in delta.columns:
            return concat(sift(self._function.apply, delta, self._name, tick))
        parts = []
        for part in delta.partition_by(PARTITION, maintain_order=True):
            found = concat(sift(self._function.apply, part.drop(PARTITION), self._name, tick))
            if found is not None:
                parts.append(
                    found.with_columns(pl.lit(part[PARTITION][0], pl.UInt32).alias(PARTITION))
                )
        return concat(parts)


class RememberedFunction(Operator):
    """Call a function once for each distinct row of a changelog and store what it gave.

    ``+a`` -> call, ``+f(a)``; later ``-a`` -> no call, ``-f(a)`` as it was given then.

    State: each distinct input row with its weight and its output rows, freed when the weight is
    zero. Rows that make the function raise are dead letters, are not stored and give nothing; their
    deletion is a dead letter too, of weight -1, so that a replay of both gives nothing.
    """

    def __init__(
        self, function: RowFunction, *, input_schema: pl.Schema, output: pl.Schema, name: str
    ) -> None:
        self._function = function
        self._schema = input_schema
        self._name = self.step_name = name
        self._rows = KeyedTable(input_schema, pl.Schema({_COUNT: pl.Int64}))
        self._answers = RowStore(output)
        self.state = {"rows": self._rows, "answers": self._answers}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Emit the stored rows of each changed row, times the change of its weight."""
        if deltas[0] is None:
            return None
        delta = deltas[0].select(*self._schema, WEIGHT)
        delta = delta.group_by(*self._schema, maintain_order=True).agg(pl.col(WEIGHT).sum())
        delta = delta.filter(pl.col(WEIGHT) != 0)
        if not delta.height:
            return None
        rows, weights = delta.drop(WEIGHT), delta[WEIGHT].to_numpy()
        slots = self._rows.assign(rows, unique=True)
        before = self._rows.get(slots)[_COUNT].fill_null(0).to_numpy()
        new = (before == 0) & (weights > 0)
        held = ~((before == 0) & (weights < 0))
        if not held.all():
            reason = "the row was refused when it was inserted, so there is nothing to delete"
            refuse_each(delta.filter(~held), self._name, [reason] * int((~held).sum()), tick)
        if new.any():
            held &= ~np.isin(slots, self._ask(delta.filter(new), slots[new], tick))
        result = self._changes(slots, weights)
        after = np.where(held, before + weights, 0)
        self._rows.set(slots, pl.DataFrame({_COUNT: after}))
        self._free(slots[after <= 0])
        return result

    def _ask(self, rows: pl.DataFrame, slots: np.ndarray, tick: Tick) -> np.ndarray:
        """Store what the function gives for new rows; returns the slots of those it refuses."""
        position = pl.Series(POSITION, np.arange(rows.height))
        answered: list[int] = []

        def answer(part: pl.DataFrame) -> pl.DataFrame:
            given, places = self._function.apply_by_row(part.drop(POSITION, WEIGHT))
            answered.extend(part[POSITION])
            return given.with_columns(part[POSITION].gather(pl.Series(places)))

        found = concat(sift(answer, rows.with_columns(position), self._name, tick, hidden=POSITION))
        if found is not None:
            self._answers.append(slots[found[POSITION].to_numpy()], found.drop(POSITION))
        return np.delete(slots, answered)

    def _changes(self, slots: np.ndarray, weights: np.ndarray) -> Delta | None:
        unique, where = np.unique(slots, return_index=True)
        positions, rows = self._answers.lookup(unique)
        if not rows.height:
            return None
        weight = pl.Series(WEIGHT, weights[where][positions])
        changes = consolidate(rows.with_columns(weight))
        return changes if changes.height else None

    def _free(self, slots: np.ndarray) -> None:
        if slots.size:
            self._answers.remove_slots(np.unique(slots))
            self._rows.delete(slots)
