"""Process: a user's code once for each touched key, with its state and timers."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import PenstockError
from penstock.instants import AT_WATERMARK, MAX_INSTANT, MIN_INSTANT, Reach
from penstock.operators.contract import Delta, Operator, Tick
from penstock.operators.deltas import concat
from penstock.operators.expiry import Expiry
from penstock.operators.refusing import refuse
from penstock.operators.results import as_rows, fitted, frame_of, held_row
from penstock.operators.timers import Due, TimerStore
from penstock.processors import Processor, State, Timers, as_datetime, as_utc
from penstock.state.table import KeyedTable

_RANK = "_penstock_rank"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What a processor reads, keeps and returns; ``event`` is the type of the event-time column,
    whose watermark is ``reach``."""

    keys: tuple[str, ...]
    input: pl.Schema
    state: pl.Schema
    output: pl.Schema
    name: str
    event: pl.DataType | None = None
    reach: Reach = AT_WATERMARK

    @property
    def key_schema(self) -> pl.Schema:
        """The key columns."""
        return pl.Schema({name: self.input[name] for name in self.keys})

    def watermark(self, tick: Tick) -> int:
        """Return the instant that the event time has reached."""
        return MIN_INSTANT if self.event is None else self.reach.at(tick.watermark)


@dataclass(slots=True)
class _Key:
    """A touched key in one epoch."""

    slot: int
    key: dict[str, Any]
    values: dict[str, Any]
    event: set[int]
    processing: set[int]


class KeyedProcess(Operator):
    """Rows first, then event-time timers in order of time, then processing-time timers.

    State: the declared columns and the timers of each key; freed when all columns are null and no
    timer is left, or by the expiry. When user code raises, it is called again with each half of the
    rows, until the row at fault is found: that one (or the timer) becomes a dead letter, and the
    key's state stays as it was before the call.
    """

    def __init__(
        self,
        processor: Processor,
        spec: ProcessSpec,
        expiry: Callable[[KeyedTable], Expiry] | None = None,
    ) -> None:
        self._processor = processor
        self._spec = spec
        self.step_name = spec.name
        self._table = KeyedTable(spec.key_schema, spec.state)
        self._event, self._processing = TimerStore(), TimerStore()
        self._expiry = expiry(self._table) if expiry else None
        self._nested = any(t.is_nested() or t == pl.Object for t in spec.state.dtypes())
        self._opened = False
        self._reached = MIN_INSTANT
        self.state = {
            "keys": self._table,
            "event_timers": self._event.rows,
            "processing_timers": self._processing.rows,
            **(self._expiry.state if self._expiry else {}),
        }

    def deadline(self) -> int | None:
        """Return when the next processing-time timer is due."""
        if not len(self._processing.rows):
            return None
        return self._processing.earliest()

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Call the processor for rows and timers, then write the state back."""
        if not self._opened:
            self._processor.open()
            self._opened = True
        watermark = self._spec.watermark(tick)
        due = self._event.due(watermark), self._processing.due(tick.now)
        found = None
        if deltas[0] is not None or any(due):
            found = self._run(deltas[0], *due, tick, watermark)
        self._reached = watermark
        if self._expiry is not None:
            self._free(self._expiry.expired(tick))
        return found

    def _run(
        self, delta: pl.DataFrame | None, event: Due, processing: Due, tick: Tick, watermark: int
    ) -> Delta | None:
        slots = self._slots(delta)
        firing = np.array([slot for slot, _ in (*event, *processing)], dtype=np.int64)
        keys = self._load(np.concatenate([slots, firing]))
        stored = {s: (frozenset(k.event), frozenset(k.processing)) for s, k in keys.items()}
        for slot, at in event:
            keys[slot].event.add(at)
        for slot, at in processing:
            keys[slot].processing.add(at)
        calls = _Calls(self._processor, self._spec, tick, self._reached, nested=self._nested)
        if delta is not None:
            calls.rows(delta, slots, keys)
        calls.event_timers(keys, watermark)
        calls.processing_timers(keys, processing)
        self._store(keys, stored, tick)
        return calls.found

    def _slots(self, delta: pl.DataFrame | None) -> np.ndarray:
        if delta is None:
            return np.empty(0, dtype=np.int64)
        return self._table.assign(delta.select(self._spec.keys))

    def _load(self, slots: np.ndarray) -> dict[int, _Key]:
        """Read state and timers of the touched keys, in order of first appearance."""
        unique, first = np.unique(slots, return_index=True)
        ordered = unique[np.argsort(first, kind="stable")]
        names = self._table.keys(ordered).rows(named=True)
        values: list[dict[str, Any]] = [{} for _ in names]
        if self._spec.state:
            values = self._table.get(ordered).rows(named=True)
        event, processing = self._event.of(unique), self._processing.of(unique)
        return {
            slot: _Key(slot, names[i], values[i], event[slot], processing[slot])
            for i, slot in enumerate(ordered.tolist())
        }

    def _store(
        self,
        keys: dict[int, _Key],
        stored: dict[int, tuple[frozenset[int], frozenset[int]]],
        tick: Tick,
    ) -> None:
        self._event.replace({s: k.event for s, k in keys.items() if k.event != stored[s][0]})
        self._processing.replace(
            {s: k.processing for s, k in keys.items() if k.processing != stored[s][1]}
        )
        living = [k for k in keys.values() if k.event or k.processing or _is_set(k.values)]
        slots = np.array([k.slot for k in living], dtype=np.int64)
        if self._spec.state and living:
            rows = {n: [k.values[n] for k in living] for n in self._spec.state}
            self._table.set(slots, pl.DataFrame(rows, schema=self._spec.state, strict=True))
        if self._expiry is not None and living:
            self._expiry.touch(slots, self._table.keys(slots), tick)
        kept = set(slots.tolist())
        self._free(np.array([s for s in keys if s not in kept], dtype=np.int64))

    def _free(self, slots: np.ndarray) -> None:
        if slots.size:
            self._event.remove(np.unique(slots))
            self._processing.remove(np.unique(slots))
            self._table.delete(slots)


def _is_set(values: dict[str, Any]) -> bool:
    return any(value is not None for value in values.values())


class _Calls:
    """The calls of one epoch: each on a copy of the key's state, kept if it does not raise."""

    def __init__(
        self, processor: Processor, spec: ProcessSpec, tick: Tick, reached: int, *, nested: bool
    ) -> None:
        self._processor = processor
        self._spec = spec
        self._tick = tick
        self._reached = reached
        self._nested = nested
        self._frames: list[pl.DataFrame] = []
        self._dicts: list[dict[str, Any]] = []

    def rows(self, delta: pl.DataFrame, slots: np.ndarray, keys: dict[int, _Key]) -> None:
        """Call ``process`` for each key, or for each row."""
        hidden = [WEIGHT] if WEIGHT in delta.columns else []
        delta = delta.select(*self._spec.input, *hidden)
        if self._processor.per_row:
            places, parts = slots.tolist(), delta.iter_slices(1)
        else:
            unique, first, inverse = np.unique(slots, return_index=True, return_inverse=True)
            rank = np.argsort(np.argsort(first))[inverse]
            order = np.argsort(rank, kind="stable")
            starts = np.flatnonzero(np.diff(rank[order], prepend=-1))
            ends = [*starts[1:].tolist(), delta.height]
            delta = delta[order]
            places = unique[np.argsort(first)].tolist()
            parts = (delta[a:b] for a, b in zip(starts.tolist(), ends, strict=True))
        for slot, part in zip(places, parts, strict=True):
            self._rows_of(keys[slot], part)

    def _rows_of(self, key: _Key, rows: pl.DataFrame) -> None:
        """Call ``process`` with rows of a key; if it raises, with each half of them in turn."""
        code = partial(self._processor.process, dict(key.key), rows)
        error = self._call(key, code)
        if error is None:
            return
        if rows.height == 1:
            refuse(rows, self._spec.name, error, self._tick)
            return
        half = rows.height // 2
        for part in (rows[:half], rows[half:]):
            self._rows_of(key, part)

    def event_timers(self, keys: dict[int, _Key], watermark: int) -> None:
        """Call ``on_timer`` for what the watermark has reached, in order of time, then of key."""
        if not any(at <= watermark for key in keys.values() for at in key.event):
            return
        ranks = self._ranks(keys)
        heap = [(at, ranks[s], s) for s, k in keys.items() for at in k.event if at <= watermark]
        heapq.heapify(heap)
        while heap:
            at, rank, slot = heapq.heappop(heap)
            key = keys[slot]
            if at not in key.event:
                continue  # cancelled by a timer before it
            key.event.discard(at)
            before = set(key.event)
            self._fire(key, at, as_datetime(at, self._spec.event))
            if watermark == MAX_INSTANT:
                continue  # a timer that sets itself again would never end
            for again in key.event - before:
                if at < again <= watermark:
                    heapq.heappush(heap, (again, rank, slot))

    def processing_timers(self, keys: dict[int, _Key], due: Due) -> None:
        """Call ``on_timer`` for what the clock has reached, in order of time, then of key."""
        if not due:
            return
        ranks = self._ranks(keys)
        for at, _, slot in sorted((at, ranks[slot], slot) for slot, at in due):
            if at in keys[slot].processing:
                keys[slot].processing.discard(at)
                self._fire(keys[slot], at, as_utc(at))

    def _ranks(self, keys: dict[int, _Key]) -> dict[int, int]:
        """Order keys by their values: slots depend on which keys were freed before."""
        schema = self._spec.key_schema
        frame = pl.DataFrame([k.key for k in keys.values()], schema=schema)
        frame = frame.with_columns(pl.Series(_RANK, list(keys), dtype=pl.Int64))
        names = [name for name, dtype in schema.items() if not dtype.is_nested()]
        ordered = frame.sort(names, maintain_order=True) if names else frame
        return {slot: rank for rank, slot in enumerate(ordered[_RANK].to_list())}

    def _fire(self, key: _Key, at: int, instant: Any) -> None:
        shown = pl.DataFrame([{**key.key}], schema=self._spec.key_schema)
        error = self._call(
            key,
            lambda state, timers: self._processor.on_timer(dict(key.key), instant, state, timers),
        )
        if error is not None:
            shown = shown.with_columns(timer=pl.lit(as_utc(at).isoformat()))
            refuse(shown, self._spec.name, error, self._tick, replayable=False)

    def _call(self, key: _Key, code: Callable[[State, Timers], object]) -> BaseException | None:
        """Call user code on copies of the key's state, kept if it does not raise."""
        values = copy.deepcopy(key.values) if self._nested else dict(key.values)
        state = State(self._spec.state, values)
        timers = Timers(
            set(key.event),
            set(key.processing),
            now=self._tick.now,
            watermark=self._reached,
            dtype=self._spec.event,
        )
        try:
            given = self._returned(code(state, timers))
            if self._nested:  # lists are changed in place
                state.update(values)
        except PenstockError:
            raise
        except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - user code
            return error
        self._emit(given)
        key.values, key.event, key.processing = values, timers.event, timers.processing
        return None

    def _returned(self, given: object) -> pl.DataFrame | list[dict[str, Any]]:
        output = self._spec.output
        if isinstance(given, pl.DataFrame):
            return fitted(given, output, self._spec.name)
        return [held_row(row, output) for row in as_rows(given)]

    def _emit(self, given: pl.DataFrame | list[dict[str, Any]]) -> None:
        """Take rows over in order; a frame for each dict would cost more than the user's code."""
        if isinstance(given, list):
            self._dicts.extend(given)
            return
        self._flush()
        self._frames.append(given)

    def _flush(self) -> None:
        if self._dicts:
            self._frames.append(frame_of(self._dicts, self._spec.output))
            self._dicts = []

    @property
    def found(self) -> pl.DataFrame | None:
        """All rows returned so far."""
        self._flush()
        return concat(self._frames)
