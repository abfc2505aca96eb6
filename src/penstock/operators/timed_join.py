"""TimedJoin: pairs of rows that can only be met for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import MAX_INSTANT, MIN_INSTANT, Passing
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.equal_keys import equal_keys
from penstock.operators.join import JoinInput, JoinSpec
from penstock.operators.pair_conditions import Read, of_frame, of_store, true_pairs
from penstock.operators.pairs import LEFT, RIGHT, Changes, Side, columns_of
from penstock.operators.timed_rows import TimedRows
from penstock.state.arrays import Ids, Mask

_BUCKET = "_penstock_bucket"
_KEY = "_penstock_key"


@dataclass(frozen=True, slots=True)
class Lapse:
    """Rows of one side can find no further match once ``column + shift`` is passed by the other."""

    column: str
    shift: int
    passing: Passing

    def limit(self, watermark: int) -> int | None:
        """Return the largest value of the column that is over; None as long as none is."""
        if watermark == MAX_INSTANT:
            return MAX_INSTANT
        reached = self.passing.limit(watermark)
        if watermark == MIN_INSTANT or reached == MIN_INSTANT:
            return None
        return reached - self.shift


@dataclass(frozen=True, slots=True)
class Near:
    """``right time - left time`` in [lower, upper]: rows then lie in buckets of that width."""

    times: tuple[str, str]
    lower: int
    upper: int

    @property
    def width(self) -> int:
        """The width of a bucket."""
        return max(self.upper - self.lower, 1)

    def span(self, side: Side) -> tuple[int, int]:
        """Return where the times of the other side lie, relative to those of a side."""
        return (self.lower, self.upper) if side == LEFT else (-self.upper, -self.lower)


class TimedJoin(Operator):
    """Join append-only rows with equal keys whose condition bounds how long each can find a match.

    An epoch's rows meet those that are there and one another; kept is only what rows still to come
    may match: nothing of an event that joins what happened before it, as soon as the other side's
    watermark is past it. No key is entered anywhere when a row is kept.

    With ``near``, the times are part of the key, in buckets: a row looks into two of them, however
    many rows its key has.

    State: the columns that the output needs, of rows that can still find a match.
    """

    def __init__(self, spec: JoinSpec, lapses: tuple[Lapse, Lapse], near: Near | None) -> None:
        self._spec, self._lapses, self._near = spec, lapses, near
        self._sides = [_Side(spec, side, lapses[side].column, near) for side in (LEFT, RIGHT)]
        self.state = {"left": self._sides[LEFT].held.store, "right": self._sides[RIGHT].held.store}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Join what came with what is there and with what came on the other side."""
        out = Changes(changelog=False)
        left, right = (
            None if delta is None else side.take(delta)
            for side, delta in zip(self._sides, deltas, strict=True)
        )
        if left is not None:
            self._meet_held(LEFT, left, tick, out)
        if right is not None:
            self._meet_held(RIGHT, right, tick, out)
        if left is not None and right is not None:
            for probe, origin in left.probes:
                for at, other in equal_keys(probe, right.keys):
                    self._emit(
                        of_frame(left.rows), origin[at], of_frame(right.rows), other, tick, out
                    )
        self._keep(LEFT, left, tick)
        self._keep(RIGHT, right, tick)
        return out.result()

    def _meet_held(self, side: Side, came: _Came, tick: Tick, out: Changes) -> None:
        held = self._sides[1 - side].held
        mine, other = of_frame(came.rows), of_store(held.store)
        for probe, origin in came.probes:
            for at, ids in held.match(probe):
                if side == LEFT:
                    self._emit(mine, origin[at], other, ids, tick, out)
                else:
                    self._emit(other, ids, mine, origin[at], tick, out)

    def _emit(
        self, left: Read, lefts: Ids, right: Read, rights: Ids, tick: Tick, out: Changes
    ) -> None:
        if self._near is not None:
            near = self._near
            apart = _physical(right(near.times[RIGHT], rights)) - _physical(
                left(near.times[LEFT], lefts)
            )
            hit = np.flatnonzero((apart >= near.lower) & (apart <= near.upper))
            lefts, rights = lefts[hit], rights[hit]
        if len(lefts):
            out.add(true_pairs(self._spec.pairing, (left, right), (lefts, rights), None, tick)[0])

    def _keep(self, side: Side, came: _Came | None, tick: Tick) -> None:
        """Keep the rows that can still find a match, and forget those that cannot any more."""
        limit, held = self._lapses[side].limit(tick.watermarks[1 - side]), self._sides[side].held
        if limit is not None:
            held.drop(limit)
        if came is not None:
            held.add(self._sides[side].kept(came, limit))


@dataclass(slots=True)
class _Came:
    """The rows of an epoch: their keys, and what to look for on the other side for which of them."""

    rows: pl.DataFrame
    keys: pl.DataFrame
    probes: list[tuple[pl.DataFrame, Ids]]


class _Side:
    """How the rows of one side are read and held."""

    def __init__(self, spec: JoinSpec, side: Side, time: str, near: Near | None) -> None:
        self._input: JoinInput = spec.side(side)
        self._key_schema, self._near, self._side, self._time = spec.key_schema, near, side, time
        schema = self._input.schema
        # A key that is a column of the output is held once.
        self._names = [
            expr.meta.output_name()
            if expr.meta.is_column() and schema[expr.meta.output_name()] == dtype
            else f"{_KEY}{number}"
            for number, (expr, dtype) in enumerate(
                zip(self._input.keys, spec.key_schema.values(), strict=True)
            )
        ]
        held = dict(zip(self._names, spec.key_schema.values(), strict=True))
        if near is not None:
            self._names.append(_BUCKET)
            held[_BUCKET] = pl.Int64()
        times = [time, *([near.times[side]] if near else [])]
        held |= {name: schema[name] for name in (*spec.pairing.needs(side), *times)}
        self._columns = list(held)
        self.held = TimedRows(pl.Schema(held), self._names, time)

    def take(self, delta: pl.DataFrame) -> _Came | None:
        """Return the rows that may find a match, with their keys; None if there are none."""
        keys = columns_of(delta, self._input.keys, self._key_schema)
        needed = [*keys.get_columns(), *delta.select(self._times).get_columns()]
        if any(column.null_count() for column in needed):
            whole = np.ones(delta.height, np.bool_)
            for column in needed:
                whole &= column.is_not_null().to_numpy()
            delta, keys = delta.filter(whole), keys.filter(whole)
        if not delta.height:
            return None
        every = np.arange(delta.height)
        if self._near is None:
            return _Came(delta, keys, [(keys, every)])
        times, width = _physical(delta.get_column(self._near.times[self._side])), self._near.width
        lower, upper = self._near.span(self._side)
        low, high = (times + lower) // width, (times + upper) // width
        both = np.flatnonzero(low != high)
        probes = [(_in_bucket(keys, low), every), (_in_bucket(keys[both], high[both]), both)]
        return _Came(delta, _in_bucket(keys, times // width), probes)

    @property
    def _times(self) -> list[str]:
        near = [self._near.times[self._side]] if self._near is not None else []
        return list(dict.fromkeys([self._time, *near]))

    def kept(self, came: _Came, limit: int | None) -> pl.DataFrame:
        """Return the rows that are not over yet, as they are held."""
        alive = self._alive(came.rows, limit)
        named = dict(zip(self._names, came.keys.get_columns(), strict=True))
        columns = [named.get(name) for name in self._columns]
        found = [
            came.rows.get_column(name) if column is None else column.alias(name)
            for name, column in zip(self._columns, columns, strict=True)
        ]
        rows = pl.DataFrame(found)
        return rows if alive is None else rows[np.flatnonzero(alive)]

    def _alive(self, rows: pl.DataFrame, limit: int | None) -> Mask | None:
        if limit is None:
            return None
        alive: Mask = _physical(rows.get_column(self._time)) > limit
        return None if alive.all() else alive


def _in_bucket(keys: pl.DataFrame, buckets: Ids) -> pl.DataFrame:
    return keys.with_columns(pl.Series(_BUCKET, buckets, dtype=pl.Int64))


def _physical(times: pl.Series) -> Ids:
    return times.to_physical().cast(pl.Int64).to_numpy()
