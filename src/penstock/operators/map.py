"""Map: all stateless steps between two stateful ones, fused into one Polars query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import polars as pl

from penstock.columns import PARTITION, WEIGHT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import materialised
from penstock.operators.refusing import refuse

_EAGER_ROWS = 2_000
"""Up to this many rows the steps run eagerly: an optimised query costs 0.2 ms more to plan."""

_DIRECT_ROWS = 1 << 17
"""Up to this many rows ``direct`` is used: measured 0.7 of a query's processor time at this size, on
one core, where a query may use more than one."""


class RowStep(Protocol):
    """A stateless step, as the plan describes it."""

    def apply(self, frame: pl.LazyFrame, hidden: list[str]) -> pl.LazyFrame:
        """Run the step; works on eager frames too."""


class Map(Operator):
    """Run row-wise steps on each delta; weights and hidden columns pass through. Keeps nothing.

    ``direct`` does the same as the steps, without a query.

    One bad row fails a whole Polars expression. It is found by bisection and goes to the dead
    letters; the other rows pass.
    """

    def __init__(
        self,
        steps: Sequence[RowStep],
        name: str,
        direct: Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame] | None = None,
    ) -> None:
        self._steps = list(steps)
        self._name = self.step_name = name
        self._direct = direct

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Run the steps."""
        delta = deltas[0]
        if delta is None:
            return None
        result = tolerant(self._run, delta, self._name, tick)
        return result if result.height else None

    def _run(self, frame: pl.DataFrame) -> pl.DataFrame:
        if WEIGHT in frame.columns:
            frame = materialised(frame)
        hidden = [name for name in (PARTITION, WEIGHT) if name in frame.columns]
        if self._direct is not None and frame.height <= _DIRECT_ROWS:
            return self._direct(frame, hidden)
        if frame.height <= _EAGER_ROWS:
            for step in self._steps:
                frame = step.apply(frame, hidden)  # type: ignore[arg-type,assignment]
            return frame
        lazy = frame.lazy()
        for step in self._steps:
            lazy = step.apply(lazy, hidden)
        return lazy.collect()


def tolerant(
    run: Callable[[pl.DataFrame], pl.DataFrame], frame: pl.DataFrame, name: str, tick: Tick
) -> pl.DataFrame:
    """Run a stateless function; rows that make it fail become dead letters.

    If the function fails even on no rows at all, the failure is not a row's, and is raised.
    """
    try:
        return run(frame)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        cause: BaseException = error
    except pl.exceptions.PanicException as error:
        cause = error
    empty = run(frame.clear())
    return pl.concat([empty, *_without_culprits(run, frame, name, tick, cause)])


def _without_culprits(
    run: Callable[[pl.DataFrame], pl.DataFrame],
    frame: pl.DataFrame,
    name: str,
    tick: Tick,
    cause: BaseException,
) -> list[pl.DataFrame]:
    """Return what the function gives for each half of rows on which it fails; refuse a row alone."""
    if frame.height == 1:
        refuse(frame, name, cause, tick)
        return []
    half, found = frame.height // 2, []
    for part in (frame[:half], frame[half:]):
        try:
            found.append(run(part))
            continue
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            again: BaseException = error
        except pl.exceptions.PanicException as error:
            again = error
        found += _without_culprits(run, part, name, tick, again)
    return found
