"""AsofJoin: each left row, once, with the right row nearest in time."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.recompute import SLOT
from penstock.state.arrays import Ids
from penstock.state.contract import Stateful
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore

_TIME = "_penstock_time"
_AT = "_penstock_at"
_SLOT = "_penstock_at_slot"
_NEVER = MIN_INSTANT + 1
_END = MAX_INSTANT - 1


class Strategy(enum.Enum):
    """Which right row is taken, named as in Polars."""

    BACKWARD = "backward"
    FORWARD = "forward"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class AsofSpec:
    """What to join: schemas, the time column and key expressions of each side, and Polars' options.

    ``over`` tells for each side when its watermark has passed a time; ``reach`` is the tolerance in
    physical units.
    """

    schemas: tuple[pl.Schema, pl.Schema]
    on: tuple[str, str]
    keys: tuple[tuple[pl.Expr, ...], tuple[pl.Expr, ...]]
    key_schema: pl.Schema
    strategy: Strategy
    reach: int | None
    options: dict[str, Any]
    over: tuple[Passing, Passing]
    output: pl.Schema

    @property
    def depth(self) -> int:
        """How many right times before the watermark can still be matched, of one key."""
        if self.strategy is Strategy.FORWARD:
            return 0
        exact = self.options["allow_exact_matches"]
        return 2 if self.strategy is Strategy.NEAREST and not exact else 1


def asof(
    left: pl.DataFrame, right: pl.DataFrame, on: tuple[str, str], options: dict[str, Any]
) -> pl.DataFrame:
    """Join as Polars does, ties in the order given; rows without a time match nothing."""
    right = right.filter(pl.col(on[1]).is_not_null()).sort(on[1], maintain_order=True)
    timeless = left.filter(pl.col(on[0]).is_null())
    timely = left.filter(pl.col(on[0]).is_not_null()) if timeless.height else left
    found = (
        timely.sort(on[0], maintain_order=True).lazy().join_asof(right.lazy(), **options).collect()
    )
    if not timeless.height:
        return found
    return pl.concat([found, timeless.lazy().join_asof(right.clear().lazy(), **options).collect()])


def asof_evaluation(on: tuple[str, str], options: dict[str, Any]) -> Callable[..., pl.DataFrame]:
    """Return the function that joins all rows of some keys afresh, for ``Recompute``."""

    def evaluate(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
        return asof(left, right.drop(SLOT), on, options)

    return evaluate


class AsofJoin(Operator):
    """Join append-only inputs by time, each left row once, when its match can no longer change.

    A left row waits until both watermarks have passed its time; then, backward, its match is known.
    Forward, it waits on for a right row behind the watermark; nearest, until the watermark is as
    far after it as its match is before it; at most for the tolerance.

    State: left rows that wait, right rows the watermark has not passed, and of those it has passed
    the latest of each key, which ``expiry`` or the tolerance frees.
    """

    def __init__(self, spec: AsofSpec, expiry: Callable[[KeyIndex], Expiry] | None = None) -> None:
        self._spec = spec
        left, right = (pl.Schema({**schema, _TIME: pl.Int64()}) for schema in spec.schemas)
        self._index = KeyIndex(spec.key_schema)
        self._pending, self._waiting = RowStore(left), RowStore(left)
        self._recent, self._latest = RowStore(right), RowStore(right)
        self._expiry = expiry(self._index) if expiry else None
        self._vacated: list[Ids] = []
        state: dict[str, Stateful] = {
            "index": self._index,
            "pending": self._pending,
            "waiting": self._waiting,
            "recent": self._recent,
            "latest": self._latest,
        }
        self.state = {**state, **(self._expiry.state if self._expiry else {})}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; emit those whose match is certain; free what is over."""
        out: list[pl.DataFrame] = []
        for side, store in enumerate((self._pending, self._recent)):
            delta = deltas[side]
            if delta is not None:
                self._take(side, delta, store, tick, out)
        limits = [self._limit(side, tick) for side in (0, 1)]
        limit = min(limits)
        if limit > _NEVER:
            self._emit(limit, limits[1], out)
            self._advance(limit)
        if self._expiry is not None:
            slots = self._expiry.expired(tick)
            self._latest.remove_slots(slots)
            self._vacated.append(slots)
        self._release()
        parts = [part for part in out if part.height]
        return pl.concat(parts) if parts else None

    def _limit(self, side: int, tick: Tick) -> int:
        """Return the largest time of a side that is complete."""
        watermark = tick.watermarks[side]
        if watermark in (MIN_INSTANT, MAX_INSTANT):
            return _NEVER if watermark == MIN_INSTANT else _END
        return self._spec.over[side].limit(watermark)

    def _take(
        self, side: int, delta: pl.DataFrame, store: RowStore, tick: Tick, out: list[pl.DataFrame]
    ) -> None:
        spec = self._spec
        time = delta[spec.on[side]].to_physical().cast(pl.Int64).alias(_TIME)
        if time.null_count():
            if side == 0:
                nothing = pl.DataFrame(schema=spec.schemas[1])
                timeless = asof(delta.filter(time.is_null()), nothing, spec.on, spec.options)
                out.append(timeless.select(*spec.output))
            delta, time = delta.filter(time.is_not_null()), time.drop_nulls()
        if not delta.height:
            return
        keys = (
            delta.select(*spec.keys[side]) if spec.key_schema else pl.DataFrame(height=delta.height)
        )
        slots = self._index.assign(keys)
        if self._expiry is not None:
            used = np.unique(slots)
            self._expiry.touch(used, self._index.keys(used), tick)
        store.append(slots, delta.with_columns(time))

    def _emit(self, limit: int, complete: int, out: list[pl.DataFrame]) -> None:
        """Join the left rows up to ``limit`` with the right rows up to ``complete``."""
        slots, rows = self._pending.expire(_TIME, limit + 1)
        if len(self._waiting):
            ids = self._waiting.live_ids()
            slots = np.concatenate([self._waiting.slots_of(ids), slots])
            rows = pl.concat([self._waiting.rows(ids), rows])
            self._waiting.remove(ids)
        if not rows.height:
            return
        touched = np.unique(slots)
        passed, recent = self._latest.lookup(touched)[1], self._recent.lookup(touched)[1]
        right = pl.concat([passed, recent]).filter(pl.col(_TIME) <= complete).rename({_TIME: _AT})
        left = rows.with_columns(pl.Series(_SLOT, slots))
        joined = asof(left, right, self._spec.on, self._spec.options)
        certain = joined.select(self._certain(complete)).to_series()
        if not certain.all():
            rest = joined.filter(~certain)
            self._waiting.append(rest[_SLOT].to_numpy(), rest.select(*self._waiting.schema))
            joined = joined.filter(certain)
        self._vacated.append(touched)
        out.append(joined.select(*self._spec.output))

    def _certain(self, complete: int) -> pl.Expr:
        """Return whether no right row after ``complete`` can be a better match."""
        strategy, reach = self._spec.strategy, self._spec.reach
        if strategy is Strategy.BACKWARD or complete == _END:
            return pl.repeat(value=True, n=pl.len(), dtype=pl.Boolean)
        found = pl.col(_AT).is_not_null()
        if strategy is Strategy.NEAREST:
            apart = (pl.col(_AT) - pl.col(_TIME)).abs()
            found = (pl.col(_TIME) + apart <= complete).fill_null(value=False)
        return found if reach is None else found | (pl.col(_TIME) + reach <= complete)

    def _advance(self, limit: int) -> None:
        """Keep of the right rows up to ``limit`` those that later left rows may match."""
        depth, reach = self._spec.depth, self._spec.reach
        slots, rows = self._recent.expire(_TIME, limit + 1)
        if len(slots):
            self._vacated.append(slots)
            if depth:
                self._keep_latest(slots, rows, depth)
        if reach is not None and len(self._latest):
            # A row that waits for a nearer match may lie a tolerance behind the limit itself.
            back = reach * (2 if self._spec.strategy is Strategy.NEAREST else 1)
            self._vacated.append(self._latest.expire(_TIME, max(limit - back, _NEVER))[0])

    def _keep_latest(self, slots: Ids, rows: pl.DataFrame, depth: int) -> None:
        both = rows.with_columns(pl.Series(_SLOT, slots, dtype=pl.Int64))
        if depth > 1:
            touched = np.unique(slots)
            positions, old = self._latest.lookup(touched)
            old = old.with_columns(pl.Series(_SLOT, touched[positions], dtype=pl.Int64))
            both = pl.concat([old, both])
        both = both.sort(_TIME, maintain_order=True)
        both = both.unique([_SLOT, _TIME], keep="last", maintain_order=True)
        both = both.group_by(_SLOT, maintain_order=True).tail(depth)
        self._latest.replace(both[_SLOT].to_numpy(), both.select(*self._latest.schema))

    def _release(self) -> None:
        """Forget the keys under which no row is left."""
        if not self._vacated:
            return
        slots = np.unique(np.concatenate(self._vacated))
        self._vacated.clear()
        empty = np.ones(len(slots), np.bool_)
        for store in (self._pending, self._waiting, self._recent, self._latest):
            empty &= store.count(slots) == 0
        if empty.any() and self._spec.key_schema:
            self._index.release(slots[empty])
