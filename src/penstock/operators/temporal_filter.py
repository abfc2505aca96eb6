"""TemporalFilter: rows that are there from one instant of the clock to another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.pairs import Changes, for_each
from penstock.state.arrays import Ids
from penstock.state.cell import Cell

_SINCE, _UNTIL = "_penstock_since", "_penstock_until"
_NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class TemporalRule:
    """When a row is there: ``since <= now < until``, in microseconds; None: always so."""

    schema: pl.Schema
    since: pl.Expr | None
    until: pl.Expr | None
    changelog: bool


class TemporalFilter(Operator):
    """Show each row while the clock is between its two instants.

    ``x`` since 5 until 8: nothing, at 5 ``+x``, at 8 ``-x``; deleted at 6: ``-x`` at 6, nothing at 8.
    A row with a null instant is never shown. What is shown depends on the living rows and the clock
    alone, which does not go back.

    State: rows that are to come, by the instant at which they do; rows that are shown and will
    leave, by the instant at which they do; the clock. Freed when a row leaves or is deleted.
    """

    def __init__(self, rule: TemporalRule) -> None:
        self._rule = rule
        self._extra = {
            name: expr
            for name, expr in ((_SINCE, rule.since), (_UNTIL, rule.until))
            if expr is not None
        }
        kept = pl.Schema({**rule.schema, **dict.fromkeys(self._extra, pl.Int64())})
        self._coming, self._shown, self._clock = Bag(kept), Bag(kept), Cell(None)
        self.state = {
            "coming": self._coming.store,
            "shown": self._shown.store,
            "clock": self._clock,
        }

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Let rows leave and enter, then take the delta."""
        now = max(tick.now // _NS_PER_US, self._clock.value or 0)
        self._clock.value = now
        out = Changes(changelog=self._rule.changelog or self._rule.until is not None)
        self._move(now, out)
        delta = deltas[0]
        if delta is not None:
            self._take(delta, now, out)
        return out.result()

    def deadline(self) -> int | None:
        """Return when the next row enters or leaves."""
        found = [
            bag.store.lowest(name)
            for bag, name in ((self._coming, _SINCE), (self._shown, _UNTIL))
            if name in self._extra
        ]
        return min((at * _NS_PER_US for at in found if at is not None), default=None)

    def _move(self, now: int, out: Changes) -> None:
        if _UNTIL in self._extra and len(self._shown.store):
            out.add(self._bare(self._shown.store.expire(_UNTIL, now + 1)[1]), -1)
        if _SINCE in self._extra and len(self._coming.store):
            rows = self._coming.store.expire(_SINCE, now + 1)[1]
            if _UNTIL in self._extra:
                rows = rows.filter(pl.col(_UNTIL) > now)
            self._show(rows, None, out)

    def _take(self, delta: pl.DataFrame, now: int, out: Changes) -> None:
        rows = delta.select(*self._rule.schema)
        weights = delta[WEIGHT].to_numpy() if self._rule.changelog else None
        rows = rows.with_columns(
            for_each(rows, rows.select(expr).to_series()).alias(name)
            for name, expr in self._extra.items()
        )
        living = pl.all_horizontal(pl.col(name).is_not_null() for name in self._extra)
        if _UNTIL in self._extra:
            living &= pl.col(_UNTIL) > now
        rows, weights = _where(rows, weights, rows.select(living).to_series())
        if _SINCE in self._extra:
            here = rows[_SINCE] <= now
            later, theirs = _where(rows, weights, ~here)
            self._coming.apply(_no_keys(later), later, theirs)
            rows, weights = _where(rows, weights, here)
        self._show(rows, weights, out)

    def _show(self, rows: pl.DataFrame, weights: Ids | None, out: Changes) -> None:
        out.add(self._bare(rows), 1 if weights is None else weights)
        if _UNTIL in self._extra:
            self._shown.apply(_no_keys(rows), rows, weights)

    def _bare(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(*self._rule.schema)


def _where(
    rows: pl.DataFrame, weights: Ids | None, mask: pl.Series
) -> tuple[pl.DataFrame, Ids | None]:
    if mask.all():
        return rows, weights
    return rows.filter(mask), None if weights is None else weights[mask.to_numpy()]


def _no_keys(rows: pl.DataFrame) -> Ids:
    return np.zeros(rows.height, np.int64)
