"""Window functions of FROM: TUMBLE, HOP and CUMULATE add ``window_start`` and ``window_end`` to rows."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.instants import NS_PER_SECOND, duration_text, interval_literal
from penstock.plan.bounds import longest_ns
from penstock.plan.in_windows import InWindows
from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Field, Relation, Scope, Windowed
from penstock.stream import Stream
from penstock.windows import END, START, Hopping, Session

WINDOW_TIME = "window_time"
"""Flink's name of the last instant of a window, by which windows of windows are made."""

WINDOW_TIME_NS = NS_PER_SECOND // 1000


def window_table(context: Context, node: exp.Anonymous, source: Relation) -> Relation:
    """Return the rows of a table once for each window they are in.

    ``window_time``, the last millisecond of the window, can be named as well.
    """
    kind = node.name.upper()
    if kind == "SESSION":
        return _sessions(context, node, source)
    if node.args.get("partition_by"):
        raise refuse(node, f"{kind} takes no PARTITION BY", hint="GROUP BY that column")
    wanted = {"TUMBLE": (1, 2), "HOP": (2, 3), "CUMULATE": (2, 3)}.get(kind)
    if wanted is None:
        raise refuse(node, f"{kind} is not supported in FROM")
    parts = node.expressions[2:]
    spans = [_micros(part, node, offset=at == wanted[0]) for at, part in enumerate(parts)]
    if len(spans) not in wanted:
        raise refuse(node, f"{kind} takes {wanted[0]} intervals, and an offset if wanted")
    time = _time_of(node, source)
    size, slide = spans[wanted[0] - 1], spans[0]
    if size % slide:
        raise refuse(node, "the size must be a multiple of the slide")
    offset = spans[wanted[0]] * 1000 if len(spans) == wanted[1] else 0
    text, step = (duration_text(span * 1000) for span in (size, slide))
    names = _Names(context, source, time)
    if kind == "CUMULATE":
        whole = Hopping(text, text, offset, None, time)
        return _with_windows(source, names, _cumulated(names, whole, source, slide, size))
    window = Hopping(text, step, offset, None, time)
    stream = _tumbled(names, window, source) if size == slide else _hopped(names, window, source)
    relation = _with_windows(source, names, stream)
    before = source.stream
    return replace(relation, windowed=Windowed(relation.stream, before, window, *names.marks))


class _Names:
    """The new columns of a window, and the column of time they are made from."""

    def __init__(self, context: Context, source: Relation, time: str) -> None:
        dtype = source.dtype(time)
        assert isinstance(dtype, pl.Datetime), "windows are over times"
        self.time, self.dtype = time, dtype
        self.start, self.end = context.names(START), context.names(END)
        self.last = context.names(WINDOW_TIME)

    @property
    def marks(self) -> tuple[str, str, str]:
        """Start, end and last instant."""
        return self.start, self.end, self.last


def _time_of(node: exp.Anonymous, source: Relation) -> str:
    time = Scope(source.fields).find(node.expressions[1]).column
    if not isinstance(source.dtype(time), pl.Datetime):
        raise refuse(node, f"{node.name} needs a timestamp column, not {source.dtype(time)}")
    return time


def _with_windows(source: Relation, names: _Names, stream: Stream) -> Relation:
    last = pl.col(names.end) - interval_literal(WINDOW_TIME_NS, names.dtype)
    fields = (
        *source.fields,
        Field(None, START, names.start),
        Field(None, END, names.end),
        Field(None, WINDOW_TIME, names.last, hidden=True),
    )
    stream = stream.with_columns(last.alias(names.last))
    return replace(source, stream=stream, fields=fields, windowed=None)


def _sessions(context: Context, node: exp.Anonymous, source: Relation) -> Relation:
    """Sessions are known of groups only: the columns of their ends stand for what is still to come."""
    if len(node.expressions) != 3:
        raise refuse(node, "SESSION takes a table, a column of time and the gap")
    gap = _micros(node.expressions[2], node) * 1000
    names = _Names(context, source, _time_of(node, source))
    scope = Scope(source.fields)
    keys = tuple(scope.find(part).column for part in node.args.get("partition_by") or [])
    none = pl.lit(None, dtype=names.dtype)
    stream = source.stream.with_columns(none.alias(names.start), none.alias(names.end))
    relation = _with_windows(source, names, stream)
    window = Session(gap, names.time)
    windowed = Windowed(relation.stream, source.stream, window, *names.marks, keys=keys)
    return replace(relation, windowed=windowed)


def _micros(part: exp.Expr, node: exp.Expr, *, offset: bool = False) -> int:
    """Return the length of an interval; an offset may also be none, or back."""
    if not isinstance(part, exp.Interval):
        raise refuse(node, "the size of a window is an INTERVAL")
    span = interval(scalars_over(pl.Schema()), part)
    if span.months or (span.literal <= 0 and not offset):
        raise refuse(node, "the size of a window is a fixed, positive length of time")
    return int(span.literal)


def _tumbled(names: _Names, window: Hopping, source: Relation) -> Stream:
    start = window.start_of(names.time, names.dtype, window.slide)
    end = window.end_of(start, names.dtype)
    found = source.stream.with_columns(start.alias(names.start), end.alias(names.end))
    return _ending_after(found, names, window)


def _hopped(names: _Names, window: Hopping, source: Relation) -> Stream:
    """A row is in ``size / slide`` windows; a list of their starts is made and exploded."""
    count = window.size_ns // window.slide_ns
    starts = [window.start_of(names.time, names.dtype, window.slide, back) for back in range(count)]
    listed = source.stream.with_columns(pl.concat_list(starts).alias(names.start))
    exploded = listed.explode(names.start)
    end = window.end_of(pl.col(names.start), names.dtype)
    found = exploded.with_columns(end.alias(names.end))
    if names.dtype.time_zone not in (None, "UTC"):  # a window across a change of the clocks
        found = found.filter(pl.col(names.end) > pl.col(names.time))
    return _ending_after(found, names, window)


def _cumulated(names: _Names, whole: Hopping, source: Relation, step: int, size: int) -> Stream:
    """Windows that begin together and grow by a step; a row is in those that end after it."""
    start = whole.start_of(names.time, names.dtype, whole.slide)
    ends = [start.dt.offset_by(f"{step * (n + 1)}us") for n in range(size // step)]
    listed = pl.concat_list([pl.when(end > pl.col(names.time)).then(end) for end in ends])
    found = source.stream.with_columns(
        start.alias(names.start), listed.list.drop_nulls().alias(names.end)
    )
    return _ending_after(found.explode(names.end), names, whole)


def _ending_after(stream: Stream, names: _Names, window: Hopping) -> Stream:
    """Say how windows lie to the times of their rows, so that the watermark closes them."""
    size_ns = longest_ns(window, names.dtype)
    return Stream(
        InWindows(
            input=stream.node, start=names.start, end=names.end, time=names.time, size_ns=size_ns
        )
    )
