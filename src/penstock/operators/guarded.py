"""Guarded: an operator that never sees a row on which its expressions fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.culprits import Suspect, tried, without_culprits
from penstock.operators.deltas import concat
from penstock.state.contract import Stateful


@dataclass(frozen=True, slots=True)
class Guard:
    """What a row must survive, for each input of a step; ``name`` is the step's, for dead letters.

    ``suspects`` say for each input where to look first for a row that does not.
    ``computed``, which a row must survive too, are columns that the operator finds in its one input.
    """

    name: str
    exprs: tuple[tuple[pl.Expr, ...], ...]
    suspects: tuple[Suspect, ...]
    computed: tuple[pl.Expr, ...] = ()


class Guarded(Operator):
    """Try the expressions that a value can make fail before the operator changes any state.

    The rows at fault become dead letters; the operator gets the others.
    A row that is refused when it is inserted is refused when it is deleted too: both are dead
    letters, of weight 1 and -1. What was computed to try it is handed to the operator where the guard
    says so. Keeps nothing of its own.
    """

    def __init__(self, operator: Operator, guard: Guard) -> None:
        self.operator = operator
        self._guard = guard
        self.step_name = guard.name

    @property
    def state(self) -> Mapping[str, Stateful]:  # type: ignore[override]
        """The state of the operator."""
        return self.operator.state

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Let the rows through that pass."""
        passed = [self._passed(delta, side, tick) for side, delta in enumerate(deltas)]
        return self.operator.step(passed, tick)

    def _passed(self, delta: Delta | None, side: int, tick: Tick) -> Delta | None:
        exprs = self._guard.exprs[side]
        if delta is None or not (exprs or self._guard.computed):
            return delta

        def survive(frame: pl.DataFrame) -> pl.DataFrame:
            for expr in exprs:
                frame.select(expr)
            return frame.with_columns(*self._guard.computed)

        found = tried(survive, delta)
        if isinstance(found, pl.DataFrame):
            return found
        suspect = self._guard.suspects[side]
        return concat(
            without_culprits(
                survive, delta, found, self._guard.name, tick, suspect=suspect, side=side
            )
        )

    def watermark(self, tick: Tick) -> int:
        """Return the operator's."""
        return self.operator.watermark(tick)

    def deadline(self) -> int | None:
        """Return the operator's."""
        return self.operator.deadline()

    @property
    def wants_idle_steps(self) -> bool:
        """The operator's."""
        return self.operator.wants_idle_steps
