"""Windows, randomness, roots and monotone expressions."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.plan.expressions import (
    Shape,
    apply_to,
    classify,
    is_deterministic,
    monotone_in,
    over_keys,
    root_columns,
)

SCHEMA = pl.Schema({"a": pl.Int64(), "b": pl.Int64(), "s": pl.String(), "l": pl.List(pl.Int64)})
a, b, t = pl.col("a"), pl.col("b"), pl.col("t")


@pytest.mark.parametrize(
    ("expr", "shape"),
    [
        (a, Shape.ELEMENTWISE),
        (pl.lit(1), Shape.ELEMENTWISE),
        (pl.lit(None), Shape.ELEMENTWISE),
        (a.is_in([1, 2]), Shape.ELEMENTWISE),
        (a.is_in(pl.col("l")), Shape.ELEMENTWISE),
        (pl.col("l").list.eval(pl.element().rank()), Shape.ELEMENTWISE),
        (pl.col("s").str.to_date("%Y"), Shape.ELEMENTWISE),
        (pl.when(a > 1).then(pl.lit("x")), Shape.ELEMENTWISE),
        (a.sum(), Shape.SCALAR),
        (pl.len(), Shape.SCALAR),
        (a.sum() / pl.len() + 1, Shape.SCALAR),
        (a.cum_sum().max(), Shape.SCALAR),
        (a.get(0), Shape.SCALAR),
        (a - a.mean(), Shape.OTHER),
        (a.is_in(b.implode()), Shape.OTHER),
        (a.replace(a, b), Shape.OTHER),
        (pl.col("s").str.to_date(), Shape.OTHER),
        (pl.col("s").cast(pl.Date), Shape.OTHER),
        (pl.lit(pl.Series([1, 2])), Shape.OTHER),
        (pl.int_range(pl.len()), Shape.OTHER),
        (a.fill_null(strategy="forward"), Shape.OTHER),
        (a.fill_null(a.mean()), Shape.OTHER),
        (a.sum().over("b"), Shape.OTHER),
        (a.shift() + 1, Shape.OTHER),
        (pl.col("l").list.sample(1), Shape.OTHER),
        (pl.col("l").explode(), Shape.OTHER),
        (a.filter(a > 1), Shape.OTHER),
    ],
    ids=str,
)
def test_shape(expr: pl.Expr, shape: Shape) -> None:
    assert classify(expr, SCHEMA) is shape


def test_a_function_that_cannot_be_pickled_may_do_anything() -> None:
    stream = (n for n in range(3))
    expr = a.map_elements(lambda _: next(stream), return_dtype=pl.Int64)
    assert classify(expr, SCHEMA) is Shape.OTHER
    assert not is_deterministic(expr)
    assert over_keys(expr) is None
    assert monotone_in(expr) is None
    assert root_columns(expr) == ("a",)


@pytest.mark.parametrize(
    ("expr", "keys"),
    [
        (a.sum().over("s"), ("s",)),
        (a - a.mean().over("s", "b"), ("s", "b")),
        (a.sum().over("s", "b") + a.max().over("b", "s"), ("s", "b")),
        (a.rank().over("s", order_by="b").alias("r"), ("s",)),
        (pl.when(a == a.max().over("s")).then(1), ("s",)),
        (a.sum(), None),
        (a + 1, None),
        (a.sum().over("s") + a.max().over("b"), None),
        (a.sum().over(b % 2), None),
        (a.sum().over("s").sum(), None),
        (a.sum().over("s") - a.sum(), None),
        (a.sum().over("s", mapping_strategy="join"), None),
        (a.sum().over("s").shift(), None),
        (a.sum().over("s").max().over("s"), None),
        (a.cum_sum().over(order_by="b"), None),
    ],
    ids=str,
)
def test_over_keys(expr: pl.Expr, keys: tuple[str, ...] | None) -> None:
    assert over_keys(expr, SCHEMA) == keys


def test_deterministic() -> None:
    assert is_deterministic((a + 1).sum().over("b"))
    assert is_deterministic(pl.col("l").list.eval(pl.element() + 1))
    assert is_deterministic(a.name.map(str.upper))
    assert is_deterministic(a.rolling_mean(2))
    for expr in (
        a.shuffle(),
        a.sample(2),
        pl.col("l").list.sample(1),
        a.map_elements(abs, return_dtype=pl.Int64) + 1,
        a.map_batches(abs),
        a.rolling_map(lambda s: s.sum(), 2),
        pl.fold(0, lambda x, y: x + y, ["a", "b"]),
    ):
        assert not is_deterministic(expr)


def test_root_columns() -> None:
    assert root_columns((b + a).filter(pl.col("s") == "x").sum().over("l")) == ("b", "a", "s", "l")
    assert root_columns(pl.len()) == ()


MONOTONE = [
    t,
    t.alias("x"),
    t.dt.truncate("1h"),
    t.dt.truncate("1mo"),
    t.dt.truncate("1w").dt.offset_by("7d"),
    t.dt.offset_by("-90m"),
    t.dt.offset_by("2d3h"),
    t.dt.round("15m"),
    t + dt.timedelta(minutes=5),
    dt.timedelta(minutes=5) + t,
    t - dt.timedelta(days=1),
    t.cast(pl.Date),
    t.cast(pl.Datetime("ms")),
    t.dt.cast_time_unit("ms"),
    t.dt.date(),
]
NOT_MONOTONE = [
    t.dt.hour(),
    t.dt.truncate(pl.col("s")),
    t.dt.offset_by("1mo"),
    t.dt.offset_by("-1y"),
    pl.col("s") + "x",
    t + pl.col("u"),
    pl.lit(dt.datetime(2020, 1, 1)) - t,
    -a,
    t.cast(pl.String),
    t.shift(),
    t.dt.replace_time_zone("Europe/Vienna"),
    t.dt.offset_by(pl.col("s")),
    pl.lit(1),
    pl.when(a > 0).then(t),
]
INSTANTS = st.lists(
    st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2040, 1, 1)), min_size=2, max_size=20
)


@pytest.mark.parametrize("expr", MONOTONE, ids=str)
@given(INSTANTS)
def test_monotone(expr: pl.Expr, instants: list[dt.datetime]) -> None:
    assert monotone_in(expr) == "t"
    carried = apply_to(expr, pl.Series(sorted(instants), dtype=pl.Datetime("us")))
    assert carried.is_sorted()


@pytest.mark.parametrize("expr", NOT_MONOTONE, ids=str)
def test_not_monotone(expr: pl.Expr) -> None:
    assert monotone_in(expr) is None


def test_summer_time_does_not_keep_the_order_of_days() -> None:
    zoned = pl.Schema({"t": pl.Datetime("us", "Europe/Vienna")})
    ten = dt.timedelta(minutes=10)
    twice = pl.Series([dt.datetime(2024, 10, 27, 0, 50)], dtype=pl.Datetime("us", "UTC"))
    both = pl.concat([twice, twice + ten + ten]).dt.convert_time_zone("Europe/Vienna")
    shifted = both.to_frame("t").select(t.dt.offset_by("1d"))["t"]
    assert both.is_sorted()
    assert not shifted.is_sorted()
    assert monotone_in(t.dt.offset_by("1d"), zoned) is None
    assert monotone_in(t.dt.offset_by("1d"), pl.Schema({"t": pl.Datetime("us", "UTC")})) == "t"
    assert monotone_in(t.dt.offset_by("-1h"), zoned) == "t"


EVERY = ["1m", "7m", "7s", "15m", "30m", "45m", "1h", "90m", "2h", "6h", "1d", "1w", "1mo", "1y"]
REFUSED = {
    "Europe/Vienna": {"7m", "7s", "45m"},
    "America/New_York": {"7m", "7s", "45m", "90m"},
    "Australia/Lord_Howe": {"7m", "7s", "45m", "1h", "90m", "2h", "6h", "1d", "1mo"},
    "Asia/Beirut": {"7m", "7s", "45m"},
    "Asia/Tokyo": {"7s"},
    "America/St_Johns": {*EVERY} - {"1m", "1w", "1y"},
}


@pytest.mark.parametrize("zone", REFUSED)
def test_roundings_where_hours_come_twice(zone: str) -> None:
    """Some local clocks were set back at 00:01: there not even dates keep the order of time."""
    schema = pl.Schema({"t": pl.Datetime("us", zone)})
    refused = {every for every in EVERY if monotone_in(t.dt.truncate(every), schema) is None}
    assert refused == REFUSED[zone]
    dated = monotone_in(t.dt.date(), schema)
    assert (dated is None) == (zone == "America/St_Johns")


@pytest.mark.parametrize("zone", REFUSED)
@given(st.datetimes(dt.datetime(1972, 1, 2), dt.datetime(2099, 1, 1)), st.data())
def test_roundings_that_are_accepted_keep_the_order(
    zone: str, start: dt.datetime, data: st.DataObject
) -> None:
    """Around the next change of the zone's offset, seconds and all."""
    dtype = pl.Datetime("us", zone)
    every = data.draw(st.sampled_from([e for e in EVERY if e not in REFUSED[zone]]))
    hours = pl.datetime_range(
        start, start + dt.timedelta(days=370), "1h", time_zone="UTC", eager=True
    ).cast(dtype)
    offsets = hours.dt.base_utc_offset() + hours.dt.dst_offset()
    changed = hours.filter((offsets != offsets.shift(1)).fill_null(value=False))
    middle = changed[0] if changed.len() else hours[0]
    some = st.lists(st.integers(-7_200_000_000, 7_200_000_000), min_size=2, max_size=40)
    micros = pl.Series(sorted(data.draw(some)), dtype=pl.Duration("us"))
    times = (pl.Series([middle], dtype=dtype).new_from_index(0, micros.len()) + micros).alias("t")
    assert times.to_frame().select(t.dt.truncate(every)).to_series().is_sorted()


def test_applying_what_is_not_monotone() -> None:
    with pytest.raises(PlanError, match="not monotone"):
        apply_to(t.dt.hour(), pl.Series([dt.datetime(2020, 1, 1)]))
