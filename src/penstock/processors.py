"""Processors: a user's Python code per key, with state and timers.

class Sessions(ps.Processor):
    state = {"visits": pl.Int64}
    output = {"user": pl.String, "visits": pl.Int64}

    def process(self, key, rows, state, timers):
        state["visits"] = (state["visits"] or 0) + rows.height
        timers.at(rows["ts"].max() + timedelta(minutes=30))

    def on_timer(self, key, at, state, timers):
        visits = state["visits"]
        state.clear()
        return [{"user": key["user"], "visits": visits}]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import polars as pl

from penstock.declared import held
from penstock.errors import PlanError
from penstock.instants import MAX_INSTANT, MIN_INSTANT, Duration, duration_ns

Rows = pl.DataFrame | list[dict[str, Any]] | dict[str, Any] | None
"""What a processor may return: a frame, dicts, or nothing."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class State:
    """The state of one key: a value, or None, for each column that the processor declares.

    ``state["n"] = (state["n"] or 0) + 1``. A value that does not fit the declared type raises
    ``TypeError``; a column that is not declared stops the query. A key whose columns are all None
    takes no memory.
    """

    __slots__ = ("_schema", "_values")

    def __init__(self, schema: pl.Schema, values: dict[str, Any]) -> None:
        self._schema = schema
        self._values = values

    def __getitem__(self, name: str) -> Any:
        self._check(name)
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._check(name)
        self._values[name] = held(name, value, self._schema[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema)

    def __bool__(self) -> bool:
        """Whether anything is stored for the key."""
        return any(value is not None for value in self._values.values())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a column, ``default`` if there is none."""
        value = self[name]
        return default if value is None else value

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several columns."""
        for name, value in values.items():
            self[name] = value

    def clear(self) -> None:
        """Set all columns to None, which frees the key once it has no timer either."""
        for name in self._schema:
            self._values[name] = None

    def __repr__(self) -> str:
        return f"State({self._values})"

    def _check(self, name: str) -> None:
        if name not in self._schema:
            raise PlanError(
                f"state has no column {name!r}",
                step="process",
                value=name,
                alternatives=list(self._schema),
                hint="declare it in the processor: state = {...}",
            )


class Timers:
    """The timers of one key. A second timer for the same instant is the same timer.

    Event-time timers fire when the watermark reaches them, in order of time: all rows before them
    have been seen then. Processing-time timers fire when the clock reaches them, not at the end of
    a bounded input. Both are kept with the state. Instants have microseconds; those of a column
    without a zone have none either.
    """

    __slots__ = ("_dtype", "_now", "_watermark", "event", "processing")

    def __init__(
        self, event: set[int], processing: set[int], *, now: int, watermark: int, dtype: Any
    ) -> None:
        self.event = event
        self.processing = processing
        self._now = now
        self._watermark = watermark
        self._dtype = dtype

    @property
    def now(self) -> datetime:
        """The processing-time clock, in UTC."""
        return _EPOCH + timedelta(microseconds=self._now // 1_000)

    @property
    def watermark(self) -> datetime | None:
        """The watermark before this epoch's rows moved it; None if there is none (yet)."""
        ends = (MIN_INSTANT, MAX_INSTANT)
        return None if self._watermark in ends else as_datetime(self._watermark, self._dtype)

    def at(self, instant: datetime | date) -> None:
        """Call ``on_timer`` when the watermark reaches an instant; at once if it has.

        At the end of a bounded input all timers fire; those set while that happens do not.
        """
        self.event.add(self._instant(instant))

    def after(self, delay: Duration) -> datetime:
        """Call ``on_timer`` when the processing-time clock has moved on by ``delay``."""
        due = self._now + max(duration_ns(delay, step="process", option="delay"), 0)
        self.processing.add(due - due % 1_000)
        return _EPOCH + timedelta(microseconds=due // 1_000)

    def cancel(self, instant: datetime | date) -> None:
        """Remove the timer of an instant, if there is one: what ``at`` took, or ``after`` gave."""
        if isinstance(instant, datetime) and instant.tzinfo is not None:
            self.processing.discard(_nanoseconds(instant))
        if self._dtype is not None:
            self.event.discard(self._instant(instant))

    def clear(self) -> None:
        """Remove all timers of the key."""
        self.event.clear()
        self.processing.clear()

    @property
    def pending(self) -> list[datetime]:
        """The instants of the event-time timers, in order."""
        return [as_datetime(at, self._dtype) for at in sorted(self.event)]

    def _instant(self, instant: datetime | date) -> int:
        if self._dtype is None:
            raise PlanError(
                "timers.at() needs a watermark",
                step="process",
                hint='declare one with .with_watermark(...), or use timers.after("5s")',
            )
        if not isinstance(instant, date):
            raise TypeError(f"timers.at() takes a datetime, not {type(instant).__name__}")
        if not isinstance(instant, datetime):
            instant = datetime(instant.year, instant.month, instant.day, tzinfo=UTC)
        zone = getattr(self._dtype, "time_zone", None)
        if instant.tzinfo is None and zone is not None:
            raise TypeError(f"timers.at({instant}) has no time zone, the event time is in {zone}")
        return _nanoseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


class Processor:
    """A function of the rows of one key, with state and timers; see ``Stream.process``.

    ``state`` and ``output`` declare columns and types. ``per_row = True`` calls ``process`` once
    for each row, so that its answer does not depend on how epochs are cut (slow: some 30 µs a row).
    ``changes = True`` accepts rows that may be retracted: they carry ``_weight`` (+1 or -1 ...).
    """

    state: ClassVar[Mapping[str, Any]] = {}
    output: ClassVar[Mapping[str, Any]] = {}
    per_row: ClassVar[bool] = False
    changes: ClassVar[bool] = False

    def open(self) -> None:
        """Prepare, once, before the first call of a run: load a model, say."""

    def process(
        self, key: dict[str, Any], rows: pl.DataFrame, state: State, timers: Timers
    ) -> Rows:
        """Take the rows of a key in one epoch, in order; return rows of ``output``."""
        raise NotImplementedError

    def on_timer(self, key: dict[str, Any], at: datetime, state: State, timers: Timers) -> Rows:
        """Take a timer of a key that is due; return rows of ``output``."""
        raise NotImplementedError


class BatchProcessor:
    """A function of the rows of all touched keys at once: the fast form, without timers.

    It must treat each key by itself: it is called again with fewer keys when it raises.
    """

    state: ClassVar[Mapping[str, Any]] = {}
    output: ClassVar[Mapping[str, Any]] = {}
    changes: ClassVar[bool] = False

    def open(self) -> None:
        """Prepare, once, before the first call of a run."""

    def process(self, rows: pl.DataFrame, state: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Take rows in order of arrival, and keys and state, one row for each key in them.

        State of a new key is null. Returns rows of ``output``, and the new state: one row a key,
        a key that is left out is freed.
        """
        raise NotImplementedError


def as_datetime(instant: int, dtype: Any) -> datetime:
    """Return an instant as the column's type would give it: in its zone, or without one."""
    found = _EPOCH + timedelta(microseconds=instant // 1_000)
    zone = getattr(dtype, "time_zone", None)
    return found.replace(tzinfo=None) if zone is None else found.astimezone(ZoneInfo(zone))


def as_utc(instant: int) -> datetime:
    """Return an instant of the processing-time clock."""
    return _EPOCH + timedelta(microseconds=instant // 1_000)


def _nanoseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND * 1_000
