"""Names that users give to steps."""

import polars as pl
import pytest

import penstock as ps
from penstock.errors import PlanError
from penstock.lowering.graph import Graph
from penstock.lowering.table import lower
from penstock.plan.sinks import SinkNode
from penstock.testing import DrivenSink, scripted


def _base() -> ps.Stream:
    return scripted("s", {"a": pl.Int64, "b": pl.Int64, "ts": pl.Datetime("us")})


def _sums(stream: ps.Stream) -> ps.Stream:
    return stream.group_by("b").agg(pl.col("a").sum())


def _graph(*streams: ps.Stream) -> Graph:
    return lower([SinkNode(input=stream.node, spec=DrivenSink()) for stream in streams])


def _names(*streams: ps.Stream) -> list[str]:
    return [vertex.name for vertex in _graph(*streams).vertices]


def test_a_name_is_the_name_of_the_vertex() -> None:
    assert _names(_sums(_base()).named("sums")) == ["source-1", "sums", "sink-1"]


def test_a_name_after_row_wise_steps_goes_to_the_step_above_them() -> None:
    stream = _sums(_base()).filter(pl.col("a") > 1).select("a").named("sums")
    assert _names(stream) == ["source-1", "sums", "map-1", "sink-1"]


def test_of_a_chain_the_operator_that_keeps_state_has_the_name() -> None:
    windows = (
        _base()
        .with_watermark("ts", allowed_lateness="1m")
        .group_by("b", ps.tumbling("1m"))
        .agg(pl.col("a").sum())
        .named("minutes")
    )
    names = _names(windows)
    assert names[2:6] == [
        "minutes.assign-windows",
        "minutes",
        "minutes.window-end",
        "minutes.final-rows",
    ]
    assert all(vertex.named for vertex in _graph(windows).vertices[2:6])


def test_automatic_names_pass_over_given_ones() -> None:
    named = _sums(_base()).named("running-aggregate-1")
    other = _base().group_by("a").agg(pl.col("b").sum())
    names = _names(other, named)
    assert "running-aggregate-1" in names
    assert "running-aggregate-2" in names


def test_a_named_step_is_shared_with_an_equal_one_without_a_name() -> None:
    base = _base()
    plain, named = _sums(base), _sums(base).named("sums")
    for streams in [(plain, named), (named, plain)]:
        names = _names(streams[0], streams[1].filter(pl.col("a") > 1))
        assert names.count("sums") == 1
        assert not any(name.startswith("running-aggregate") for name in names)


def test_equal_steps_with_two_names_stay_apart() -> None:
    base = _base()
    names = _names(_sums(base).named("one"), _sums(base).named("two"))
    assert {"one", "two"} <= set(names)


def test_a_name_used_twice_is_refused() -> None:
    once = _sums(_base()).named("x")
    with pytest.raises(PlanError, match="two steps are named 'x'"):
        once.group_by("a").agg(pl.len()).named("x")
    other = _base().group_by("a").agg(pl.len()).named("x")
    with pytest.raises(PlanError, match="two steps are named 'x'"):
        _graph(once, other)


def test_two_names_for_one_step_are_refused() -> None:
    with pytest.raises(PlanError, match="named 'x' already"):
        _sums(_base()).named("x").named("y")


@pytest.mark.parametrize("name", ["", "1a", "a b", "a.b", "a/b", "dead-letters", "x" * 65])
def test_names_that_a_checkpoint_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(PlanError, match="cannot name a step"):
        _base().named(name)


def test_a_sink_is_named_by_its_query() -> None:
    query = _base().sink_callback(print).named("printed")
    assert [vertex.name for vertex in lower(query.roots).vertices] == ["source-1", "printed"]
    with pytest.raises(PlanError, match="several sinks"):
        ps.Query(*query.roots, *query.roots).named("both")


def test_the_plan_shows_names() -> None:
    assert " as sums  [changes" in _sums(_base()).named("sums").explain()
