"""The pipelines whose checkpoints are kept in this folder: at least one for each kind of operator.

Do not change them: a checkpoint is only worth keeping with the pipeline that wrote it. New kinds of
operators get new pipelines, written by ``make.py``.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import chdir, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

import penstock as ps
from penstock.columns import WEIGHT
from penstock.processors import Processor, State, Timers
from penstock.query import Query
from penstock.stream import Stream
from penstock.topics import Topic

SCHEMA = pl.Schema({"id": pl.Int64(), "key": pl.String(), "at": pl.Datetime("us"), "v": pl.Int64()})
LIMIT_S = 60.0
START = datetime(2026, 1, 1)
HALF = 200
"""Rows that the checkpoint has seen; as many follow."""


def rows(begin: int, end: int) -> pl.DataFrame:
    """Make rows that differ in every column, slightly out of order in time, with null keys."""
    numbers = range(begin, end)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "key": [None if n % 11 == 0 else f"key {n * 7 % 13}" for n in numbers],
            "at": [START + timedelta(seconds=3 * n - 5 * (n % 3)) for n in numbers],
            "v": [None if n % 17 == 0 else n * 37 % 101 - 50 for n in numbers],
        },
        schema=SCHEMA,
    )


def append(folder: Path, begin: int, end: int) -> None:
    """Append rows to the input."""
    with Topic.ensure(folder / "in", partitions=1, schema=SCHEMA) as topic:
        topic.append(rows(begin, end), partition=0)


class Visits(Processor):
    """A visit of a key ends when nothing came for a minute: typed state and event-time timers."""

    state: ClassVar = {"rows": pl.Int64, "due": pl.Datetime("us")}
    output: ClassVar = {"key": pl.String, "rows": pl.Int64, "ended": pl.Datetime("us")}

    def process(self, key: Any, rows: Any, state: State, timers: Timers) -> Any:
        if state["due"] is not None:
            timers.cancel(state["due"])
        state["rows"] = state.get("rows", 0) + rows.height
        state["due"] = rows["at"].max() + timedelta(seconds=60)
        timers.at(state["due"])

    def on_timer(self, key: Any, at: datetime, state: State, timers: Timers) -> Any:
        count = state["rows"]
        state.clear()
        return {"key": key["key"], "rows": count, "ended": at}


def doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("key", twice=pl.col("n") * 2)


def timed(source: Stream) -> Stream:
    return source.with_watermark("at", "1h")


def _map(source: Stream) -> Stream:
    return source.filter(pl.col("v") > 0).with_columns(w=pl.col("v") * 2)


def _aggregate(source: Stream) -> Stream:
    return source.group_by("key").agg(
        n=pl.len(), total=pl.col("v").sum(), low=pl.col("v").min(), last=pl.col("v").last()
    )


def _counted(source: Stream) -> Stream:
    """Aggregates over a changelog, whose rows may be taken back."""
    latest = source.group_by("key").agg(v=pl.col("v").last())
    return latest.group_by("v").agg(n=pl.len(), keys=pl.col("key").n_unique())


def _window(source: Stream) -> Stream:
    windows = timed(source).group_by("key", ps.tumbling("1m"))
    return windows.agg(n=pl.len(), mean=pl.col("v").mean())


def _session(source: Stream) -> Stream:
    return timed(source).group_by("key", ps.session("45s")).agg(n=pl.len(), ids=pl.col("id").max())


def _sliding(source: Stream) -> Stream:
    return timed(source).group_by("key", ps.sliding("2m")).agg(n=pl.len(), id=pl.col("id").max())


def _rows_window(source: Stream) -> Stream:
    return source.group_by("key", ps.tumbling(rows=5)).agg(total=pl.col("v").sum())


def _join(source: Stream) -> Stream:
    others = source.filter(pl.col("id") % 10 == 0).select("key", other=pl.col("id"))
    return source.join(others, on="key", nulls_equal=True).select("id", "key", "other")


def _outer(source: Stream) -> Stream:
    left = source.group_by("key").agg(n=pl.len())
    right = source.filter(pl.col("v") > 20).group_by("key").agg(high=pl.len())
    return left.join(right, on="key", how="left")


def _asof(source: Stream) -> Stream:
    quotes = timed(source.filter(pl.col("id") % 4 == 0)).select("at", "key", quote="v")
    return timed(source).join_asof(quotes, on="at", by="key")


def _interval(source: Stream) -> Stream:
    others = timed(source.filter(pl.col("id") % 5 == 0)).select("key", there="at", other="id")
    near = pl.col("at").is_between(pl.col("there"), pl.col("there") + pl.duration(seconds=90))
    return timed(source).join_where(others, pl.col("key") == pl.col("key_right"), near)


def _distinct(source: Stream) -> Stream:
    return source.unique(["key", "v"]).select("key", "v")


def _top_k(source: Stream) -> Stream:
    return source.top_k(7, by="v")


def _over(source: Stream) -> Stream:
    return source.select("id", "key", share=pl.col("v") / pl.col("v").max().over("key"))


def _running(source: Stream) -> Stream:
    return source.select("id", "key", total=pl.col("v").cum_sum().over("key"))


def _regroup(source: Stream) -> Stream:
    return source.group_by("key").agg(median=pl.col("v").median())


def _functions(source: Stream) -> Stream:
    counts = source.group_by("key").agg(n=pl.len())
    return counts.map_batches(doubled, schema={"key": pl.String, "twice": pl.UInt32})


def _process(source: Stream) -> Stream:
    return timed(source).process(Visits, by="key")


KINDS: dict[str, Callable[[Stream], Stream]] = {
    "map": _map,
    "aggregate": _aggregate,
    "counted": _counted,
    "window": _window,
    "session": _session,
    "sliding": _sliding,
    "rows-window": _rows_window,
    "join": _join,
    "outer-join": _outer,
    "asof-join": _asof,
    "interval-join": _interval,
    "distinct": _distinct,
    "top-k": _top_k,
    "over": _over,
    "running": _running,
    "regroup": _regroup,
    "functions": _functions,
    "process": _process,
}


UPSERTS = ("aggregate", "outer-join", "regroup", "counted")
"""Kinds that are written to a table, by their first column; the others go to a topic."""


def pipeline(kind: str) -> Query:
    """Read ``in``, write ``out.db`` or ``out``; relative, so that they may lie anywhere."""
    result = KINDS[kind](ps.scan_topic("in"))
    if kind in UPSERTS:
        return result.sink_sqlite("out.db", "out", key=result.columns[0])
    return result.sink_topic("out")


def output(folder: Path) -> list[list[object]]:
    """Return what the sink holds, sorted: of a changelog the rows that were not taken back."""
    if (folder / "out.db").exists():
        with closing(sqlite3.connect(folder / "out.db")) as connection:
            found = connection.execute("select * from out").fetchall()
        return sorted(([*row] for row in found), key=repr)
    with Topic.open(folder / "out") as topic:
        parts = [topic.read(n, offset=0, max_rows=1 << 20).frame for n in range(topic.partitions)]
    frame = pl.concat(parts)
    left: Counter[tuple[object, ...]] = Counter()
    weighted = WEIGHT in frame.columns
    for row in frame.with_columns(pl.selectors.temporal().cast(pl.String)).rows():
        left[row[:-1] if weighted else row] += row[-1] if weighted else 1
    assert all(count >= 0 for count in left.values())
    return sorted(([*row] for row in left.elements()), key=repr)


def run(folder: Path, kind: str, *, checkpoint: str | None, until: int, drain: bool) -> None:
    """Run in ``folder`` until so many rows were read, then stop, or drain."""
    with chdir(folder):
        query = pipeline(kind).start(checkpoint=checkpoint)
        deadline = time.monotonic() + LIMIT_S
        while query.progress().state == "created" or query.progress().rows_in < until:
            assert time.monotonic() < deadline, query.progress()
            assert not query.wait(0.01)
        if drain:
            assert query.drain(LIMIT_S)
        else:
            query.stop()
