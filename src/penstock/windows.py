"""Windows: group keys over an event-time column.

Each gives ``window_start`` and ``window_end`` in the type and zone of that column::

    stream.group_by("path", ps.tumbling("1m")).agg(pl.len())
    # path, window_start, window_end, len
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from penstock.errors import PlanError
from penstock.instants import (
    Duration,
    duration_ns,
    duration_text,
    interval_literal,
    is_calendar,
    positive_ns,
    unit_ns,
)

START = "window_start"
END = "window_end"


@dataclass(frozen=True, slots=True)
class Hopping:
    """Windows of ``size`` that start every ``slide``; tumbling when both are the same.

    ``size`` and ``slide`` are Polars duration strings; calendar units (``1mo``) are allowed when
    both are the same.
    """

    size: str
    slide: str
    offset_ns: int = 0
    time_zone: str | None = None
    on: str | None = None

    @property
    def kind(self) -> str:
        """The usual name of the window."""
        return "tumbling" if self.size == self.slide else "hopping"

    @property
    def size_ns(self) -> int:
        """Longest possible length in nanoseconds."""
        return _longest_ns(self.size)

    @property
    def slide_ns(self) -> int:
        """Longest possible distance of two starts in nanoseconds."""
        return _longest_ns(self.slide)

    @property
    def pane_ns(self) -> int:
        """Length of the slices that every window is a whole number of; 0 for calendar windows."""
        if is_calendar(self.size):
            return 0
        size, slide = (
            duration_ns(d, step=self.kind, option="size") for d in (self.size, self.slide)
        )
        while slide:
            size, slide = slide, size % slide
        return size

    def start_of(self, column: str, dtype: pl.DataType, every: str, back: int = 0) -> pl.Expr:
        """Return the expression that rounds the event time down to a multiple of ``every``.

        ``back`` more steps of ``every`` back, on local time where there is a time zone.
        """
        local = self._local(pl.col(column), dtype)
        if self.offset_ns:
            local = local - interval_literal(self.offset_ns, dtype)
        start = local.dt.truncate(every)
        if back:
            step = duration_ns(every, step=self.kind, option="slide")
            start = start.dt.offset_by(f"-{back * step}ns")
        if self.offset_ns:
            start = start + interval_literal(self.offset_ns, dtype)
        return self._back(start, dtype).cast(dtype)

    def end_of(self, start: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """Return the expression of the end that belongs to a start."""
        return self._back(self._local(start, dtype).dt.offset_by(self.size), dtype).cast(dtype)

    def _local(self, expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        if self.time_zone is None:
            return expr
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
            expr = expr.dt.replace_time_zone("UTC")
        return expr.dt.convert_time_zone(self.time_zone)

    def _back(self, expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        if self.time_zone is None or not isinstance(dtype, pl.Datetime):
            return expr
        if dtype.time_zone is None:
            return expr.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return expr.dt.convert_time_zone(dtype.time_zone)


@dataclass(frozen=True, slots=True)
class Sliding:
    """A window of ``size_ns`` that ends at every row: ``(t - size, t]``."""

    size_ns: int
    on: str | None = None
    kind = "sliding"


@dataclass(frozen=True, slots=True)
class Session:
    """Rows of a key with at most ``gap_ns`` between neighbours: ``[first, last + gap]``."""

    gap_ns: int
    on: str | None = None
    kind = "session"


@dataclass(frozen=True, slots=True)
class Rows:
    """Every ``count`` rows of a key, in order of arrival."""

    count: int
    on: str | None = None
    kind = "rows"


Window = Hopping | Sliding | Session | Rows


def tumbling(
    size: Duration | None = None,
    *,
    rows: int | None = None,
    offset: Duration = 0,
    time_zone: str | None = None,
    on: str | None = None,
) -> Window:
    """Cut time into windows of ``size`` that touch, or a key's rows into runs of ``rows``.

    ``offset`` moves the borders; ``time_zone`` puts them on local time (days of 23 and 25 hours
    included); ``on`` names the event-time column (the stream's own by default).

    >>> import penstock as ps
    >>> ps.tumbling("1m").kind
    'tumbling'
    """
    if (size is None) == (rows is None):
        raise PlanError("give either a size or rows=", step="tumbling", value=size)
    if rows is not None:
        if not isinstance(rows, int) or rows < 1:
            raise PlanError(f"rows must be a positive integer, not {rows!r}", step="tumbling")
        return Rows(rows, on)
    text = _size(size, step="tumbling", option="size")
    return Hopping(text, text, _offset(offset, "tumbling"), _zone(time_zone, "tumbling"), on)


def hopping(
    size: Duration,
    *,
    slide: Duration,
    offset: Duration = 0,
    time_zone: str | None = None,
    on: str | None = None,
) -> Window:
    """Windows of ``size`` that start every ``slide``; a row is in ``size / slide`` of them.

    >>> import penstock as ps
    >>> ps.hopping("10s", slide="2s").kind
    'hopping'
    """
    window = Hopping(
        _size(size, step="hopping", option="size"),
        _size(slide, step="hopping", option="slide"),
        _offset(offset, "hopping"),
        _zone(time_zone, "hopping"),
        on,
    )
    if window.kind == "hopping" and (is_calendar(window.size) or is_calendar(window.slide)):
        raise PlanError(
            "calendar units need size and slide to be the same", step="hopping", value=size
        )
    return window


def sliding(size: Duration, *, on: str | None = None) -> Window:
    """A window that ends at every row and reaches ``size`` back, the far end left out.

    >>> import penstock as ps
    >>> ps.sliding("10s").kind
    'sliding'
    """
    return Sliding(positive_ns(size, step="sliding", option="size"), on)


def session(gap: Duration, *, on: str | None = None) -> Window:
    """Rows of a key that follow each other within ``gap`` (inclusive) are one window.

    ``window_start`` is the first row's time, ``window_end`` the last one's plus ``gap``.

    >>> import penstock as ps
    >>> ps.session("30m").kind
    'session'
    """
    return Session(positive_ns(gap, step="session", option="gap"), on)


def check_unit(window: Window, dtype: pl.DataType) -> None:
    """Refuse a window finer than the unit of its column, and days of no place at local time."""
    if isinstance(window, Hopping) and window.time_zone and not isinstance(dtype, pl.Datetime):
        raise PlanError(
            f"the column is {dtype}, which has no local time",
            step=window.kind,
            hint="leave time_zone out, or cast the event-time column to Datetime",
        )
    unit = unit_ns(dtype)
    lengths = {
        "size": window.pane_ns if isinstance(window, Hopping) else 0,
        "gap": window.gap_ns if isinstance(window, Session) else 0,
        "length": window.size_ns if isinstance(window, Sliding) else 0,
    }
    for option, value in lengths.items():
        if value % unit:
            raise PlanError(
                f"{option} {duration_text(value)} is finer than the column's unit ({dtype})",
                step=window.kind,
                hint="cast the event-time column to a finer unit",
            )


def _size(value: Duration | None, *, step: str, option: str) -> str:
    if isinstance(value, str) and is_calendar(value):
        return value
    if isinstance(value, timedelta | str | int | float):
        return duration_text(positive_ns(value, step=step, option=option))
    raise PlanError(f"{option} is not a duration: {value!r}", step=step)


def _offset(value: Duration, step: str) -> int:
    return duration_ns(value, step=step, option="offset")


def _zone(name: str | None, step: str) -> str | None:
    if name is None:
        return None
    instant = pl.Series([0], dtype=pl.Datetime("us", "UTC"))
    try:
        instant.dt.convert_time_zone(name)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise PlanError(
            f"not a time zone: {name!r}",
            step=step,
            value=name,
            hint='write its name as in the IANA database, e.g. "Europe/Rome"',
        ) from error
    return name


def _longest_ns(text: str) -> int:
    if not is_calendar(text):
        return duration_ns(text, step="window", option="size")
    days = {"mo": 31, "q": 92, "y": 366}
    for unit, length in days.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * length * 86_400 * 1_000_000_000)
    raise PlanError(f"mix of calendar and fixed units: {text!r}", step="window")
