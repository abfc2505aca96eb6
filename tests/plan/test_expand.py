"""Selectors resolve to what Polars itself resolves them to."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import polars.selectors as cs
import pytest

from penstock.errors import PlanError
from penstock.plan.expressions import as_exprs, expand, output_schema
from penstock.plan.expressions.tree import raw_walk, to_tree

SCHEMA = pl.Schema(
    {
        "a": pl.Int64(),
        "b": pl.Int64(),
        "c": pl.String(),
        "s": pl.Struct({"p": pl.Int64, "q": pl.String}),
        "t": pl.Datetime("us"),
    }
)
a, both = pl.col("a"), pl.col("a", "b")

SELECTIONS: list[list[pl.Expr]] = [
    [pl.all()],
    [pl.exclude("a")],
    [pl.all().exclude("a", "s")],
    [cs.numeric() - cs.by_name("a")],
    [pl.col("^[ab]$")],
    [pl.col(pl.Int64) * 2],
    [pl.col(pl.Float32)],
    [pl.nth(0, 1)],
    [pl.first(), pl.last()],
    [both.sum().name.suffix("_x")],
    [both.name.prefix("p_") + pl.col("b", "a")],
    [(both + 1).alias("z").name.keep()],
    [both.name.to_uppercase()],
    [both.name.map(lambda name: name + "!")],
    [both + a],
    [pl.struct(pl.all())],
    [pl.struct(both, "c")],
    [pl.sum_horizontal(both)],
    [pl.max_horizontal(both * 2, a)],
    [pl.concat_list(both)],
    [pl.concat_arr(both)],
    [pl.coalesce(both)],
    [pl.concat_str(cs.by_name("a", "c"))],
    [pl.any_horizontal(both > 1)],
    [pl.format("{}-{}", both, "c")],
    [pl.when(both > 1).then(pl.col("b", "a")).otherwise(0)],
    [both.sum().over("c")],
    [both.cast(pl.dtype_of("a"))],
    [pl.col("s").struct.field("*")],
    [pl.col("s").struct.unnest()],
    [pl.col("s").struct.field("p", "q").name.prefix("z_")],
    [pl.col("s").struct.field("^p$")],
    [both.map_elements(lambda x: x, return_dtype=pl.Int64)],
    [pl.fold(pl.lit(0), lambda x, y: x + y, [both])],
    [pl.datetime(both, 1, 1)],
    [pl.col("t").dt.year(), pl.lit(1), both],
]


@pytest.mark.parametrize("exprs", SELECTIONS, ids=lambda e: str(e[0])[:60])
@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_expansion_is_that_of_polars(exprs: list[pl.Expr]) -> None:
    lazy = pl.LazyFrame(schema=SCHEMA)
    found = expand(exprs, SCHEMA)
    assert lazy.select(found).collect_schema() == lazy.select(exprs).collect_schema()
    for expr in found:
        assert len(lazy.select(expr).collect_schema()) == 1
        assert all(key not in ("Selector", "SelectFields") for key, _ in raw_walk(to_tree(expr)))


def test_values_are_those_of_polars() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [3, None], "c": ["x", "y"]})
    exprs = [both + pl.col("b", "a"), pl.struct(both, "c").alias("z"), pl.coalesce(both).alias("w")]
    assert frame.select(expand(exprs, frame.schema)).equals(frame.select(exprs))


def test_an_expression_without_selectors_is_returned_as_it_is() -> None:
    expr = (a + 1).alias("x")
    assert expand([expr], SCHEMA)[0] is expr


def test_a_function_that_cannot_be_pickled_is_returned_as_it_is() -> None:
    stream = (n for n in range(3))
    expr = a.map_elements(lambda _: next(stream), return_dtype=pl.Int64)
    assert expand([expr], SCHEMA)[0] is expr
    with pytest.raises(PlanError, match="cannot be analysed"):
        expand([both.map_elements(lambda _: next(stream), return_dtype=pl.Int64)], SCHEMA)


def test_columns_that_are_not_there() -> None:
    with pytest.raises(PlanError, match="'pricee'") as caught:
        expand([pl.col("pricee") + 1], pl.Schema({"price": pl.Int64, "id": pl.Int64}))
    assert caught.value.alternatives == ("price", "id")
    assert "did you mean 'price'?" in str(caught.value)
    with pytest.raises(PlanError, match="'zz'") as caught:
        expand([pl.col("a", "zz")], SCHEMA)
    assert caught.value.value == "zz"


def test_selectors_of_different_sizes() -> None:
    with pytest.raises(PlanError, match="2 and 3"):
        expand([both + pl.col("a", "b", "t")], SCHEMA)


def test_fields_of_something_that_is_no_struct() -> None:
    with pytest.raises(PlanError, match="no struct but Int64"):
        expand([a.struct.field("*")], SCHEMA)


ARGUMENTS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a", "b"), {}),
    ((["a", pl.col("b")],), {}),
    ((("a", "b"),), {"x": "c"}),
    (("a",), {"x": 1, "y": "b", "z": [1, 2], "w": {"q": 1}}),
    (("a", 1), {}),
    ((None,), {}),
    (("a", ["x"]), {}),
    (([["x"]],), {}),
    ((pl.Series("n", [1]),), {}),
    ((dt.date(2020, 1, 1),), {}),
    ((b"x",), {}),
]


@pytest.mark.parametrize(("args", "named"), ARGUMENTS, ids=str)
def test_arguments_are_read_as_by_polars(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    frame = pl.DataFrame({"a": [1], "b": [2], "c": ["x"]})
    assert frame.select(as_exprs(*args, **named)).equals(frame.select(*args, **named))
    generated = (name for name in ("a", "b"))
    assert [e.meta.output_name() for e in as_exprs(generated)] == ["a", "b"]


def test_arguments_that_are_no_expressions() -> None:
    with pytest.raises(PlanError, match="not an expression"):
        as_exprs(object())
    with pytest.raises(PlanError, match="dictionary"):
        as_exprs({"a": 1})


def test_output_schema() -> None:
    assert output_schema([a.sum(), pl.len()], SCHEMA, "agg") == {"a": pl.Int64, "len": pl.UInt32}
    assert output_schema([a.cast(pl.Int8)], SCHEMA, "select") == {"a": pl.Int8}
    wider = output_schema([(a / 2).alias("h")], SCHEMA, "with_columns")
    assert wider == pl.Schema({**SCHEMA, "h": pl.Float64()})
    assert output_schema([a > 1], SCHEMA, "filter") == SCHEMA
    assert output_schema([a], SCHEMA, "group_by") == {"a": pl.Int64}


@pytest.mark.parametrize(
    ("expr", "verb", "says"),
    [
        (pl.col("c") + 1, "select", "arithmetic on dtypes"),
        (pl.col("zz"), "with_columns", "'zz'"),
        (a + 1, "filter", "Boolean"),
        (pl.col("c").sum(), "agg", "sum"),
        (pl.col("c").dt.year(), "select", "."),
        (pl.col("c").str.contains("("), "select", "regex"),
    ],
    ids=str,
)
def test_what_polars_refuses_names_the_step(expr: pl.Expr, verb: Any, says: str) -> None:
    with pytest.raises(PlanError, match=says) as caught:
        output_schema([expr], SCHEMA, verb)
    assert caught.value.step == verb
    assert "Resolved plan" not in caught.value.message
    assert caught.value.line is not None
    assert __file__ in caught.value.line


def test_two_columns_of_one_name() -> None:
    with pytest.raises(PlanError, match="duplicate"):
        output_schema([a, a + 1], SCHEMA, "select")


def test_errors_of_an_empty_frame_are_not_errors_of_the_plan() -> None:
    def fails(series: pl.Series) -> pl.Series:
        raise ZeroDivisionError(series)

    def describe(value: int) -> str:
        return f"<{value}>"

    assert output_schema([a.get(0)], SCHEMA, "select") == {"a": pl.Int64}
    assert output_schema([a.item()], SCHEMA, "agg") == {"a": pl.Int64}
    failing = a.map_batches(fails, return_dtype=pl.Float32)
    assert output_schema([failing], SCHEMA, "select") == {"a": pl.Float32}
    each = a.map_elements(describe, return_dtype=pl.String)
    assert output_schema([each], SCHEMA, "with_columns")["a"] == pl.String


def test_a_function_per_row_needs_its_type() -> None:
    with pytest.raises(PlanError, match="needs its type") as caught:
        output_schema([a.map_elements(hash)], SCHEMA, "select")
    assert "return_dtype" in str(caught.value)
    assert output_schema([a.map_batches(lambda s: s * 1.5)], SCHEMA, "select") == {"a": pl.Float64}


def test_an_unknown_step() -> None:
    with pytest.raises(PlanError, match="unknown step"):
        output_schema([a], SCHEMA, "slect")  # type: ignore[arg-type]
