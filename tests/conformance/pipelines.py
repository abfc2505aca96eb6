"""A pipeline for every operator, each with the query over all rows so far that it must agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import polars as pl

import penstock as ps
from penstock.plan.arrivals import ArrivalTime
from penstock.stream import Stream
from penstock.testing import Compare, Input, scripted

PLAIN = Input({"k": pl.String, "n": pl.Int64})
CHANGING = Input({"k": pl.String, "n": pl.Int64}, changelog=True)
FLOATS = Input({"k": pl.String, "x": pl.Float64}, changelog=True)
TIMED = Input(
    {"k": pl.String, "n": pl.Int64, "ts": pl.Datetime("us")},
    values={"k": ["a", "b"]},
    time="ts",
    disorder=timedelta(seconds=3),
)


SUM = pl.col("n").sum()
AT_END = {"compare": Compare.AT_END}


@dataclass(frozen=True)
class Case:
    """A pipeline, the query it must agree with, and the rows."""

    inputs: dict[str, Input]
    pipeline: Callable[..., Stream]
    oracle: Callable[..., Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def stream(self) -> Stream:
        """The pipeline over sources that a test drives."""
        inputs = self.inputs.items()
        return self.pipeline(*(scripted(n, i.sourced, changelog=i.changelog) for n, i in inputs))


def same(inputs: dict[str, Input], both: Callable[..., Any], **facts: Any) -> Case:
    """A pipeline that is written alike for streams and frames."""
    return Case(inputs, both, both, facts)


def timed(stream: Stream) -> Stream:
    return stream.with_watermark("ts", "3s", idle_timeout=None, max_ahead=None)


def tumbled(rows: pl.DataFrame) -> pl.DataFrame:
    start = pl.col("ts").dt.truncate("10s")
    return rows.group_by("k", window_start=start, window_end=start + pl.duration(seconds=10)).agg(
        pl.col("n").sum()
    )


def hopped(rows: pl.DataFrame) -> pl.DataFrame:
    """Each row is in two windows of 10 s."""
    last = pl.col("ts").dt.truncate("5s")
    both = [rows.with_columns(window_start=last - pl.duration(seconds=s)) for s in (0, 5)]
    found = pl.concat(both).group_by("k", "window_start").agg(f=pl.col("n").median())
    return found.with_columns(window_end=pl.col("window_start") + pl.duration(seconds=10))


def near(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    ahead = (pl.col("ts_right") - pl.col("ts")).dt.total_microseconds()
    return a.join(b, on="k").filter((ahead >= -2_000_000) & (ahead <= 2_000_000))


def near_some(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    numbered = a.with_row_index("row")
    return a[near(numbered, b)["row"].unique().sort()]


def one_more(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(m=pl.col("n") + 1)


class Total(ps.Processor):
    """Adds up the rows of a key, one result for each row."""

    state = {"total": pl.Int64}
    output = {"k": pl.String, "n": pl.Int64, "total": pl.Int64}

    def process(self, key: Any, rows: pl.DataFrame, state: Any, timers: Any) -> pl.DataFrame:
        before = state["total"] or 0
        out = rows.select("k", "n", total=pl.col("n").fill_null(0).cum_sum() + before)
        state["total"] = out["total"][-1]
        return out


class Totals(ps.BatchProcessor):
    """The same for all touched keys at once."""

    state = {"total": pl.Int64}
    output = {"k": pl.String, "n": pl.Int64, "total": pl.Int64}

    def process(self, rows: pl.DataFrame, state: pl.DataFrame) -> Any:
        before = rows.join(state, on="k", how="left", nulls_equal=True, maintain_order="left")
        sums = pl.col("n").fill_null(0).cum_sum().over("k")
        out = before.select("k", "n", total=sums + pl.col("total").fill_null(0))
        return out, out.group_by("k").agg(pl.col("total").last())


def running_total(s: pl.DataFrame) -> pl.DataFrame:
    return s.select("k", "n", total=pl.col("n").fill_null(0).cum_sum().over("k"))


def sessions(rows: pl.DataFrame, agg: pl.Expr = SUM) -> pl.DataFrame:
    """Sessions of each key, a row more than 2 s after the one before it begins one."""
    gap = pl.duration(seconds=2)
    begins = (pl.col("ts").diff() > gap).fill_null(value=True).cum_sum()
    number = rows.sort("ts").with_columns(number=begins.over("k"))
    return number.group_by("k", "number").agg(
        window_start=pl.col("ts").min(), window_end=pl.col("ts").max() + gap, n=agg
    )


def slides(rows: pl.DataFrame) -> pl.DataFrame:
    """For each row the rows up to 2 s before it."""
    each = rows.select("k", at="ts").with_row_index("number")
    behind = (pl.col("at") - pl.col("ts")).dt.total_microseconds()
    found = each.join(rows, on="k").filter((behind >= 0) & (behind < 2_000_000))
    size = pl.duration(seconds=2)
    return (
        found.group_by("number", "k", "at")
        .agg(pl.col("n").sum())
        .select("k", "n", window_start=pl.col("at") - size, window_end="at")
    )


def pairs(rows: pl.DataFrame) -> pl.DataFrame:
    """Every second row of a key closes a window of two."""
    at = pl.int_range(pl.len()).over("k")
    numbered = rows.with_columns(window_start=at // 2 * 2)
    found = numbered.group_by("k", "window_start").agg(pl.col("n").sum(), size=pl.len())
    return found.with_columns(window_end=pl.col("window_start") + pl.col("size")).drop("size")


def as_of(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """The latest earlier row of the other side; of equal times the last to arrive."""
    return a.sort("ts").join_asof(b.sort("ts", maintain_order=True), on="ts", by="k")


CASES: dict[str, Case] = {
    "arrivals": Case(
        {"a": PLAIN},
        lambda a: (
            Stream(ArrivalTime(input=a.node, column="at"))
            .filter(pl.col("at").is_not_null())
            .drop("at")
        ),
        lambda a: a,
    ),
    "map": same(
        {"s": CHANGING}, lambda s: s.filter(pl.col("n") > 0).with_columns(m=pl.col("n") * 2)
    ),
    "aggregate": same(
        {"s": PLAIN},
        lambda s: s.group_by("k").agg(pl.col("n").sum(), c=pl.len(), f=pl.col("n").first()),
    ),
    "aggregate changes": same(
        {"s": CHANGING},
        lambda s: s.group_by("k").agg(
            pl.col("n").sum(), lo=pl.col("n").min(), d=pl.col("n").n_unique(), c=pl.len()
        ),
    ),
    "guarded": Case(
        {
            "s": Input(
                {"k": pl.String, "t": pl.String}, {"t": ["1", "20", "x", None]}, changelog=True
            )
        },
        lambda s: s.group_by("k").agg(pl.col("t").str.to_integer().sum()),
        lambda s: (
            s.filter(pl.col("t").ne_missing("x"))
            .group_by("k")
            .agg(pl.col("t").str.to_integer().sum())
        ),
    ),
    "exact sums": same(
        {"s": FLOATS}, lambda s: s.group_by("k").agg(pl.col("x").sum(), m=pl.col("x").mean())
    ),
    "recompute": same({"s": CHANGING}, lambda s: s.group_by("k").agg(pl.col("n").median())),
    "over": same({"s": CHANGING}, lambda s: s.with_columns(t=pl.col("n").sum().over("k"))),
    "running": Case(
        {"s": PLAIN},
        lambda s: s.with_columns(t=pl.col("n").fill_null(0).cum_sum().over("k")),
        lambda s: s.with_columns(t=pl.col("n").fill_null(0).cum_sum().over("k")),
    ),
    "distinct": same({"s": PLAIN}, lambda s: s.unique()),
    "distinct changes": same({"s": CHANGING}, lambda s: s.unique()),
    "the only ones": same({"s": CHANGING}, lambda s: s.unique(keep="none")),
    "first of each": Case(
        {"s": PLAIN},
        lambda s: s.unique("k", keep="first"),
        lambda s: s.unique("k", keep="first", maintain_order=True),
    ),
    "latest of each": Case(
        {"s": PLAIN},
        lambda s: s.unique("k", keep="last"),
        lambda s: s.unique("k", keep="last", maintain_order=True),
    ),
    "top": Case(
        {"s": CHANGING},
        lambda s: s.top_k(2, by=["n", "k"]),
        lambda s: s.sort("n", "k", descending=True, nulls_last=True).head(2),
    ),
    "top of added rows": Case(
        {"s": PLAIN},
        lambda s: s.top_k(2, by=["n", "k"]),
        lambda s: s.sort("n", "k", descending=True, nulls_last=True).head(2),
    ),
    "top of each": Case(
        {"s": CHANGING},
        lambda s: s.top_k(1, by="n", group_by="k"),
        lambda s: s.sort("n", descending=True, nulls_last=True).group_by("k").head(1),
    ),
    "limit": same({"s": PLAIN}, lambda s: s.limit(3) if isinstance(s, Stream) else s.head(3)),
    "sort": Case({"s": PLAIN}, lambda s: s.sort("n", "k"), lambda s: s, AT_END),
    "union": same(
        {"a": PLAIN, "b": PLAIN}, lambda a, b: (ps if isinstance(a, Stream) else pl).concat([a, b])
    ),
    "final": Case(
        {"s": PLAIN},
        lambda s: s.group_by("k").agg(pl.col("n").sum()).emit("final"),
        lambda s: s.group_by("k").agg(pl.col("n").sum()),
        AT_END,
    ),
    "windows": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.tumbling("10s")).agg(pl.col("n").sum()),
        tumbled,
        {**AT_END, "most_state_rows": 40},
    ),
    "windows as changes": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.tumbling("10s")).agg(pl.col("n").sum()).emit("changes"),
        tumbled,
    ),
    "windows of first and last": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.hopping("10s", slide="5s")).agg(f=pl.col("n").median()),
        hopped,
        AT_END,
    ),
    "sessions": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.session("2s")).agg(pl.col("n").sum()),
        sessions,
        {**AT_END, "most_state_rows": 60},
    ),
    "sessions of rows": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.session("2s")).agg(n=pl.col("n").median()),
        lambda s: sessions(s, pl.col("n").median()),
        AT_END,
    ),
    "sliding": Case(
        {"s": TIMED},
        lambda s: timed(s).group_by("k", ps.sliding("2s")).agg(pl.col("n").sum()),
        slides,
        {**AT_END, "most_state_rows": 60},
    ),
    "windows of two rows": Case(
        {"s": PLAIN},
        lambda s: s.group_by("k", ps.tumbling(rows=2)).agg(pl.col("n").sum()),
        pairs,
        AT_END,
    ),
    "asof join": Case(
        {"a": TIMED, "b": TIMED},
        lambda a, b: timed(a).join_asof(timed(b), on="ts", by="k"),
        as_of,
        {**AT_END, "most_state_rows": 60},
    ),
    "function": Case(
        {"s": PLAIN},
        lambda s: s.map_batches(
            lambda frame: frame.with_columns(m=pl.col("n") + 1), {**PLAIN.schema, "m": pl.Int64}
        ),
        one_more,
    ),
    "function of changes": Case(
        {"s": CHANGING},
        lambda s: s.map_batches(
            lambda frame: frame.with_columns(m=pl.col("n") + 1), {**PLAIN.schema, "m": pl.Int64}
        ),
        one_more,
    ),
    "processor": Case({"s": PLAIN}, lambda s: s.process(Total, by="k"), running_total),
    "batch processor": Case({"s": PLAIN}, lambda s: s.process(Totals, by="k"), running_total),
    "near": Case(
        {"a": TIMED, "b": TIMED},
        lambda a, b: timed(a).join_interval(
            timed(b), on="k", left_time="ts", right_time="ts", lower="-2s", upper="2s"
        ),
        near,
        {"most_state_rows": 80},
    ),
    "near some": Case(
        {"a": TIMED, "b": TIMED},
        lambda a, b: timed(a).join_interval(
            timed(b), on="k", how="semi", left_time="ts", right_time="ts", lower="-2s", upper="2s"
        ),
        near_some,
        {**AT_END, "most_state_rows": 120},
    ),
    **{
        f"{how} join": same(
            {"a": CHANGING, "b": Input({"k": pl.String, "m": pl.Int64}, changelog=True)},
            lambda a, b, how=how: a.join(b, on="k", how=how),
        )
        for how in ("inner", "left", "right", "full", "semi", "anti")
    },
}
