"""Common steps of several queries become one."""

import polars as pl

import penstock as ps
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.testing import DrivenSink, scripted


def _kinds(*streams: ps.Stream) -> list[str]:
    graph = lower([SinkNode(input=stream.node, spec=DrivenSink()) for stream in streams])
    return [vertex.kind for vertex in graph.vertices]


def test_equal_steps_over_one_source_run_once() -> None:
    base = scripted("s", {"a": pl.Int64, "b": pl.Int64})
    one = base.filter(pl.col("a") > 1).group_by("b").agg(pl.col("a").sum())
    two = base.filter(pl.col("a") > 1).group_by("b").agg(pl.col("a").sum()).filter(pl.col("b") > 2)
    kinds = _kinds(one, two)
    assert kinds.count("source") == 1
    assert kinds.count("running-aggregate") == 1
    assert kinds.count("sink") == 2


def test_steps_that_differ_stay_apart() -> None:
    base = scripted("s", {"a": pl.Int64, "b": pl.Int64})
    kinds = _kinds(
        base.group_by("b").agg(pl.col("a").sum()), base.group_by("b").agg(pl.col("a").max())
    )
    assert kinds.count("running-aggregate") == 2


def test_equal_source_specifications_are_read_once() -> None:
    streams = [ps.scan_rate(100, total=5).select("offset") for _ in range(2)]
    kinds = _kinds(*streams)
    assert kinds.count("source") == 1
    assert kinds.count("map") == 1


def test_functions_are_shared_by_identity_only() -> None:
    base = scripted("s", {"a": pl.Int64})
    double = base.map_rows(lambda row: {"a": row["a"] * 2}, {"a": pl.Int64})
    other = base.map_rows(lambda row: {"a": row["a"] * 2}, {"a": pl.Int64})
    assert len(_kinds(double, double)) < len(_kinds(double, other))


def test_what_a_remembered_step_reads_is_shared_too() -> None:
    base = scripted("s", {"a": pl.Int64, "b": pl.Int64})

    def sums() -> ps.Stream:
        return base.filter(pl.col("a") > 1).group_by("b").agg(pl.col("a").sum())

    guess = pl.col("a").map_elements(lambda a: a, return_dtype=pl.Int64)
    kinds = _kinds(sums(), sums().with_columns(guess))
    assert kinds.count("remembered-function") == 1
    assert kinds.count("running-aggregate") == 1
