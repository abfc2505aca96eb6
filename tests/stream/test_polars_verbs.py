"""Verbs that Polars has: those we have give the same, the others say what to write instead."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.lazyframe.group_by import LazyGroupBy

import penstock as ps
from penstock.errors import PlanError
from penstock.stream.hints import GROUP_VERBS, VERBS

SCHEMA: dict[str, Any] = {
    "k": pl.String,
    "a": pl.Float64,
    "b": pl.Float32,
    "n": pl.Int64,
}
NAN = float("nan")
FLOATS = st.sampled_from([None, NAN, 0.0, 1.5, -2.0])
ROWS = st.lists(
    st.tuples(st.sampled_from("xy"), FLOATS, FLOATS, st.sampled_from([None, 1, 2])), max_size=6
)
BATCHES = st.lists(ROWS, min_size=1, max_size=4)

SAME: dict[str, Callable[[Any], Any]] = {
    "fill_nan": lambda s: s.fill_nan(7.0),
    "fill_nan null": lambda s: s.fill_nan(None),
    "fill_nan column": lambda s: s.fill_nan(pl.col("n")),
    "drop_nans": lambda s: s.drop_nans(),
    "drop_nans subset": lambda s: s.drop_nans(["b"]),
    "drop_nans integers": lambda s: s.drop_nans(["n"]),
    "remove": lambda s: s.remove(pl.col("n") == 1, pl.col("a") > 0),
    "remove by name": lambda s: s.remove(k="x"),
    "unpivot": lambda s: s.unpivot(["a", "n"], index="k"),
    "unpivot rest": lambda s: s.unpivot(index=["k"], variable_name="v", value_name="w"),
    "unpivot all": lambda s: s.select("a", "b").unpivot(),
    "unpivot one": lambda s: s.unpivot("a"),
    "first": lambda s: s.first(),
    "head": lambda s: s.head(3),
    "group_by quantile": lambda s: s.group_by("k").quantile(0.7),
    "group_by len named": lambda s: s.group_by("k").len("rows"),
    "group_by key": lambda s: s.group_by(n=pl.col("n").fill_null(0) % 2).max(),
}
SAME.update(
    {
        f"group_by {name}": lambda s, name=name: getattr(s.group_by("k"), name)()  # type: ignore[misc]
        for name in ("sum", "mean", "median", "min", "max", "first", "last", "n_unique", "len")
    }
)


def text(frame: pl.DataFrame) -> list[str]:
    return sorted(map(repr, frame.rows()))


@pytest.mark.parametrize("verb", SAME)
@given(batches=BATCHES)
def test_gives_what_polars_gives(verb: str, batches: list[list[Any]]) -> None:
    frames = [pl.DataFrame(batch, schema=SCHEMA, orient="row") for batch in batches]
    build = SAME[verb]
    wanted = build(pl.concat(frames).lazy()).collect()
    stream = build(ps.scan_batches(frames))
    found = stream.collect()
    assert found.schema == wanted.schema
    assert stream.collect_schema() == wanted.schema
    assert stream.lazy() is stream
    assert text(found) == text(wanted)


def test_the_rows_of_an_unpivoted_row_stay_together() -> None:
    frames = [pl.DataFrame({"k": [k], "a": [1], "b": [2.5]}) for k in "xy"]
    whole = ps.scan_batches([pl.concat(frames)]).unpivot(["a", "b"], index="k").collect()
    apart = ps.scan_batches(frames).unpivot(["a", "b"], index="k").collect()
    assert whole.rows() == apart.rows()
    assert whole.rows() == [("x", "a", 1.0), ("x", "b", 2.5), ("y", "a", 1.0), ("y", "b", 2.5)]


def test_aggregates_of_a_window_leave_its_time_out() -> None:
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame({"t": [start + timedelta(seconds=s) for s in range(90)], "v": range(90)})
    stream = ps.scan_batches([frame], event_time="t")
    found = stream.group_by(ps.tumbling("1m")).sum().collect()
    assert found.columns == ["window_start", "window_end", "v"]
    assert found["v"].to_list() == [sum(range(60)), sum(range(60, 90))]


@pytest.mark.parametrize("form", ["parquet", "csv", "ndjson", "ipc"])
def test_sinks_named_as_in_polars_write_folders(form: str, tmp_path: Path) -> None:
    stream = ps.scan_batches([pl.DataFrame({"a": [1, 2]})])
    sink = getattr(stream, f"sink_{form}")
    ps.run(sink(tmp_path / "out", roll_rows=1))
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [getattr(pl, f"read_{form}")(part)["a"].to_list() for part in parts] == [[1], [2]]
    with pytest.raises(PlanError, match="looks like a file"):
        sink(tmp_path / f"out.{form}")
    with pytest.raises(PlanError, match="no option 'rollrows'"):
        sink(tmp_path / "out", rollrows=1)


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


STATIC = {"deserialize", "from_lazyframe_resolver"}
SHOWN = {"plot", "style", "flags", "n_chunks", "rechunk", "shrink_to_fit", "get_column_index"}
CONVERTED = {"to_series", "to_init_repr", "to_jax", "to_torch", "rows_by_key", "iter_columns"}
REST = {"equals", "is_sorted", "write_clipboard"}


def test_every_verb_of_polars_is_there_or_has_a_hint() -> None:
    ours = public(ps.Stream)
    assert public(pl.LazyFrame) - ours - set(VERBS) == STATIC
    assert public(pl.DataFrame) - ours - set(VERBS) - STATIC == SHOWN | CONVERTED | REST
    assert not ours & set(VERBS), "a hint for a verb that is there"
    groups = public(ps.GroupBy)
    assert public(LazyGroupBy) - groups <= set(GROUP_VERBS)
    assert not groups & set(GROUP_VERBS)


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("group_by_dynamic", r'group_by\(ps.tumbling\("1m"\)\)'),
        ("write_parquet", r"sink_parquet\(folder\)"),
        ("melt", "unpivot"),
        ("shift", "with_columns"),
        ("with_colums", "did you mean 'with_columns'"),
    ],
)
def test_a_missing_verb_says_what_to_write(verb: str, says: str) -> None:
    stream = ps.scan_batches([pl.DataFrame({"a": [1]})])
    with pytest.raises(PlanError, match=says):
        getattr(stream, verb)
    assert not hasattr(stream, verb)
    with pytest.raises(AttributeError, match=verb):
        getattr(stream.group_by("a"), verb)


def test_a_missing_verb_of_a_group_says_what_to_write() -> None:
    groups = ps.scan_batches([pl.DataFrame({"a": [1]})]).group_by("a")
    with pytest.raises(PlanError, match=r"\.process\(processor"):
        groups.map_groups(print)


def test_protocols_that_look_for_methods_find_none() -> None:
    stream = ps.scan_batches([pl.DataFrame({"a": [1]})])
    assert copy.copy(stream).collect().rows() == [(1,)]
    assert not hasattr(stream, "__array__")
