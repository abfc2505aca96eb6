"""One row on which a step fails: it alone is refused, whatever the step, on any cut into epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock as ps
from penstock.columns import WEIGHT
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.runtime.executor import Executor, Fed, SourceState
from penstock.stream import Stream
from penstock.testing import DrivenSink, Epoch, integrate, scripted
from tests.operators.histories import SIGN, changing

SCHEMA: dict[str, Any] = {"k": pl.String, "v": pl.String, "t": pl.Datetime("us")}
OTHER: dict[str, Any] = {"k": pl.String, "w": pl.Int64}
START = datetime(2024, 1, 1)
POISON = "poison"

Row = tuple[str, str, datetime]
Build = Callable[[Stream, Stream], Stream]

NUMBER = pl.col("v").str.to_integer()


def double(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("k", n=NUMBER * 2)


class Sums(ps.Processor):
    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "total": pl.Int64}

    def process(self, key: Any, rows: pl.DataFrame, state: ps.State, timers: Any) -> Any:
        found = []
        for value in rows["v"]:
            state["total"] = (state["total"] or 0) + int(value)
            found.append({"k": key["k"], "total": state["total"]})
        return found


class BatchSums(ps.BatchProcessor):
    state: ClassVar = {"total": pl.Int64}
    output: ClassVar = {"k": pl.String, "n": pl.Int64}

    def process(self, rows: pl.DataFrame, state: pl.DataFrame) -> Any:
        rows = rows.with_columns(n=NUMBER)
        added = rows.group_by("k").agg(more=pl.col("n").sum())
        total = (pl.col("total").fill_null(0) + pl.col("more")).alias("total")
        return rows.select("k", "n"), state.join(added, on="k").with_columns(total).drop("more")


def timed(s: Stream) -> Stream:
    return s.with_watermark("t", lateness="1h", max_ahead=None)


ANY: dict[str, tuple[str, Build]] = {
    "select": ("select", lambda s, _: s.select("k", n=NUMBER)),
    "with_columns": ("with_columns", lambda s, _: s.with_columns(n=pl.col("v").cast(pl.Int64))),
    "filter": ("filter", lambda s, _: s.filter(NUMBER > 2)),
    "map_batches": (
        "map_batches",
        lambda s, _: s.map_batches(double, {"k": pl.String, "n": pl.Int64}),
    ),
    "map_rows": (
        "map_rows",
        lambda s, _: s.map_rows(lambda row: {"n": int(row["v"])}, {"n": pl.Int64}),
    ),
    "group_by": ("group_by", lambda s, _: s.group_by("k").agg(n=NUMBER.sum())),
    "group_by counted": ("group_by", lambda s, _: s.group_by("k").agg(n=NUMBER.n_unique())),
    "group_by extreme": ("group_by", lambda s, _: s.group_by("k").agg(n=NUMBER.max())),
    "group_by recomputed": ("group_by", lambda s, _: s.group_by("k").agg(n=NUMBER.median())),
    "group_by filtered": (
        "group_by",
        lambda s, _: s.group_by("k").agg(
            n=pl.col("v").filter(pl.col("v") != "1").cast(pl.Int8).sum()
        ),
    ),
    "group_by key": ("group_by", lambda s, _: s.group_by(n=NUMBER % 3).agg(pl.len())),
    "aggregate all": ("select", lambda s, _: s.select(n=NUMBER.sum())),
    "running windows": (
        "group_by",
        lambda s, _: s.group_by("k", ps.tumbling("2m", on="t")).agg(n=NUMBER.sum()),
    ),
    "running sessions": (
        "group_by",
        lambda s, _: s.group_by("k", ps.session("90s", on="t")).agg(n=NUMBER.sum()),
    ),
    "over": ("with_columns", lambda s, _: s.with_columns(n=NUMBER.sum().over("k"))),
    "over rank": ("with_columns", lambda s, _: s.with_columns(n=NUMBER.rank("dense").over("k"))),
    "over filter": ("filter", lambda s, _: s.filter(NUMBER.max() == NUMBER)),
    "top_k": ("top_k", lambda s, _: s.top_k(2, by=NUMBER, group_by="k")),
    "sort": ("sort", lambda s, _: s.sort(NUMBER)),
    "join": ("join", lambda s, o: s.join(o, left_on=NUMBER, right_on="w")),
    "join right side": ("join", lambda s, o: o.join(s, left_on="w", right_on=NUMBER)),
    "outer join": ("join", lambda s, o: s.join(o, left_on=NUMBER, right_on="w", how="full")),
    "anti join": ("join", lambda s, o: s.join(o, left_on=NUMBER, right_on="w", how="anti")),
    "join_where": ("join", lambda s, o: s.join_where(o, pl.col("w") > NUMBER)),
    "join_where right side": ("join", lambda s, o: o.join_where(s, pl.col("w") > NUMBER)),
}
"""Steps over append-only rows and over changes: name of the step in dead letters, and how to build it."""

APPENDED: dict[str, tuple[str, Build]] = {
    "windows": (
        "group_by",
        lambda s, _: timed(s).group_by("k", ps.tumbling("2m")).agg(n=NUMBER.sum()),
    ),
    "window key": (
        "group_by",
        lambda s, _: timed(s).group_by(ps.hopping("2m", slide="1m"), n=NUMBER % 3).agg(pl.len()),
    ),
    "sessions": (
        "group_by",
        lambda s, _: timed(s).group_by("k", ps.session("90s")).agg(n=NUMBER.median()),
    ),
    "sliding": (
        "group_by",
        lambda s, _: timed(s).group_by("k", ps.sliding("2m")).agg(n=NUMBER.sum()),
    ),
    "rows": ("group_by", lambda s, _: s.group_by("k", ps.tumbling(rows=2)).agg(n=NUMBER.sum())),
    "running": ("with_columns", lambda s, _: s.with_columns(n=NUMBER.cum_sum().over("k"))),
    "guessed format": (
        "with_columns",
        lambda s, _: s.with_columns(n=pl.format("2024-01-0{}", "v").str.to_date()),
    ),
    "whole group": (
        "group_by",
        lambda s, _: s.group_by("k").agg(
            n=pl.col("v").map_batches(total, return_dtype=pl.Int64, returns_scalar=True)
        ),
    ),
    "process": ("Sums", lambda s, _: s.process(Sums, by="k")),
    "process batches": ("BatchSums", lambda s, _: s.process(BatchSums, by="k")),
}
"""Steps that take append-only rows only, or fail on a whole group."""


def total(values: pl.Series) -> int:
    return sum(int(value) for value in values)


ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("123456"), st.integers(0, 600)),
    min_size=1,
    max_size=8,
)


def outcome(stream: Stream, epochs: Iterable[Epoch]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Run epochs; return the contents at the end and all dead letters."""
    executor = Executor(lower([SinkNode(input=stream.node, spec=DrivenSink())]))
    names = {v.source.name: v.number for v in executor.graph.sources if v.source is not None}
    sink = executor.graph.sinks[0].number
    deltas, dead, ended = [], [], set[str]()
    for number, epoch in enumerate(epochs):
        ended |= epoch.ended
        fed = {names[str(n)]: Fed([(0, f)], None, []) for n, f in epoch.rows.items() if n in names}
        sources = {at: SourceState((0,), ended=n in ended) for n, at in names.items()}
        found = executor.run(number + 1, fed, sources, epoch.now)
        deltas.append(found.sinks.get(sink))
        dead += found.dead
    letters = pl.concat(dead) if dead else pl.DataFrame(schema={"weight": pl.Int64})
    return integrate(stream, deltas), letters


def epochs_of(batches: Sequence[pl.DataFrame]) -> list[Epoch]:
    """Put rows into epochs; the other input comes with the first, both end with the last."""
    other = pl.DataFrame({"k": ["a", "b"], "w": [3, 4]}, schema=OTHER)
    first = Epoch({"other": other})
    rows = [Epoch({"rows": batch}) for batch in batches if batch.height]
    return [first, *rows, Epoch(ended=frozenset({"rows", "other"}))]


def contents(stream: Stream, frame: pl.DataFrame) -> list[Any]:
    return sorted(map(repr, frame.select(*stream.schema, WEIGHT).rows()))


def check(
    build: Build, step: str, batches: list[list[tuple[Row, int]]], *, changelog: bool
) -> None:
    """Hold the run with the poison row against the run without it."""
    schema = {**SCHEMA, SIGN: pl.Int64} if changelog else SCHEMA
    made = changing("rows", SCHEMA) if changelog else scripted("rows", SCHEMA)
    stream = build(made, scripted("other", OTHER))
    whole = [
        pl.DataFrame([(*r, s) if changelog else r for r, s in b], schema=schema, orient="row")
        for b in batches
    ]
    found, dead = outcome(stream, epochs_of(whole))
    clean = [frame.filter(pl.col("v") != POISON) for frame in whole]
    wanted, none = outcome(stream, epochs_of(clean))
    assert not none.height
    assert contents(stream, found) == contents(stream, wanted)
    signs = [s for b in batches for (_, v, _), s in b if v == POISON]
    assert sorted(dead["weight"].to_list()) == sorted(signs)
    for letter in dead.rows(named=True):
        assert letter["step"] == step
        assert POISON.encode() in letter["bytes"]
        assert letter["row"] is not None
        assert letter["reason"]


def batched(draw: st.DrawFn, rows: list[Any]) -> list[list[Any]]:
    """Cut rows into epochs."""
    cuts = sorted(draw(st.sets(st.integers(1, max(len(rows) - 1, 1)), max_size=3)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


@st.composite
def appended(draw: st.DrawFn) -> list[list[tuple[Row, int]]]:
    """Rows in epochs, one of them poison."""
    rows = [(k, v, START + timedelta(seconds=s)) for k, v, s in draw(ROWS)]
    at = draw(st.integers(0, len(rows)))
    rows.insert(at, ("a", POISON, START + timedelta(seconds=draw(st.integers(0, 600)))))
    return batched(draw, [(row, 1) for row in rows])


@st.composite
def changed(draw: st.DrawFn) -> list[list[tuple[Row, int]]]:
    """Insertions with one of poison, then some deletions, perhaps of it."""
    inserts = [row for batch in draw(appended()) for row, _ in batch]
    gone = draw(st.sets(st.sampled_from(range(len(inserts)))))
    deletions = [(inserts[i], -1) for i in sorted(gone)]
    first = batched(draw, [(row, 1) for row in inserts])
    return [*first, *batched(draw, deletions)] if deletions else first


@pytest.mark.parametrize("verb", [*ANY, *APPENDED])
@given(batches=appended())
@settings(max_examples=10)
def test_one_poison_row_among_rows(verb: str, batches: list[list[tuple[Row, int]]]) -> None:
    step, build = {**ANY, **APPENDED}[verb]
    check(build, step, batches, changelog=False)


@pytest.mark.parametrize("verb", [*ANY])
@given(batches=changed())
@settings(max_examples=10)
def test_one_poison_row_among_changes(verb: str, batches: list[list[tuple[Row, int]]]) -> None:
    step, build = ANY[verb]
    check(build, step, batches, changelog=True)


def test_a_pair_that_fails_is_refused_and_its_rows_are_not() -> None:
    rows, other = scripted("rows", SCHEMA), scripted("other", OTHER)
    date = pl.format("2024-01-{}", pl.col("v") + pl.col("k_right")).str.to_date("%Y-%m-%d")
    stream = rows.join_where(other, date.is_not_null())
    frame = pl.DataFrame({"k": ["x"] * 2, "v": ["1", "3"], "t": [START] * 2}, schema=SCHEMA)
    right = pl.DataFrame({"k": ["0", "9"], "w": [1, 2]}, schema=OTHER)
    epochs = [Epoch({"rows": frame}), Epoch({"other": right}, ended=frozenset({"rows", "other"}))]
    found, dead = outcome(stream, epochs)
    assert sorted(found.select("v", "k_right").rows()) == [("1", "0"), ("1", "9"), ("3", "0")]
    assert dead.select("step", "row").rows() == [("join_where", None)]
    assert b'"k_right":"9"' in dead["bytes"][0]


def test_a_row_in_another_format_than_the_first_is_refused() -> None:
    stream = scripted("rows", {"v": pl.String}).with_columns(d=pl.col("v").str.to_date())
    batches = [["2024-01-31"], ["2024-02-28", "31.01.2024"], ["2024-03-31"]]
    epochs = [Epoch({"rows": pl.DataFrame({"v": batch})}) for batch in batches]
    found, dead = outcome(stream, [*epochs, Epoch(ended=frozenset({"rows"}))])
    assert sorted(found["v"]) == ["2024-01-31", "2024-02-28", "2024-03-31"]
    assert dead.select("step", "bytes").rows() == [("with_columns", b'{"v":"31.01.2024"}')]
