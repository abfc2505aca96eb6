"""Window functions of FROM: TUMBLE, HOP and CUMULATE add ``window_start`` and ``window_end`` to rows."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from sqlglot import exp

from penstock.instants import duration_text
from penstock.sql_plan.arithmetic import interval
from penstock.sql_plan.context import Context
from penstock.sql_plan.dialect import refuse
from penstock.sql_plan.functions import scalars_over
from penstock.sql_plan.relations import Field, Relation, Scope, Windowed
from penstock.stream import Stream
from penstock.windows import END, START, Hopping, Session


def window_table(context: Context, node: exp.Anonymous, source: Relation) -> Relation:
    """Return the rows of a table once for each window they are in."""
    kind = node.name.upper()
    if kind == "SESSION":
        return _sessions(context, node, source)
    if node.args.get("partition_by"):
        raise refuse(node, f"{kind} takes no PARTITION BY", hint="GROUP BY that column")
    spans = [_micros(part, node) for part in node.expressions[2:]]
    wanted = {"TUMBLE": (1, 2), "HOP": (2, 3), "CUMULATE": (2, 3)}.get(kind)
    if wanted is None:
        raise refuse(node, f"{kind} is not supported in FROM")
    if len(spans) not in wanted:
        raise refuse(node, f"{kind} takes {wanted[0]} intervals, and an offset if wanted")
    time = Scope(source.fields).find(node.expressions[1]).column
    if not isinstance(source.dtype(time), pl.Datetime):
        raise refuse(node, f"{kind} needs a timestamp column, not {source.dtype(time)}")
    offset = spans[wanted[0]] if len(spans) == wanted[1] else 0
    start, end = (context.names(name) for name in (START, END))
    if kind == "TUMBLE":
        stream = _tumbled(source, time, spans[0], offset, start, end)
    else:
        step, size = spans[:2]
        if size % step:
            raise refuse(node, "the size must be a multiple of the slide")
        stream = _repeated(source, time, step, size, offset, start, end, growing=kind == "CUMULATE")
    fields = (*source.fields, Field(None, START, start), Field(None, END, end))
    relation = replace(source, stream=stream, fields=fields, windowed=None)
    if kind == "CUMULATE":
        return relation
    slide, length = (duration_text(span * 1000) for span in (spans[0], spans[wanted[0] - 1]))
    window = Hopping(length, slide, offset * 1000, None, time)
    return replace(relation, windowed=Windowed(stream, source.stream, window, start, end))


def _sessions(context: Context, node: exp.Anonymous, source: Relation) -> Relation:
    """Sessions are known of groups only: the columns of their ends stand for what is still to come."""
    time_node, *spans = node.expressions[1:]
    if len(spans) != 1:
        raise refuse(node, "SESSION takes a table, a column of time and the gap")
    gap = _micros(spans[0], node) * 1000
    scope = Scope(source.fields)
    time = scope.find(time_node).column
    dtype = source.dtype(time)
    if not isinstance(dtype, pl.Datetime):
        raise refuse(node, f"SESSION needs a timestamp column, not {dtype}")
    keys = tuple(scope.find(part).column for part in node.args.get("partition_by") or [])
    start, end = (context.names(name) for name in (START, END))
    stream = source.stream.with_columns(
        pl.lit(None, dtype=dtype).alias(start), pl.lit(None, dtype=dtype).alias(end)
    )
    windowed = Windowed(stream, source.stream, Session(gap, time), start, end, keys)
    fields = (*source.fields, Field(None, START, start), Field(None, END, end))
    return replace(source, stream=stream, fields=fields, windowed=windowed)


def _micros(part: exp.Expr, node: exp.Expr) -> int:
    if not isinstance(part, exp.Interval):
        raise refuse(node, "the size of a window is an INTERVAL")
    span = interval(scalars_over(pl.Schema()), part)
    if span.months or span.literal <= 0:
        raise refuse(node, "the size of a window is a fixed, positive length of time")
    return int(span.literal)


def _floor(time: str, every: int, offset: int) -> pl.Expr:
    shift = pl.duration(microseconds=offset)
    return (
        (pl.col(time) - shift).dt.truncate(f"{every}us") + shift
        if offset
        else pl.col(time).dt.truncate(f"{every}us")
    )


def _tumbled(source: Relation, time: str, size: int, offset: int, start: str, end: str) -> Stream:
    begin = _floor(time, size, offset)
    return source.stream.with_columns(
        begin.alias(start), (begin.dt.offset_by(f"{size}us")).alias(end)
    )


def _repeated(
    source: Relation,
    time: str,
    step: int,
    size: int,
    offset: int,
    start: str,
    end: str,
    *,
    growing: bool,
) -> Stream:
    """A row is in ``size / step`` windows; a list of them is made and exploded."""
    if growing:
        begin = _floor(time, size, offset)
        count = size // step
        ends = [begin.dt.offset_by(f"{step * (n + 1)}us") for n in range(count)]
        listed = pl.concat_list([pl.when(e > pl.col(time)).then(e) for e in ends]).list.drop_nulls()
        return source.stream.with_columns(begin.alias(start), listed.alias(end)).explode(end)
    last = _floor(time, step, offset)
    starts = [last.dt.offset_by(f"-{step * n}us") for n in range(size // step)]
    exploded = source.stream.with_columns(pl.concat_list(starts).alias(start)).explode(start)
    return exploded.with_columns(pl.col(start).dt.offset_by(f"{size}us").alias(end))
