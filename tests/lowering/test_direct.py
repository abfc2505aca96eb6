"""Row steps computed on columns, against the same steps as one Polars query: equal to the last bit."""

from __future__ import annotations

import struct
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.columns import PARTITION, WEIGHT
from penstock.lowering.direct import direct
from penstock.operators.map import Map
from penstock.plan.rows import RowStep
from penstock.stream import Stream
from penstock.testing import Epoch, outputs, scripted

SCHEMA: dict[str, Any] = {
    "a": pl.Int64,
    "b": pl.Int64,
    "x": pl.Float64,
    "y": pl.Float64,
    "s": pl.String,
    "p": pl.Boolean,
    "l": pl.List(pl.Int64),
}
WHOLE = st.none() | st.sampled_from([0, 1, -3, 7, 2**53 + 1, 2**63 - 1, -(2**63)])
FLOAT = st.none() | st.floats(width=64) | st.sampled_from([0.1, -0.0, 25.0])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "a": WHOLE,
            "b": WHOLE,
            "x": FLOAT,
            "y": FLOAT,
            "s": st.sampled_from([None, "", "a", "é"]),
            "p": st.sampled_from([None, True, False]),
            "l": st.sampled_from([None, [], [1, None]]),
        }
    ),
    max_size=6,
)
NUMBERS = st.recursive(
    st.sampled_from(["a", "b", "x", "y"]).map(lambda name: pl.col(name)),
    lambda inner: st.tuples(
        inner,
        st.sampled_from(
            ["__add__", "__sub__", "__mul__", "__truediv__", "__rsub__", "__rtruediv__"]
        ),
        inner | st.sampled_from([1, -2, 3, 0, 2.5, 0.1, -0.0]),
    ).map(lambda t: getattr(t[0], t[1])(t[2])),
    max_leaves=4,
)
COMPARED = st.sampled_from(["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
TESTS = st.recursive(
    st.one_of(
        st.just(pl.col("p")),
        st.tuples(st.sampled_from(["a", "b"]), COMPARED, st.sampled_from([0, 7, pl.col("b")])).map(
            lambda t: getattr(pl.col(t[0]), t[1])(t[2])
        ),
        st.tuples(
            st.sampled_from(["x", "y"]), COMPARED, st.sampled_from([0, 25, 0.1, pl.col("y")])
        ).map(lambda t: getattr(pl.col(t[0]), t[1])(t[2])),
        COMPARED.map(lambda op: getattr(pl.col("s"), op)(pl.lit("a"))),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda t: t[0] & t[1]),
        st.tuples(inner, inner).map(lambda t: t[0] | t[1]),
        inner.map(lambda e: ~e),
    ),
    max_leaves=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("filter"), TESTS),
        st.tuples(st.just("with_columns"), NUMBERS.map(lambda e: e.alias("x2"))),
        st.tuples(st.just("with_columns"), TESTS.map(lambda e: e.alias("p"))),
    ),
    min_size=1,
    max_size=4,
)


def row_steps(stream: Stream) -> list[RowStep]:
    found: list[RowStep] = []
    node = stream.node
    while isinstance(node, RowStep):
        found.insert(0, node)
        node = node.input
    return found


def bits(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Rows with floats as their bits; every NaN alike."""

    def one(value: Any) -> Any:
        if isinstance(value, float):
            return "NaN" if value != value else struct.pack("d", value)
        return tuple(value) if isinstance(value, list) else value

    return [tuple(map(one, row)) for row in frame.rows()]


@given(STEPS, ROWS, st.booleans(), st.booleans())
@settings(max_examples=400)
def test_equal_to_one_query(
    steps: list[tuple[str, pl.Expr]], rows: list[Any], narrowed: bool, hidden: bool
) -> None:
    stream = scripted("s", SCHEMA)
    for verb, expr in steps:
        stream = getattr(stream, verb)(expr)
    if narrowed:
        stream = stream.select("s", "l", total=pl.col("x") * 2 + 1, a="x")
    found = direct(row_steps(stream))
    assert found is not None
    frame = pl.DataFrame(rows, schema=SCHEMA)
    names = [PARTITION, WEIGHT] if hidden else []
    frame = frame.with_columns(pl.int_range(pl.len()).alias(name) for name in names)
    lazy = frame.lazy()
    for step in row_steps(stream):
        lazy = step.apply(lazy, names)
    expected = lazy.collect()
    got = found(frame, names)
    assert got.schema == expected.schema
    assert bits(got) == bits(expected)


@pytest.mark.parametrize(
    "expr",
    [
        pl.col("a") > 2.5,  # another type: Polars' own rules
        pl.col("a") > pl.col("x"),
        pl.col("x") > float("nan"),
        pl.col("a") == 2**60,
        pl.col("x").is_null(),
        pl.col("s") == pl.lit(None),
        pl.col("p") & True,
        pl.lit(value=True),
        pl.col("a").map_batches(lambda s: s, return_dtype=pl.Int64, is_elementwise=True),
    ],
)
def test_other_expressions_stay_a_query(expr: pl.Expr) -> None:
    stream = scripted("s", SCHEMA)
    assert direct(row_steps(stream.with_columns(z=expr))) is None


def test_a_literal_alone_stays_a_query() -> None:
    stream = scripted("s", SCHEMA)
    assert direct(row_steps(stream.select("a", z=pl.lit(1)))) is None
    assert direct(row_steps(stream.explode("l"))) is None


def test_sizes_around_the_switch() -> None:
    stream = scripted("s", {"k": pl.Int64, "v": pl.Float64})
    stream = stream.filter(pl.col("v") > 25).select("k", x=pl.col("v") / (pl.col("k") + 1))
    for rows in (0, 1, 2, (1 << 17) - 1, 1 << 17, (1 << 17) + 1):
        frame = pl.DataFrame({"k": pl.int_range(rows, eager=True)}).with_columns(
            v=pl.col("k") * 7919 % 1000 / 10
        )
        (got,) = outputs(stream, [Epoch({"s": frame})])
        whole = frame.filter(pl.col("v") > 25).select("k", x=pl.col("v") / (pl.col("k") + 1))
        assert (got is None) if not whole.height else (got is not None and got.equals(whole))


def test_map_uses_it() -> None:
    called: list[int] = []

    def given(frame: pl.DataFrame, hidden: Any) -> pl.DataFrame:
        called.append(frame.height)
        return frame

    stream = scripted("s", SCHEMA).filter("p")
    mapped = Map(row_steps(stream), "filter", given)
    assert mapped._run(pl.DataFrame({"p": [True]})).height == 1
    assert called == [1]
