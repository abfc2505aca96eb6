"""Which rows of an epoch that failed are likely to be at fault, for row-wise steps and guards.

The strict functions in their expressions are known when a step fails for the first time: what does
not fail costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from penstock.columns import PARTITION, WEIGHT
from penstock.operators.culprits import Cause
from penstock.plan.expressions.doubts import Doubt, doubts
from penstock.plan.rows import Explode, Filter, RowStep, Select, WithColumns

_PLACE = "_penstock_place"
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException, Exception)


class StepSuspects:
    """The likely culprits of row-wise steps: step after step, on the rows that are sound so far."""

    def __init__(self, steps: Sequence[RowStep]) -> None:
        self._steps = list(steps)
        self._doubts: list[list[Doubt]] | None = None

    def __call__(self, frame: pl.DataFrame) -> list[Cause]:
        """Return the causes found; a step that fails for another reason ends the search."""
        if self._doubts is None:
            self._doubts = [doubts(_expressions(step)) for step in self._steps]
        hidden = [name for name in (PARTITION, WEIGHT) if name in frame.columns]
        rows = frame.with_row_index(_PLACE).select(*frame.columns, _PLACE)
        causes: list[Cause] = []
        one_each = True  # after an explosion the error speaks of all that came of a row
        try:
            for step, some in zip(self._steps, self._doubts, strict=True):
                rows, found = _without(rows, some)
                one_each = one_each and not isinstance(step, Explode)
                causes += found if one_each else [Cause(cause.rows, None) for cause in found]
                rows = step.apply(rows, [*hidden, _PLACE])
        except _FAILURES:
            return causes
        return causes


class GuardSuspects:
    """The likely culprits of the expressions of a guard."""

    def __init__(self, exprs: Sequence[pl.Expr]) -> None:
        self._exprs = tuple(exprs)
        self._doubts: list[Doubt] | None = None

    def __call__(self, frame: pl.DataFrame) -> list[Cause]:
        """Return the causes found."""
        if self._doubts is None:
            self._doubts = doubts(self._exprs)
        rows = frame.with_row_index(_PLACE).select(*frame.columns, _PLACE)
        try:
            return _without(rows, self._doubts)[1]
        except _FAILURES:
            return []


def _expressions(step: RowStep) -> tuple[pl.Expr, ...]:
    if isinstance(step, Select | WithColumns):
        return step.exprs
    return (step.predicate,) if isinstance(step, Filter) else ()


def _without(rows: pl.DataFrame, some: Sequence[Doubt]) -> tuple[pl.DataFrame, list[Cause]]:
    """Return the rows that no doubt is about, and who the others are."""
    if not some:
        return rows, []
    marks = rows.with_columns(d.mask.alias(f"{_PLACE}{i}") for i, d in enumerate(some))
    marks = marks.select(pl.col(f"{_PLACE}{i}").fill_null(value=False) for i in range(len(some)))
    masks = [column.to_numpy() for column in marks]
    count = np.sum(masks, axis=0)
    causes: list[Cause] = []
    for doubt, mask in zip(some, masks, strict=True):
        if mask.any():
            causes += _causes(rows.filter(pl.Series(mask & (count == 1))), doubt)
    if (count > 1).any():  # which of the errors is raised is not known
        causes.append(Cause(_places(rows.filter(pl.Series(count > 1))), None))
    return rows.filter(pl.Series(count == 0)), causes


def _causes(rows: pl.DataFrame, doubt: Doubt) -> list[Cause]:
    """Return rows with one doubt as causes, by the group that their error speaks of."""
    if doubt.given is None or not rows.height:
        return [Cause(_places(rows), None)]
    group = pl.lit(0) if doubt.group is None else doubt.group
    table = rows.select(_PLACE, given=doubt.given, group=group)
    text = table["given"]
    if text.dtype == pl.String:
        text = pl.select(pl.concat_str(pl.lit('"'), text, pl.lit('"'))).to_series()
    elif text.dtype.is_integer():
        text = text.cast(pl.String)
    else:
        return [Cause(_places(rows), None)]
    told = table.with_columns(text.alias("given"))
    return [
        Cause(_places(part), part["given"])
        for part in told.partition_by("group", maintain_order=True)
    ]


def _places(rows: pl.DataFrame) -> np.ndarray:
    """Return the places of rows in the epoch; several may come of one."""
    return np.unique(rows[_PLACE].to_numpy()).astype(np.int64)
