"""SessionAggregate and SessionRows: each session once, when the watermark has passed its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from penstock.instants import AT_WATERMARK, MAX_INSTANT, MIN_INSTANT, Passing, Reach, unit_ns
from penstock.operators.aggregate import PartialAggregates
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.recompute import SLOT
from penstock.operators.sessions import Chains, chain, instants, physical, sessions_of
from penstock.state.arrays import Ids, distinct
from penstock.state.cell import Cell
from penstock.state.index import KeyIndex
from penstock.state.log import RowLog
from penstock.state.rows import RowStore
from penstock.windows import END, START

FIRST = "_penstock_session_first"
LAST = "_penstock_session_last"
_NUMBER = "_penstock_number"


@dataclass(frozen=True, slots=True)
class SessionGroups:
    """What to compute: sessions of rows at most ``gap_ns`` apart in ``column``, by keys."""

    column: str
    gap_ns: int
    keys: tuple[pl.Expr, ...]
    aggs: tuple[pl.Expr, ...]
    input: pl.Schema
    output: pl.Schema
    reach: Reach = AT_WATERMARK
    """Up to which instant the column is complete: that of a window's start lags behind."""

    @property
    def dtype(self) -> pl.DataType:
        """Type of the event-time column."""
        return self.input[self.column]

    @property
    def gap(self) -> int:
        """The gap in the unit of the column."""
        return self.gap_ns // unit_ns(self.dtype)

    @property
    def key_schema(self) -> pl.Schema:
        """Names and types of the keys."""
        return pl.DataFrame(schema=self.input).select(*self.keys).schema

    def closed_below(self, watermark: int) -> int:
        """Return the bound: a session whose last row is below it is closed."""
        if watermark in (MIN_INSTANT, MAX_INSTANT):
            return watermark
        passing = Passing(self.column, self.dtype, Reach(-self.gap_ns), strict=False)
        return passing.limit(watermark) + 1

    def keys_of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the key columns of rows."""
        return frame.select(*self.keys) if self.keys else pl.DataFrame(height=frame.height)


class SessionAggregate(Operator):
    """Aggregate append-only rows over sessions, each emitted when it closes.

    A session ``[first, last + gap]`` closes when the watermark is above its end. The rows of an
    epoch are first put together among themselves, then with the open sessions of their keys; rows
    out of order may join two of these.

    State: one row of partials an open session; its key as long as it has one.
    """

    def __init__(self, groups: SessionGroups, partials: PartialAggregates) -> None:
        self._groups, self._partials = groups, partials
        self._index = KeyIndex(groups.key_schema)
        spans = {FIRST: pl.Int64(), LAST: pl.Int64()}
        self._open = RowStore(pl.Schema({**spans, **partials.schema}))
        self._closed: Cell = Cell(MIN_INSTANT)
        self.state = {"keys": self._index, "open": self._open, "closed": self._closed}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Put the rows into sessions; emit those that the watermark has passed."""
        if deltas[0] is not None:
            self._take(deltas[0])
        reached = self._groups.reach.at(tick.watermark)
        return self._close(reached) if reached > self._closed.value else None

    def _take(self, delta: pl.DataFrame) -> None:
        rows = delta.filter(pl.col(self._groups.column).is_not_null())
        if not rows.height:
            return
        slots = self._slots(rows)
        times = physical(rows, self._groups.column)
        fresh = chain(slots, times, times, self._groups.gap)
        grouped = rows.with_columns(pl.Series(_NUMBER, fresh.number)).group_by(_NUMBER)
        partials = grouped.agg(*self._partials.extract)
        order = np.argsort(partials[_NUMBER].to_numpy())
        self._join(fresh, partials[order].select(*self._partials.schema))

    def _slots(self, rows: pl.DataFrame) -> Ids:
        if self._groups.keys:
            return self._index.assign(self._groups.keys_of(rows))
        self._index.assign(pl.DataFrame(height=1))
        return np.zeros(rows.height, dtype=np.int64)

    def _join(self, fresh: Chains, partials: pl.DataFrame) -> None:
        """Put the sessions of this epoch together with the open ones of the same keys."""
        used = distinct(fresh.group)
        positions, ids = self._open.lookup_ids(used)
        if not ids.size:
            self._append(fresh.group, fresh.first, fresh.last, partials)
            return
        old = self._open.rows(ids)
        groups = np.concatenate([used[positions], fresh.group])
        firsts = np.concatenate([old[FIRST].to_numpy(), fresh.first])
        lasts = np.concatenate([old[LAST].to_numpy(), fresh.last])
        joined = chain(groups, firsts, lasts, self._groups.gap)
        grown = np.zeros(len(joined.group), dtype=bool)
        grown[joined.number[len(ids) :]] = True  # the others are old ones that nothing has touched
        touched = grown[joined.number]
        self._open.remove(ids[touched[: len(ids)]])
        both = pl.concat([old.select(partials.columns), partials])
        merged = self._merged(both, joined.number, touched)
        self._append(joined.group[grown], joined.first[grown], joined.last[grown], merged)

    def _merged(self, both: pl.DataFrame, number: Ids, touched: np.ndarray) -> pl.DataFrame:
        """Merge the partials of each session; most sessions have but one row of them."""
        alone = np.bincount(number)[number] == 1
        single, several = np.flatnonzero(touched & alone), np.flatnonzero(touched & ~alone)
        if not several.size:
            order = np.argsort(number[single])
            return both[single[order]]
        rows = both[several].with_columns(pl.Series(_NUMBER, number[several]))
        merged = rows.group_by(_NUMBER, maintain_order=True).agg(*self._partials.merge)
        numbers = np.concatenate([number[single], merged[_NUMBER].to_numpy()])
        merged = pl.concat([both[single], merged.select(both.columns)])
        return merged[np.argsort(numbers)]

    def _append(self, groups: Ids, firsts: Ids, lasts: Ids, partials: pl.DataFrame) -> None:
        spans = pl.DataFrame({FIRST: firsts, LAST: lasts})
        self._open.append(groups, spans.hstack(partials) if partials.width else spans)

    def _close(self, watermark: int) -> Delta | None:
        self._closed.value = watermark
        groups = self._groups
        slots, sessions = self._open.expire(LAST, groups.closed_below(watermark))
        if not slots.size:
            return None
        first, end = pl.col(FIRST), pl.col(LAST) + groups.gap
        spans = sessions.select(
            instants(first, groups.dtype).alias(START), instants(end, groups.dtype).alias(END)
        )
        values = sessions.select(*self._partials.finish) if self._partials.finish else None
        parts = [self._index.keys(slots)] if groups.keys else []
        parts += [spans] if values is None else [spans, values]
        result = pl.concat(parts, how="horizontal").select(*groups.output)
        if groups.keys:
            used = distinct(slots)
            self._index.release(used[self._open.count(used) == 0])
        return result


class SessionRows(Operator):
    """Aggregate over sessions where an aggregate does not split or asks for the order of rows.

    State: the rows of open sessions.
    """

    def __init__(self, groups: SessionGroups) -> None:
        self._groups = groups
        self._rows = RowLog(groups.input)
        self._closed: Cell = Cell(MIN_INSTANT)
        self._evaluate = sessions_of(groups.column, groups.gap, groups.keys, groups.aggs)
        self.state = {"rows": self._rows, "closed": self._closed}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Keep the rows; emit the sessions that the watermark has passed."""
        if deltas[0] is not None:
            column = pl.col(self._groups.column)
            self._rows.append(deltas[0].filter(column.is_not_null()))
        reached = self._groups.reach.at(tick.watermark)
        return self._close(reached) if reached > self._closed.value else None

    def _close(self, watermark: int) -> Delta | None:
        groups = self._groups
        self._closed.value = watermark
        rows = self._rows.read()
        if not rows.height:
            return None
        times = physical(rows, groups.column)
        below = groups.closed_below(watermark)
        if int(times.min()) >= below:
            return None
        slots = KeyIndex(groups.key_schema).assign(groups.keys_of(rows))
        found = chain(slots, times, times, groups.gap)
        over = (found.last < below)[found.number]
        if not over.any():
            return None
        mask = pl.Series(over)
        self._rows.replace([rows.filter(~mask)])
        closed = rows.filter(mask).with_columns(pl.Series(SLOT, slots[over], dtype=pl.Int64))
        return self._evaluate(closed).select(*groups.output)
