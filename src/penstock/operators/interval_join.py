"""IntervalJoin: rows with equal keys whose times lie near each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.bag import Bag
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.expiry import Expiry
from penstock.operators.join import How, JoinSpec
from penstock.operators.pairs import LEFT, RIGHT, Changes, Side, matches
from penstock.state.arrays import Ids, Mask
from penstock.state.contract import Stateful
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore

_TIME = "_penstock_time"
_BUCKET = "_penstock_bucket"


@dataclass(frozen=True, slots=True)
class Interval:
    """``right time in [left time + lower, left time + upper]``, in units of the time columns.

    ``over`` tells for each side when its watermark has passed a time; None without a watermark.
    """

    times: tuple[str, str]
    lower: int
    upper: int
    over: tuple[Passing | None, Passing | None]

    def span(self, side: Side, times: Ids) -> tuple[Ids, Ids]:
        """Return the first and the last time of the other side that rows of a side match."""
        if side == LEFT:
            return times + self.lower, times + self.upper
        return times - self.upper, times - self.lower

    def unreachable(self, side: Side, tick: Tick) -> int | None:
        """Return the time up to which rows of a side can have no further match."""
        passing = self.over[1 - side]
        watermark = tick.watermarks[1 - side]
        if watermark == MAX_INSTANT:
            return MAX_INSTANT - 1
        if passing is None or watermark == MIN_INSTANT:
            return None
        return passing.limit(watermark) + (-self.upper if side == LEFT else self.lower)


class IntervalJoin(Operator):
    """Join rows with equal keys, the right's time in an interval around the left's.

    Rows lie in buckets of time as wide as the interval, so that a row looks into two buckets of
    its key at most, however many rows the key has. For each side of which unmatched rows matter,
    those not matched so far are kept apart (``open``); they leave, once and for good, when the
    other side's watermark has passed their interval.

    State: the columns that the output needs, of rows that can still find a match.
    """

    def __init__(
        self,
        spec: JoinSpec,
        interval: Interval,
        expiry: Callable[[KeyIndex], Expiry] | None = None,
    ) -> None:
        self._spec = spec
        self._interval = interval
        self._width = max(interval.upper - interval.lower, 1)
        self._keys_schema = pl.Schema({**spec.key_schema, _BUCKET: pl.Int64()})
        self._index = KeyIndex(self._keys_schema)
        self._expiry = expiry(self._index) if expiry else None
        self._vacated: list[Ids] = []  # slots that rows have left in this step
        self._met = [self._bag(side) for side in (LEFT, RIGHT)]
        how = spec.how
        self._watched = [how.keeps(LEFT) or not how.pairs, how.keeps(RIGHT)]
        self._open = [self._bag(side) if self._watched[side] else None for side in (LEFT, RIGHT)]
        state: dict[str, Stateful] = {"index": self._index}
        for name, bags in (("met", self._met), ("open", self._open)):
            for side, bag in zip(("left", "right"), bags, strict=True):
                if bag is not None:
                    state[f"{name}_{side}"] = bag.store
        self.state = {**state, **(self._expiry.state if self._expiry else {})}

    def _bag(self, side: Side) -> Bag:
        spec = self._spec
        kept = {c: spec.side(side).schema[c] for c in spec.pairing.needs(side)}
        return Bag(pl.Schema({**kept, _TIME: pl.Int64()}))

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take the left's changes, then the right's; then close what the watermarks passed."""
        out = Changes(changelog=self._spec.changelog)
        for side in (LEFT, RIGHT):
            delta = deltas[side]
            if delta is not None:
                self._take(side, delta, tick, out)
        for side in (LEFT, RIGHT):
            self._close(side, tick, out)
        self._release()
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return out.result()

    def _take(self, side: Side, delta: pl.DataFrame, tick: Tick, out: Changes) -> None:
        delta, weights = self._spec.side(side).divide(delta)
        keys = self._keys(side, delta)
        whole = keys.select(pl.all_horizontal(pl.all().is_not_null())).to_series()
        if not whole.all():
            self._unmatched(side, delta.filter(~whole), out)
            delta, keys = delta.filter(whole), keys.filter(whole)
            weights = None if weights is None else weights[whole.to_numpy()]
        if not delta.height:
            return
        times = keys[_TIME].to_numpy()
        delta = delta.with_columns(keys[_TIME])
        slots = self._index.assign(self._at(keys, times))
        if self._expiry is not None:
            used = np.unique(slots)
            self._expiry.touch(used, self._index.keys(used), tick)
        matched = self._match(side, keys, times, delta, weights, out)
        self._keep(side, slots, delta, weights, matched, out)

    def _keys(self, side: Side, rows: pl.DataFrame) -> pl.DataFrame:
        spec, column = self._spec, self._interval.times[side]
        keys = zip(spec.side(side).keys, spec.key_schema.items(), strict=True)
        exprs = [expr.cast(dtype).alias(name) for expr, (name, dtype) in keys]
        return rows.select(*exprs, pl.col(column).to_physical().cast(pl.Int64).alias(_TIME))

    def _at(self, keys: pl.DataFrame, times: Ids) -> pl.DataFrame:
        """Return the keys with the buckets of times."""
        return keys.with_columns(pl.Series(_BUCKET, times // self._width))

    def _match(
        self,
        side: Side,
        keys: pl.DataFrame,
        times: Ids,
        rows: pl.DataFrame,
        weights: Ids | None,
        out: Changes,
    ) -> Mask:
        """Emit the pairs of new rows with rows of the other side; tell which rows have one."""
        first, last = self._interval.span(side, times)
        low = self._index.lookup(self._at(keys, first))
        high = self._index.lookup(self._at(keys, last))
        both = np.flatnonzero((high >= 0) & (high != low))
        one = np.flatnonzero(low >= 0)
        probes, origin = np.concatenate([low[one], high[both]]), np.concatenate([one, both])
        matched = np.zeros(len(times), np.bool_)
        other: Side = RIGHT if side == LEFT else LEFT
        found: list[Ids] = []
        for bag in (self._met[other], self._open[other]):
            if bag is None:
                continue
            for take, ids in matches(probes, bag.store):
                stored, at = bag.store.rows(ids), origin[take]
                then = stored[_TIME].to_numpy()
                hit = (then >= first[at]) & (then <= last[at])
                at = at[hit]
                matched[at] = True
                self._pair(side, rows, at, stored.filter(hit), weights, out)
                if bag is self._open[other]:
                    found.append(np.unique(ids[hit]))
        if found:
            self._settle(other, np.unique(np.concatenate(found)), out)
        return matched

    def _pair(
        self,
        side: Side,
        rows: pl.DataFrame,
        at: Ids,
        stored: pl.DataFrame,
        weights: Ids | None,
        out: Changes,
    ) -> None:
        if not self._spec.how.pairs or not len(at):
            return
        pairing, mine = self._spec.pairing, rows[at]
        pairs = pairing.both(mine, stored) if side == LEFT else pairing.both(stored, mine)
        out.add(pairs, 1 if weights is None else weights[at])

    def _settle(self, side: Side, ids: Ids, out: Changes) -> None:
        """Rows that were open have found a match."""
        bag = self._open[side]
        assert bag is not None
        slots, rows = bag.store.slots_of(ids), bag.store.rows(ids)
        bag.store.remove(ids)
        if self._spec.how.pairs:
            self._met[side].add(slots, rows)
            return
        if self._spec.how is How.SEMI:
            out.add(rows.drop(_TIME))
        self._vacated.append(slots)

    def _keep(
        self,
        side: Side,
        slots: Ids,
        rows: pl.DataFrame,
        weights: Ids | None,
        matched: Mask,
        out: Changes,
    ) -> None:
        bag = self._open[side]
        if bag is None:
            self._met[side].apply(slots, rows, weights)
            if weights is not None:
                self._vacated.append(slots)
            return
        bag.add(slots[~matched], rows.filter(~matched))
        if self._spec.how.pairs:
            self._met[side].add(slots[matched], rows.filter(matched))
        elif self._spec.how is How.SEMI:
            out.add(rows.filter(matched).drop(_TIME))
        self._vacated.append(slots[matched])

    def _unmatched(self, side: Side, rows: pl.DataFrame, out: Changes) -> None:
        """Emit rows that will never have a match."""
        if self._spec.how.keeps(side):
            out.add(self._spec.pairing.alone(side, rows))
        elif self._spec.how is How.ANTI and side == LEFT:
            out.add(rows.select(self._spec.side(side).schema.names()))

    def _close(self, side: Side, tick: Tick, out: Changes) -> None:
        """Free the rows of a side that can have no further match."""
        until = self._interval.unreachable(side, tick)
        if until is None:
            return
        for bag in (self._met[side], self._open[side]):
            if bag is None or not len(bag.store):
                continue
            slots, rows = bag.store.expire(_TIME, until + 1)
            if bag is self._open[side]:
                self._unmatched(side, rows, out)
            self._vacated.append(slots)

    def _stores(self) -> list[RowStore]:
        return [bag.store for bag in (*self._met, *self._open) if bag is not None]

    def _release(self) -> None:
        """Forget the keys under which no row is left."""
        if not self._vacated:
            return
        slots = np.unique(np.concatenate(self._vacated))
        self._vacated.clear()
        empty = np.ones(len(slots), np.bool_)
        for store in self._stores():
            empty &= store.count(slots) == 0
        if empty.any():
            self._index.release(slots[empty])

    def _free(self, slots: Ids) -> None:
        if len(slots):
            for store in self._stores():
                store.remove_slots(slots)
            self._index.release(slots)
