"""Aggregates over rows that are deleted again, against plain Python over the rows that survive."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock.lowering.table import lower
from penstock.operators import exact_sums
from penstock.operators.counted import CountedAggregate
from penstock.operators.grouped_values import VALUE
from penstock.operators.recompute import Recompute
from penstock.operators.tallies import AMOUNT
from penstock.stream import Stream
from penstock.testing import Epoch, drive, integrate, scripted
from penstock.windows import hopping

EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
SCHEMA = {"id": pl.Int64, "k": pl.String, "x": pl.Float64, "s": pl.String, "n": pl.Int32}

FLOATS = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 1.0, 0.1, -0.1, 1e308, -1e308, 1e16, -1e16, 5e-324, 1e-310]),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.floats(allow_nan=False, allow_infinity=False),
)
ROW = st.tuples(
    st.integers(0, 7),
    st.sampled_from(["a", "b", None]),
    FLOATS,
    st.one_of(st.none(), st.sampled_from(["", "u", "v", "w"])),
    st.one_of(st.none(), st.integers(-3, 3)),
)
EPOCHS = st.lists(st.lists(ROW, max_size=7), min_size=1, max_size=7)
RESTARTS = st.sets(st.integers(0, 6))


def epochs_of(batches: list[list[Any]]) -> list[Epoch]:
    last = len(batches) - 1
    return [
        Epoch(
            {"s": pl.DataFrame(b, schema=SCHEMA, orient="row")},
            frozenset({"s"}) if i == last else frozenset(),
        )
        for i, b in enumerate(batches)
    ]


def table() -> Stream:
    """A changelog: the last row of each id; a k of null deletes it."""
    newest = scripted("s", SCHEMA).group_by("id").agg(pl.col("k", "x", "s", "n").last())
    return newest.filter(pl.col("k").is_not_null())


def survivors(rows: list[Any]) -> dict[Any, list[Any]]:
    newest = {row[0]: row for row in rows}
    groups = defaultdict(list)
    for row in newest.values():
        if row[1] is not None:
            groups[row[1]].append(row)
    return groups


def exact_sum(values: list[float]) -> float:
    odd = [v for v in values if not math.isfinite(v)]
    if odd:
        return float(np.sum(odd)) if not (math.inf in odd and -math.inf in odd) else math.nan
    return as_float(sum(map(Fraction, values), Fraction(0)))


def as_float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def known(values: list[Any]) -> list[Any]:
    return [v for v in values if v is not None]


def extreme(values: list[Any], best: Any, *, nan: bool = False) -> Any:
    values = known(values)
    odd = [v for v in values if v != v]
    rest = [v for v in values if v == v]
    if not values or (nan and odd) or not rest:
        return math.nan if odd else None
    return best(rest)


def distinct(values: list[Any]) -> int:
    return len({"nan" if v != v else v for v in values})


def mean(values: list[float]) -> float | None:
    return exact_sum(values) / len(values) if values else None


AGGS: dict[str, tuple[pl.Expr, Any]] = {
    "rows": (pl.len(), len),
    "x_sum": (pl.col("x").sum(), lambda r: exact_sum(known([x for _, _, x, _, _ in r]))),
    "x_mean": (pl.col("x").mean(), lambda r: mean(known([x for _, _, x, _, _ in r]))),
    "x_min": (pl.col("x").min(), lambda r: extreme([x for _, _, x, _, _ in r], min)),
    "x_max": (pl.col("x").max(), lambda r: extreme([x for _, _, x, _, _ in r], max)),
    "x_nan": (pl.col("x").nan_max(), lambda r: extreme([x for _, _, x, _, _ in r], max, nan=True)),
    "x_few": (pl.col("x").n_unique(), lambda r: distinct([x for _, _, x, _, _ in r])),
    "s_min": (pl.col("s").min(), lambda r: extreme([s for _, _, _, s, _ in r], min)),
    "s_max": (pl.col("s").max(), lambda r: extreme([s for _, _, _, s, _ in r], max)),
    "s_few": (
        pl.col("s").drop_nulls().n_unique(),
        lambda r: distinct(known([s for *_, s, _ in r])),
    ),
    "n_few": (pl.col("n").approx_n_unique(), lambda r: distinct([n for *_, n in r])),
    "s_some": (
        pl.col("s").filter(pl.col("n") > 0).drop_nulls().n_unique(),
        lambda r: distinct(known([s for *_, s, n in r if n is not None and n > 0])),
    ),
    "s_others": (
        pl.col("s").filter(pl.col("n") <= 0).n_unique(),
        lambda r: distinct([s for *_, s, n in r if n is not None and n <= 0]),
    ),
    "n_range": (
        pl.col("n").filter(pl.col("s") == "u").max() - pl.col("n").filter(pl.col("s") == "u").min(),
        lambda r: _range(known([n for *_, s, n in r if s == "u"])),
    ),
    "x_part": (
        pl.col("x").filter(pl.col("n") > 0).sum() * 2,
        lambda r: 2 * exact_sum(known([x for _, _, x, _, n in r if n is not None and n > 0])),
    ),
}


def _range(values: list[int]) -> int | None:
    return max(values) - min(values) if values else None


def same(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, float):
        return found == wanted or (found != found and wanted != wanted)
    return bool(found == wanted)


def check(total: pl.DataFrame, groups: dict[Any, list[Any]], names: list[str]) -> None:
    found = {row[0]: row[1:-1] for row in total.rows()}
    assert (total["_weight"] == 1).all()
    assert set(found) == set(groups)
    for key, values in found.items():
        for name, value in zip(names, values, strict=True):
            wanted = AGGS[name][1](groups[key])
            assert same(value, wanted), f"{name} of {key}: {value!r}, not {wanted!r}"


def operators(stream: Stream) -> list[type]:
    return [type(v.operator) for v in lower([stream.node]).vertices if v.operator is not None]


@given(
    batches=EPOCHS,
    names=st.lists(st.sampled_from(sorted(AGGS)), min_size=1, max_size=5, unique=True),
    restarts=RESTARTS,
)
@settings(max_examples=60)
def test_by_key(batches: list[list[Any]], names: list[str], restarts: set[int]) -> None:
    stream = table().group_by("k").agg(AGGS[name][0].alias(name) for name in names)
    assert Recompute not in operators(stream)
    rows: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        rows += batches[number]
        check(integrate(stream, sofar), survivors(rows), names)


@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=25)
def test_of_everything(batches: list[list[Any]], restarts: set[int]) -> None:
    """Without keys there is one group, also when it is empty."""
    names = list(AGGS)
    stream = (
        table()
        .select(pl.lit("all").alias("k"), *[pl.col(c) for c in "xsn"])
        .select(AGGS[name][0].alias(name) for name in names)
    )
    assert CountedAggregate in operators(stream)
    rows: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        rows += batches[number]
        everyone = [row for group in survivors(rows).values() for row in group]
        total = integrate(stream, sofar).select(pl.lit("all"), pl.all())
        check(total, {"all": everyone}, names)


@given(batches=EPOCHS, restarts=RESTARTS)
@settings(max_examples=25)
def test_distinct_values_of_rows_that_stay(batches: list[list[Any]], restarts: set[int]) -> None:
    names = ["rows", "x_few", "s_few", "n_few", "s_max", "s_some", "s_others"]
    source = scripted("s", SCHEMA)
    stream = source.group_by("k").agg(AGGS[name][0].alias(name) for name in names)
    assert operators(stream) == [CountedAggregate]
    rows: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after=restarts)):
        sofar.append(deltas[0])
        rows += batches[number]
        groups = defaultdict(list)
        for row in rows:
            groups[row[1]].append(row)
        check(integrate(stream, sofar), groups, names)


def test_many_values_come_and_go() -> None:
    """The index by group is built again when most of it is dead."""
    names = ["rows", "x_min", "x_max", "x_sum", "x_few"]
    stream = table().group_by("k").agg(AGGS[name][0].alias(name) for name in names)
    random = np.random.default_rng(7)
    batches = [
        [(i, "ab"[i % 2], float(x), "", 0) for i, x in enumerate(random.integers(0, 10**6, 1500))]
        for _ in range(12)
    ]
    rows: list[Any] = []
    sofar: list[Any] = []
    for number, deltas in enumerate(drive(stream, epochs_of(batches), restart_after={5})):
        sofar.append(deltas[0])
        rows += batches[number]
        check(integrate(stream, sofar), survivors(rows), names)


@pytest.mark.parametrize("agg", [pl.col("x").median(), pl.col("x").first(), pl.col("x").std()])
def test_other_aggregates_are_recomputed(agg: pl.Expr) -> None:
    assert Recompute in operators(table().group_by("k").agg(agg))


def test_float32_keeps_its_type() -> None:
    narrow = table().with_columns(pl.col("x").cast(pl.Float32))
    stream = narrow.group_by("k").agg(pl.col("x").sum(), m=pl.col("x").mean(), lo=pl.col("x").min())
    assert stream.schema["x"] == pl.Float32
    rows: list[Any] = [[(1, "a", 0.5, "", 0), (2, "a", 2.5, "", 0)], [(1, None, None, None, None)]]
    total = integrate(stream, [d[0] for d in drive(stream, epochs_of(rows))])
    assert total.rows() == [("a", 2.5, 2.5, 2.5, 1)]


def test_expired_groups_leave_nothing_behind() -> None:
    """A group that is freed and comes again starts from nothing; its place may be another's."""
    source = scripted("s", {"k": pl.String, "v": pl.Int64})
    stream = source.group_by("k", ttl="10s").agg(pl.col("v").n_unique())
    second = 1_000_000_000
    rows = [("a", 1), ("b", 2), ("b", 3), ("a", 1)]
    epochs = [
        Epoch({"s": pl.DataFrame([r], schema=["k", "v"], orient="row")}, now=i * 20 * second)
        for i, r in enumerate(rows)
    ]
    found = [d[0] for d in drive(stream, epochs, restart_after={1})]
    assert [f.filter(pl.col("_weight") > 0)["v"].to_list() for f in found if f is not None] == [
        [1],
        [1],
        [2],
        [1],
    ]


WEIGHTED = st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3)))


@given(terms=WEIGHTED)
@example(terms=[(1e308, 1), (1e308, 1), (-1e308, 1), (5e-324, 1)])
@example(terms=[(2.0**53, 1), (1.0, 1), (2.0**-1074, 1)])
@example(terms=[(-(2.0**53), 1), (-1.0, 1)])
@settings(max_examples=200)
def test_sums_are_correctly_rounded(terms: list[tuple[float, int]]) -> None:
    values = pl.Series([v for v, _ in terms], dtype=pl.Float64)
    weights = pl.Series([w for _, w in terms], dtype=pl.Int64)
    bins = exact_sums.terms(values, weights).group_by(VALUE).agg(pl.col(AMOUNT).sum())
    found = exact_sums.totals(np.zeros(bins.height, np.int64), bins, 1)[0]
    assert found == as_float(sum((Fraction(v) * w for v, w in terms), Fraction(0)))


TYPES: dict[str, Any] = {
    "bool": (pl.Boolean, [True, False]),
    "uint": (pl.UInt64, [0, 2**64 - 1, 5]),
    "wide": (pl.Int128, [-(2**100), 2**90, 0]),
    "decimal": (pl.Decimal(20, 2), [Decimal("1.10"), Decimal("-3.00"), Decimal("7.25")]),
    "date": (pl.Date, [date(1969, 1, 1), date(2024, 2, 29)]),
    "datetime": (
        pl.Datetime("ns", "Asia/Tokyo"),
        [datetime(2024, 1, d, tzinfo=UTC) for d in (1, 2)],
    ),
    "duration": (pl.Duration("ms"), [timedelta(seconds=1), timedelta(days=-1)]),
    "time": (pl.Time, [time(1, 2), time(23, 59, 59)]),
    "binary": (pl.Binary, [b"", b"\xff", b"a"]),
}


@pytest.mark.parametrize("kind", TYPES)
def test_other_types(kind: str) -> None:
    """Against Polars over the surviving rows."""
    dtype, values = TYPES[kind]
    schema: Any = {"id": pl.Int64, "k": pl.String, "v": dtype}
    random = np.random.default_rng(3)
    pool = [*values, None]
    frames = [
        pl.DataFrame(
            [
                (int(random.integers(6)), "ab"[i % 2], pool[random.integers(len(pool))])
                for i in range(4)
            ],
            schema=schema,
            orient="row",
        )
        for _ in range(12)
    ]
    newest = scripted("s", schema).group_by("id").agg(pl.col("k", "v").last())
    aggs = [pl.col("v").min().alias("lo"), pl.col("v").max().alias("hi"), pl.col("v").n_unique()]
    stream = newest.group_by("k").agg(aggs)
    assert Recompute not in operators(stream)
    sofar: list[Any] = []
    epochs = [Epoch({"s": f}) for f in frames]
    for number, deltas in enumerate(drive(stream, epochs, restart_after={4})):
        sofar.append(deltas[0])
        rows = pl.concat(frames[: number + 1]).group_by("id").agg(pl.col("k", "v").last())
        wanted = rows.group_by("k").agg(aggs).sort("k")
        assert integrate(stream, sofar).drop("_weight").sort("k").equals(wanted)


@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 25))), max_size=6))
@settings(max_examples=40)
def test_distinct_values_of_windows(batches: list[list[Any]]) -> None:
    """Windows that overlap, emitted as changes, and freed behind the watermark."""
    schema: Any = {"v": pl.Int64, "ts": pl.Datetime("us")}
    ordered = sorted(second for batch in batches for _, second in batch)
    rows, frames = [], []
    for batch in batches:
        fresh = [(v, EPOCH + timedelta(seconds=ordered.pop(0))) for v, _ in batch]
        rows.append(fresh)
        frames.append(pl.DataFrame(fresh, schema=schema, orient="row"))
    timed = scripted("s", schema).with_watermark("ts", max_ahead=None)
    window = hopping("10s", slide="5s")
    stream = timed.group_by(window).agg(pl.col("v").n_unique()).emit("changes")
    assert CountedAggregate in operators(stream)
    sofar: list[Any] = []
    seen: dict[datetime, set[int]] = defaultdict(set)
    for fresh, deltas in zip(rows, drive(stream, [Epoch({"s": f}) for f in frames]), strict=True):
        sofar.append(deltas[0])
        for v, at in fresh:
            start = at - timedelta(seconds=at.second % 5)
            seen[start].add(v)
            seen[start - timedelta(seconds=5)].add(v)
        found = {row[0]: row[2] for row in integrate(stream, sofar).rows()}
        assert found == {start: len(values) for start, values in seen.items()}
