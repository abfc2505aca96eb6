"""What a filter computed is not computed again behind it, with the results of the plan as written."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from penstock.columns import WEIGHT
from penstock.lowering.carried import carried
from penstock.operators.contract import Tick
from penstock.operators.map import Map
from penstock.plan.rows import RowStep
from penstock.stream import Stream
from penstock.testing import scripted

SCHEMA: dict[str, Any] = {"a": pl.Int64, "s": pl.String, "u": pl.String}
TEXT = st.sampled_from([None, "", "A", "ab", "id=7", "id=", "Id=xy&b"])
ROWS = st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), TEXT, TEXT), max_size=8)


def lower(name: str) -> pl.Expr:
    return pl.col(name).str.to_lowercase()


def number(name: str) -> pl.Expr:
    return pl.col(name).str.extract("id=(.*)", 1)


PREDICATES = st.sampled_from(
    [
        lower("s") == "ab",
        lower("s").is_in(["a", "ab"]) | (number("u").fill_null("") != ""),
        number("s").str.len_chars() > 0,
        (lower("s") == lower("u")).fill_null(value=True),
        pl.col("a") > 0,
    ]
)
BETWEEN = st.sampled_from(
    [
        lambda rows: rows,
        lambda rows: rows.select("a", pl.col("s").alias("u"), pl.col("u").alias("s")),
        lambda rows: rows.with_columns(s=pl.col("u")),
        lambda rows: rows.with_columns(s=pl.col("s") + "!"),
        lambda rows: rows.filter(pl.col("a") > 0),
    ]
)
ENDS = st.sampled_from(
    [
        lambda rows: rows.select("a", x=number("u"), y=lower("s")),
        lambda rows: rows.with_columns(s=lower("s"), z=pl.when(lower("s") == "ab").then(1)),
        lambda rows: rows.select("a").with_columns(b=pl.col("a") + 1),
        lambda rows: rows.with_columns(x=number("s").str.len_chars()).filter(lower("s") != "x"),
    ]
)


def steps_of(stream: Stream) -> list[RowStep]:
    steps, node = [], stream.node
    while isinstance(node, RowStep):
        steps.append(node)
        node = node.input
    return steps[::-1]


def run(steps: list[Any], rows: pl.DataFrame, times: int) -> pl.DataFrame | None:
    frame = pl.concat([rows] * times).with_columns(pl.lit(1, pl.Int64).alias(WEIGHT))
    return Map(steps, "steps").step([frame], Tick(1, 0, (0,)))


@given(rows=ROWS, predicate=PREDICATES, between=BETWEEN, end=ENDS, times=st.sampled_from([1, 2000]))
def test_the_rows_are_those_of_the_steps_as_written(
    rows: list[Any], predicate: pl.Expr, between: Any, end: Any, times: int
) -> None:
    steps = steps_of(end(between(scripted("s", SCHEMA).filter(predicate))))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    wanted, found = run(steps, frame, times), run(carried(steps), frame, times)
    assert (wanted is None) == (found is None)
    if wanted is not None and found is not None:
        assert_frame_equal(found, wanted)


def test_a_part_of_the_filter_is_computed_once() -> None:
    rows = scripted("s", SCHEMA)
    with_regex = rows.filter(number("s").is_not_null()).select(x=number("s"))
    first, last = carried(steps_of(with_regex))
    assert "extract" not in str(getattr(first, "exprs", "")) + str(getattr(last, "exprs", ""))


def test_a_users_function_stays_the_one_it_is() -> None:
    called = []

    def noted(values: pl.Series) -> pl.Series:
        called.append(len(values))
        return values + 1

    guess = pl.col("a").map_batches(noted, return_dtype=pl.Int64, is_elementwise=True)
    steps = steps_of(scripted("s", SCHEMA).filter(guess > 1).select("a", b=guess * 2))
    assert carried(steps) == steps
