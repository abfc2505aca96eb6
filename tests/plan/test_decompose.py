"""Partials merged part by part and finished must equal Polars over the whole."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from penstock.columns import WEIGHT
from penstock.plan.expressions import Decomposition, decompose

TYPES: dict[str, pl.DataType | type[pl.DataType]] = {
    "k": pl.Int64,
    "i": pl.Int64,
    "w": pl.Int64,
    "j": pl.Int32,
    "n": pl.Int8,
    "u": pl.UInt16,
    "f": pl.Float64,
    "g": pl.Float32,
    "b": pl.Boolean,
    "s": pl.String,
    "t": pl.Datetime("us", "UTC"),
    "d": pl.Date,
    "p": pl.Duration("ms"),
    "m": pl.Decimal(12, 2),
}
SCHEMA = pl.Schema(TYPES)
SMALL = st.one_of(
    st.none(), st.integers(-5, 5).map(float), st.sampled_from([math.nan, math.inf, -math.inf, 0.1])
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "k": st.one_of(st.none(), st.integers(0, 2)),
    "i": st.one_of(st.none(), st.integers(-9, 9)),
    # Polars takes means of these in Float64, where what cancels is noise: not for means
    "w": st.one_of(st.none(), st.integers(-9, 9), st.sampled_from([2**62, -(2**63), 2**63 - 1])),
    "j": st.one_of(st.none(), st.integers(-9, 9), st.sampled_from([2**31 - 1, -(2**31)])),
    "n": st.one_of(st.none(), st.integers(-128, 127)),
    "u": st.one_of(st.none(), st.integers(0, 65535)),
    "f": SMALL,
    "g": SMALL,
    "b": st.one_of(st.none(), st.booleans()),
    "s": st.one_of(st.none(), st.sampled_from(["", "a", "b", "Z", "é"])),
    "t": st.one_of(
        st.none(),
        st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2060, 1, 1), timezones=st.just(dt.UTC)),
    ),
    "d": st.one_of(st.none(), st.dates(dt.date(1960, 1, 1), dt.date(2060, 1, 1))),
    "p": st.one_of(
        st.none(), st.integers(-(10**9), 10**9).map(lambda n: dt.timedelta(milliseconds=n))
    ),
    "m": st.one_of(st.none(), st.integers(-(10**6), 10**6).map(lambda n: Decimal(n) / 100)),
}
ROW = st.tuples(*VALUES.values())


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


FRAMES = st.lists(ROW, max_size=14).map(frame_of)
NUMBERS = st.sampled_from(["i", "j", "n", "u", "f", "g", "m"])


def call(expr: pl.Expr, method: str, **options: Any) -> pl.Expr:
    made: pl.Expr = getattr(expr, method)(**options)
    return made


PREDICATES = st.sampled_from(
    [pl.col("i") > 0, pl.col("b"), pl.col("f").is_nan(), pl.col("s") == "a", pl.col("j").is_null()]
)
ANY_COLUMN = st.sampled_from([name for name in SCHEMA if name != "k"])


@st.composite
def inputs(
    draw: st.DrawFn, columns: st.SearchStrategy[str] = NUMBERS, *, widened: bool = True
) -> pl.Expr:
    """A column, or something row-wise made of it, perhaps filtered, perhaps of a wider type."""
    name = draw(columns)
    value = pl.col(name)
    if SCHEMA[name].is_numeric() and draw(st.booleans()):
        value = draw(
            st.sampled_from(
                [value * 2, value.abs(), pl.when(value > 0).then(value), value.fill_null(1)]
            )
        )
    if draw(st.booleans()):
        value = value.filter(draw(PREDICATES))
    if draw(st.booleans()):
        value = value.drop_nulls()
    if widened and SCHEMA[name] == pl.Int32 and draw(st.booleans()):
        value = value.cast(pl.Int64)
    return value


def by_name(
    values: st.SearchStrategy[pl.Expr],
    methods: str,
    options: st.SearchStrategy[dict[str, Any]] = st.just({}),  # noqa: B008 - immutable
) -> st.SearchStrategy[pl.Expr]:
    return st.builds(
        lambda value, method, given: call(value, method, **given),
        values,
        st.sampled_from(methods.split()),
        options,
    )


def columns(names: str) -> st.SearchStrategy[str]:
    return st.sampled_from(list(names))


NULLS = st.fixed_dictionaries({"ignore_nulls": st.booleans()})
DDOF = st.fixed_dictionaries({"ddof": st.integers(0, 2)})
KEYS = st.fixed_dictionaries({"by": columns("ifstbm").map(pl.col)})


def atoms() -> st.SearchStrategy[pl.Expr]:
    """One aggregation."""
    return st.one_of(
        st.just(pl.len()),
        by_name(inputs(ANY_COLUMN), "first last count null_count has_nulls len min max"),
        by_name(inputs(ANY_COLUMN), "first last", NULLS),
        by_name(inputs(columns("b")), "any all", NULLS),
        by_name(inputs(columns("wijnub")), "bitwise_and bitwise_or bitwise_xor"),
        by_name(inputs(columns("w")), "sum product min max"),
        by_name(inputs(columns("tdpm")), "mean"),
        by_name(inputs(), "sum mean min max nan_max nan_min"),
        by_name(inputs(), "var std", DDOF),
        by_name(ANY_COLUMN.map(pl.col), "min_by max_by", KEYS),
    )


@st.composite
def expressions(draw: st.DrawFn) -> pl.Expr:
    """An aggregation, or arithmetic over several."""
    first = draw(atoms())
    shape = draw(st.integers(0, 4))
    if shape <= 1:
        return first
    a = draw(inputs()).max().cast(pl.Float64)
    b = draw(inputs()).mean().cast(pl.Float64)
    return [
        (a + b) / pl.len(),
        pl.when(a > 0).then(b).otherwise(math.nan),
        pl.struct(a, pl.len(), first.alias("first")).struct.json_encode()
        if first.meta.root_names()[:1] in (["i"], ["s"], ["b"])
        else pl.coalesce(a, b, pl.lit(0.5)).round(3).alias("x"),
    ][shape - 2]


def cut(frame: pl.DataFrame, at: list[int]) -> list[pl.DataFrame]:
    edges = [0, *sorted(n % (frame.height + 1) for n in at), frame.height]
    return [frame[low:high] for low, high in itertools.pairwise(edges)]


def merged(made: Decomposition, parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Partials of the parts, merged in arrival order, one part at a time."""
    extract, merge = [p.extract for p in made.partials], [p.merge for p in made.partials]
    rows: pl.DataFrame | None = None
    for part in parts:
        new = part.group_by("k", maintain_order=True).agg(extract)
        assert new.schema == {"k": pl.Int64, **{p.name: p.dtype for p in made.partials}}
        both = new if rows is None else pl.concat([rows, new])
        rows = both.group_by("k", maintain_order=True).agg(merge)
        assert rows.schema == new.schema
    assert rows is not None
    return rows.select("k", made.finish)


def same(got: pl.DataFrame, want: pl.DataFrame, rel: float = 1e-9) -> None:
    if pl.Float32 in want.dtypes:
        rel = 1e-5
    assert_frame_equal(got, want, rel_tol=rel, abs_tol=1e-9)


@given(FRAMES, expressions(), st.lists(st.integers(0, 20), max_size=5))
def test_merged_parts_equal_the_whole(frame: pl.DataFrame, expr: pl.Expr, at: list[int]) -> None:
    try:
        want = frame.group_by("k", maintain_order=True).agg(expr)
    except pl.exceptions.PolarsError:
        return
    made = decompose(expr, SCHEMA, changelog=False)
    if made is None:
        return
    same(merged(made, cut(frame, at)), want)


CHANGES = st.lists(st.tuples(ROW, st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=10)
EXACT = [name for name in SCHEMA if name not in ("k", "w", "f", "g", "s")]


@st.composite
def exact_expressions(draw: st.DrawFn) -> pl.Expr:
    """Aggregations that have exact sums, and arithmetic over them."""
    value = draw(inputs(st.sampled_from(EXACT)))
    tally = draw(by_name(inputs(ANY_COLUMN), "len count null_count"))
    ignore = draw(st.booleans())
    flags = draw(inputs(st.just("b")))
    narrow = draw(inputs(st.sampled_from(["j", "n", "u", "b"]), widened=False))
    total = draw(inputs(st.sampled_from(["w", "i", "j", "n", "u", "b", "p", "m"])))
    made: pl.Expr = draw(
        st.sampled_from(
            [
                total.sum(),
                value.mean(),
                tally,
                pl.len(),
                flags.any(ignore_nulls=ignore),
                flags.all(ignore_nulls=ignore),
                flags.has_nulls(),
                narrow.var(ddof=draw(st.integers(0, 2))),
                narrow.std(),
                (narrow.sum() + tally) / pl.len(),
            ]
        )
    )
    return made


@given(CHANGES, exact_expressions(), st.lists(st.integers(0, 40), max_size=5), st.randoms())
def test_a_changelog_equals_the_rows_that_survive(
    changes: list[tuple[tuple[Any, ...], int, int]], expr: pl.Expr, at: list[int], order: Any
) -> None:
    deltas, left = [], []
    for row, inserted, deleted in changes:
        gone = min(inserted, deleted)
        deltas += [(*row, inserted)] + ([(*row, -gone)] if gone else [])
        left += [row] * (inserted - gone)
    order.shuffle(deltas)
    weighted = pl.Schema({**SCHEMA, WEIGHT: pl.Int64()})
    frame = pl.DataFrame(deltas, schema=weighted, orient="row")
    made = decompose(expr, weighted, changelog=True)
    assert made is not None, str(expr)
    alive = decompose(pl.len().alias("alive"), weighted, changelog=True)
    assert alive is not None
    both = {p.name: p for p in (*made.partials, *alive.partials)}
    state: pl.DataFrame | None = None
    for part in cut(frame, at):
        new = part.group_by("k").agg([p.extract for p in both.values()])
        state = new if state is None else pl.concat([state, new])
        state = state.group_by("k").agg([p.merge for p in both.values()])
    assert state is not None
    got = (
        state.filter(state.select(alive.finish).to_series() > 0).select("k", made.finish).sort("k")
    )
    want = frame_of(left).group_by("k").agg(expr).sort("k")
    same(got, want)


DIVISIBLE = [
    pl.col("m").mean(),
    pl.col("m").std(),
    pl.col("t").mean(),
    pl.col("d").mean(),
    pl.col("p").mean(),
    pl.col("p").sum(),
    pl.col("i").product(),
    pl.col("g").product(),
    pl.col("f").sum(),
    (pl.col("i").sum() + pl.col("f").max()) / pl.len(),
    pl.col("s").filter(pl.col("b")).first(),
]
INDIVISIBLE = [
    pl.col("i").median(),
    pl.col("i").n_unique(),
    pl.col("i").quantile(0.5),
    pl.col("i").mode(),
    pl.col("i").implode(),
    pl.col("i").sort_by("f").first(),
    pl.col("i").cum_sum().last(),
    (pl.col("i") - pl.col("i").mean()).sum(),
    pl.col("i") + 1,
    pl.col("i").get(0),
    pl.lit(1),
    pl.lit(1).sum(),
    pl.col("i").sample(1).sum(),
    pl.col("i").map_elements(abs, return_dtype=pl.Int64).sum(),
    pl.col("i").shift().sum(),
]


@pytest.mark.parametrize("expr", DIVISIBLE, ids=str)
def test_it_splits(expr: pl.Expr) -> None:
    assert decompose(expr, SCHEMA, changelog=False) is not None


@pytest.mark.parametrize("expr", INDIVISIBLE, ids=str)
def test_it_does_not_split(expr: pl.Expr) -> None:
    assert decompose(expr, SCHEMA, changelog=False) is None


@pytest.mark.parametrize(
    "expr",
    [
        pl.col("f").sum(),
        pl.col("f").mean(),
        pl.col("i").min(),
        pl.col("i").first(),
        pl.col("i").var(),
    ],
    ids=str,
)
def test_a_changelog_takes_only_what_is_exact(expr: pl.Expr) -> None:
    assert decompose(expr, SCHEMA, changelog=True) is None


def test_equal_partials_are_shared() -> None:
    first = decompose(pl.col("f").mean(), SCHEMA, changelog=False)
    second = decompose(pl.col("f").std() / pl.col("f").count(), SCHEMA, changelog=False)
    assert first is not None
    assert second is not None
    assert {p.name for p in first.partials} & {p.name for p in second.partials}


def test_nothing_at_all_is_zero_or_null() -> None:
    empty = pl.DataFrame(schema=SCHEMA)
    for expr in (
        pl.len(),
        pl.col("i").sum(),
        pl.col("i").min(),
        pl.col("f").mean(),
        pl.col("s").first(),
    ):
        made = decompose(expr, SCHEMA, changelog=False)
        assert made is not None
        rows = empty.select([p.extract for p in made.partials])
        rows = pl.concat([rows, rows]).select([p.merge for p in made.partials])
        assert_frame_equal(rows.select(made.finish), empty.select(expr))


def test_infinite_literals_survive() -> None:
    expr = pl.when(pl.col("i").sum() > 0).then(math.inf).otherwise(math.nan)
    made = decompose(expr, SCHEMA, changelog=False)
    assert made is not None
    frame = pl.DataFrame({"k": [0], "i": [1]})
    rows = frame.select([p.extract for p in made.partials])
    assert rows.select(made.finish).item() == math.inf


def test_counts_beyond_four_billion_do_not_wrap_while_merging() -> None:
    made = decompose(pl.len() - pl.len(), SCHEMA, changelog=False)
    assert made is not None
    (kept,) = made.partials
    assert kept.dtype == pl.Int64
