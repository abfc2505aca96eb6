"""Guarded: an operator that never sees a row on which its expressions fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.refusing import refuse
from penstock.state.contract import Stateful


@dataclass(frozen=True, slots=True)
class Guard:
    """What a row must survive, for each input of a step; ``name`` is the step's, for dead letters.

    ``computed``, which a row must survive too, are columns that the operator finds in its one input.
    """

    name: str
    exprs: tuple[tuple[pl.Expr, ...], ...]
    computed: tuple[pl.Expr, ...] = ()


class Guarded(Operator):
    """Try the expressions that a value can make fail before the operator changes any state.

    The rows at fault are found by bisection and become dead letters; the operator gets the others.
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
        parts = self._sift(delta, exprs, side, tick)
        if not parts:
            return None
        return parts[0] if len(parts) == 1 else pl.concat(parts)

    def _sift(
        self, frame: pl.DataFrame, exprs: Sequence[pl.Expr], side: int, tick: Tick
    ) -> list[pl.DataFrame]:
        """Return the rows on which nothing fails, in order, and refuse the others."""
        try:
            for expr in exprs:
                frame.select(expr)
            passed = frame.with_columns(*self._guard.computed)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            cause: BaseException = error
        except pl.exceptions.PanicException as error:
            cause = error
        else:
            return [passed]
        if frame.height == 1:
            refuse(frame, self._guard.name, cause, tick, side=side)
            return []
        half = frame.height // 2
        halves = (frame[:half], frame[half:])
        return [part for some in halves for part in self._sift(some, exprs, side, tick)]

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
