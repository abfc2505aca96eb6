"""GapFill: rows for the windows in which nothing was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT
from penstock.operators.contract import Delta, Operator, Tick
from penstock.state.arrays import Ids
from penstock.state.cell import Cell
from penstock.state.table import KeyedTable

_SLOT, _AT, _NEXT = "_penstock_slot", "_penstock_at", "_penstock_next"
_NEW, _STEPS, _STEP = "_penstock_new", "_penstock_steps", "_penstock_step"
_ALL = "_penstock_all"


@dataclass(frozen=True, slots=True)
class GapRule:
    """The grid, in the unit of the column ``time``, and what each column holds in a gap.

    ``last`` has the value of the window before, ``linear`` lies on the line between the windows
    around it.
    """

    schema: pl.Schema
    time: str
    keys: tuple[str, ...]
    width: int
    last: tuple[str, ...]
    linear: tuple[str, ...]


class GapFill(Operator):
    """Put rows between the windows of a key, and after them up to the last window of any key.

    ``(a, 0) (b, 0) (a, 30)`` on a grid of 10 -> also ``(a, 10) (a, 20) (b, 10) (b, 20) (b, 30)``.
    A window comes after all of its key that are before it. A column on a line is known once the
    window behind the gap is: with one, gaps wait for that, and those behind the last window of a
    key for the end of the input, where they have null.

    State: the last window of each key, and the values that are carried on; never freed.
    """

    def __init__(self, rule: GapRule) -> None:
        self._rule = rule
        carried = {c: rule.schema[c] for c in (*rule.last, *rule.linear)}
        keys = {c: rule.schema[c] for c in rule.keys} or {_ALL: pl.Boolean()}
        self._table = KeyedTable(pl.Schema(keys), pl.Schema({_AT: pl.Int64(), **carried}))
        self._latest, self._ended = Cell(None), Cell(value=False)
        self.state = {"keys": self._table, "latest": self._latest, "ended": self._ended}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Emit the windows and the gaps before them, then those behind them."""
        found = None if deltas[0] is None else self._placed(deltas[0])
        ends = tick.watermark == MAX_INSTANT and not self._ended.value
        moved = found is not None and self._note_latest(found)
        self._ended.value = self._ended.value or ends
        trailing = ends or not self._rule.linear
        everyone = ends or (moved and trailing)
        if found is None and not everyone:
            return None
        points = self._points(found, everyone=everyone)
        gaps = self._gaps(points, trailing=trailing)
        self._keep(points, gaps)
        rows = [self._windows(points), gaps.select(*self._rule.schema, _AT)]
        result = pl.concat(rows).sort(_AT, maintain_order=True).drop(_AT)
        return result if result.height else None

    def _placed(self, delta: pl.DataFrame) -> pl.DataFrame:
        rule = self._rule
        rows = delta.select(*rule.schema)
        keys = rows.select(*rule.keys) if rule.keys else self._everything(rows.height)
        at = rows[rule.time].to_physical().cast(pl.Int64).alias(_AT)
        slots = pl.Series(_SLOT, self._table.assign(keys), dtype=pl.Int64)
        return rows.with_columns(at, slots).filter(pl.col(_AT).is_not_null())

    def _everything(self, height: int) -> pl.DataFrame:
        return pl.DataFrame({_ALL: pl.repeat(value=True, n=height, eager=True, dtype=pl.Boolean)})

    def _note_latest(self, found: pl.DataFrame) -> bool:
        highest = found[_AT].max()
        latest = self._latest.value
        if not isinstance(highest, int) or (latest is not None and highest <= latest):
            return False
        self._latest.value = highest
        return True

    def _points(self, found: pl.DataFrame | None, *, everyone: bool) -> pl.DataFrame:
        """Return new windows and, of their keys or of all, the one before; by key, in order."""
        rule = self._rule
        if everyone:
            slots = self._table.index.live_slots()
        else:
            assert found is not None, "a step has windows or concerns all keys"
            slots = np.unique(found[_SLOT].to_numpy())
        slots = slots[self._table.exists(slots)]
        before = pl.concat(
            [self._key_columns(slots), self._table.get(slots)], how="horizontal"
        ).with_columns(pl.Series(_SLOT, slots, dtype=pl.Int64), pl.lit(value=False).alias(_NEW))
        new = [] if found is None else [found.with_columns(pl.lit(value=True).alias(_NEW))]
        schema = {**rule.schema, _AT: pl.Int64(), _SLOT: pl.Int64(), _NEW: pl.Boolean()}
        missing = [pl.lit(None, dtype=t).alias(c) for c, t in schema.items() if c not in before]
        whole = pl.concat(
            [before.with_columns(missing).select(*schema), *(n.select(*schema) for n in new)]
        )
        return whole.sort(_SLOT, _AT)

    def _key_columns(self, slots: Ids) -> pl.DataFrame:
        keys = self._table.keys(slots)
        return keys if self._rule.keys else pl.DataFrame(height=len(slots))

    def _gaps(self, points: pl.DataFrame, *, trailing: bool) -> pl.DataFrame:
        """Return a row for each window that is missing between two points, or behind the last."""
        rule = self._rule
        known = trailing and self._latest.value is not None
        end = pl.lit(self._latest.value + rule.width if known else None, dtype=pl.Int64)
        following = pl.col(_AT).shift(-1).over(_SLOT)
        steps = (following.fill_null(end) - pl.col(_AT)) // rule.width
        lines = [pl.col(c).shift(-1).over(_SLOT).alias(f"{_NEXT}{c}") for c in rule.linear]
        open_ = points.with_columns(*lines, steps.alias(_STEPS)).filter(pl.col(_STEPS) > 1)
        each = open_.with_columns(
            pl.int_ranges(1, pl.col(_STEPS), dtype=pl.Int64).alias(_STEP)
        ).explode(_STEP)
        at = pl.col(_AT) + pl.col(_STEP) * rule.width
        empty = set(rule.schema) - {rule.time, *rule.keys, *rule.last, *rule.linear}
        share = pl.col(_STEP) / pl.col(_STEPS)
        return each.with_columns(
            at.alias(_AT),
            at.cast(rule.schema[rule.time]).alias(rule.time),
            *(pl.lit(None, dtype=rule.schema[c]).alias(c) for c in rule.schema if c in empty),
            *(pl.col(c) + (pl.col(f"{_NEXT}{c}") - pl.col(c)) * share for c in rule.linear),
        )

    def _windows(self, points: pl.DataFrame) -> pl.DataFrame:
        return points.filter(_NEW).select(*self._rule.schema, _AT)

    def _keep(self, points: pl.DataFrame, gaps: pl.DataFrame) -> None:
        """Note the last window of each key; one that a gap has passed is there all the same."""
        columns = [_SLOT, *self._table.get(np.empty(0, np.int64)).columns]
        last = points.select(columns).unique(_SLOT, keep="last", maintain_order=True)
        if gaps.height:
            passed = gaps.select(columns)
            last = pl.concat([last, passed]).sort(_AT).unique(_SLOT, keep="last")
        self._table.set(last[_SLOT].to_numpy(), last.drop(_SLOT))
