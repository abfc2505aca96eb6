"""top_k, sort and limit: against Polars' own sort over the whole input, after every epoch."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.errors import PlanError
from penstock.operators import best_rows, scores
from penstock.plan.ranking import final_order
from penstock.state.rows import RowStore
from penstock.testing import Epoch, outputs, scripted
from tests.operators.oracle import (
    Bag,
    bag_of,
    changing,
    check_every_epoch,
    cuts,
    epochs_of,
    frames,
    latest,
    restarts,
    split,
)
from tests.operators.states import Run

SCHEMA: dict[str, Any] = {
    "id": pl.Int64,
    "alive": pl.Boolean,
    "k": pl.String,
    "v": pl.Float64,
    "w": pl.Int64,
}
FLOATS = st.sampled_from([None, 0.0, -0.0, -1.5, 1.0, 2.0, float("nan"), float("inf")])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 8),
            "alive": st.booleans(),
            "k": st.sampled_from([None, "a", "b"]),
            "v": FLOATS,
            "w": st.sampled_from([None, -(2**63), -1, 0, 1, 2**63 - 1]),
        }
    ),
    max_size=30,
)
BY = st.sampled_from([["v"], ["w"], ["w", "v"], ["k", "w"], [pl.col("v").abs()], ["v", "w", "k"]])


def best(frame: pl.DataFrame, k: int, by: Any, down: list[bool], group: Any, rank: Any) -> Bag:
    """Sort the whole input and take the first rows of each group."""
    exprs = [pl.col(b) if isinstance(b, str) else b for b in by]
    ordered = frame.sort(exprs, descending=down, nulls_last=True, maintain_order=True)
    place = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    ordered = ordered.with_columns((place.over(group) if group else place).alias("rank"))
    ordered = ordered.filter(pl.col("rank") <= k)
    return bag_of(ordered if rank else ordered.drop("rank"))


@given(ROWS, cuts(), restarts(), st.integers(1, 4), BY, st.data(), st.sampled_from([None, "rank"]))
def test_top_k_of_append_only_rows(
    rows: Any, at: Any, restart: Any, k: int, by: Any, data: Any, rank: Any
) -> None:
    batches = frames(split(rows, at), SCHEMA)
    reverse = data.draw(st.lists(st.booleans(), min_size=len(by), max_size=len(by)))
    group = data.draw(st.sampled_from([None, "k", ["k", "alive"]]))
    stream = scripted("s", SCHEMA).top_k(
        k, by=by, reverse=reverse, group_by=() if group is None else group, rank=rank
    )
    down = [not flag for flag in reverse]

    def oracle(number: int) -> Bag:
        return best(pl.concat(batches[: number + 1]), k, by, down, group, rank)

    check_every_epoch(stream, epochs_of("s", batches), oracle, restart)


@pytest.fixture(params=[0, 1, 64])
def reserve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much of a group is kept in order beyond its best rows: in small groups all, or little."""
    monkeypatch.setattr(best_rows, "_RESERVE", request.param)


@pytest.mark.usefixtures("reserve")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, cuts(), restarts(), st.integers(1, 3), BY, st.data(), st.sampled_from([None, "rank"]))
def test_bottom_k_of_changes(
    rows: Any, at: Any, restart: Any, k: int, by: Any, data: Any, rank: Any
) -> None:
    pieces = split(rows, at)
    group = data.draw(st.sampled_from([None, "k"]))
    columns = ("k", "v", "w")
    stream = changing(scripted("s", SCHEMA), *columns).bottom_k(
        k, by=by, group_by=() if group is None else group, rank=rank
    )

    def oracle(number: int) -> Bag:
        living = pl.DataFrame(latest(pieces, number), schema=SCHEMA).select(columns)
        ordered = living.sort(columns, maintain_order=True)
        return best(ordered, k, by, [False] * len(by), group, rank)

    check_every_epoch(stream, epochs_of("s", frames(pieces, SCHEMA)), oracle, restart)


def test_a_hot_group_is_not_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of 20,000 rows is deleted 300 times, in epochs of its own: few look at all rows."""
    schema = {"id": pl.Int64, "alive": pl.Boolean, "v": pl.Int64}
    rows = [{"id": i, "alive": True, "v": i} for i in range(20_000)]
    gone = [[{"id": i, "alive": False, "v": i}] for i in range(19_999, 19_699, -1)]
    read: list[int] = []
    lookup = RowStore.lookup_ids

    def counting(self: RowStore, slots: Any) -> Any:
        found = lookup(self, slots)
        read.append(len(found[1]))
        return found

    stream = changing(scripted("s", schema), "v").top_k(2, by="v")
    driven = outputs(stream, epochs_of("s", frames([rows, *gone], schema))[:1])
    assert driven
    monkeypatch.setattr(RowStore, "lookup_ids", counting)
    deltas = outputs(stream, epochs_of("s", frames([rows, *gone], schema)))
    total = (
        pl.concat([d for d in deltas if d is not None]).group_by("v").agg(pl.col("_weight").sum())
    )
    assert sorted(total.filter(pl.col("_weight") > 0)["v"]) == [19_698, 19_699]
    assert sum(count > 5_000 for count in read) < 12


@given(ROWS, st.integers(1, 5), st.sampled_from(["v", "w"]))
def test_top_k_chooses_what_polars_chooses(rows: Any, k: int, by: str) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    stream = scripted("s", SCHEMA).top_k(k, by=by).select(by)
    (delta, *_) = outputs(stream, [Epoch({"s": frame})])
    found = [] if delta is None else delta[by].to_list()
    wanted = frame.lazy().top_k(k, by=by).collect()
    assert bag_of(pl.DataFrame({by: found}, schema={by: SCHEMA[by]})) == bag_of(wanted.select(by))


@given(ROWS, cuts(), restarts(), st.booleans(), st.booleans())
def test_sort(rows: Any, at: Any, restart: Any, down: bool, last: bool) -> None:
    pieces = split(rows, at)
    batches = frames(pieces, SCHEMA)
    options = {"descending": down, "nulls_last": last}
    stream = scripted("s", SCHEMA).sort("v", **options)
    *before, found = outputs(stream, epochs_of("s", batches), restart_after=restart)
    assert not any(d is not None for d in before)
    wanted = pl.concat(batches).sort("v", maintain_order=True, **options)  # type: ignore[arg-type]
    assert (wanted.clear() if found is None else found).equals(wanted)

    changes = changing(scripted("s", SCHEMA), "v", "w").sort("v", **options)
    *before, found = outputs(changes, epochs_of("s", batches), restart_after=restart)
    living = pl.DataFrame(latest(pieces, len(pieces)), schema=SCHEMA).select("v", "w")
    wanted = living.sort("v", "w").sort("v", maintain_order=True, **options)  # type: ignore[arg-type]
    assert (wanted.clear() if found is None else found).equals(wanted)


@given(ROWS, cuts(), restarts(), st.integers(0, 10))
def test_limit(rows: Any, at: Any, restart: Any, n: int) -> None:
    batches = frames(split(rows, at), SCHEMA)
    stream = scripted("s", SCHEMA, bounded=False).head(n)
    found = [
        d for d in outputs(stream, epochs_of("s", batches), restart_after=restart) if d is not None
    ]
    assert pl.concat([batches[0].clear(), *found]).equals(pl.concat(batches).head(n))


def test_sort_and_limit_is_top_k() -> None:
    stream = scripted("s", SCHEMA, bounded=False).sort("v", descending=True).limit(3)
    assert stream.node.kind == "TopK"
    order = final_order(stream.node)
    assert order is not None
    assert order.sort(pl.DataFrame({"v": [1.0, 3.0, None]}))["v"].to_list() == [None, 3.0, 1.0]


def test_what_has_no_order_is_refused() -> None:
    endless = scripted("s", SCHEMA, bounded=False)
    with pytest.raises(PlanError, match="never ends cannot be sorted"):
        endless.sort("v").filter(pl.col("v") > 0)
    with pytest.raises(PlanError, match="changes have no first rows"):
        changing(endless, "v").limit(3)
    with pytest.raises(PlanError, match="k must be a positive integer"):
        endless.top_k(0, by="v")
    with pytest.raises(PlanError, match="looks at other rows"):
        endless.top_k(1, by=pl.col("v").cum_sum())
    with pytest.raises(PlanError, match="2 flags for 1 columns"):
        endless.top_k(1, by="v", reverse=[True, False])
    with pytest.raises(PlanError, match="'w' is there already"):
        endless.top_k(1, by="v", rank="w")
    with pytest.raises(PlanError, match="which has no order"):
        scripted("s", {"l": pl.List(pl.Int64)}).top_k(1, by="l")


TIMED: dict[str, Any] = {"ts": pl.Datetime("us"), "v": pl.Int64}
START = datetime(1970, 1, 1)


def test_groups_are_freed_behind_the_watermark() -> None:
    run = Run(scripted("s", TIMED).with_watermark("ts", "2s").top_k(2, by="v", group_by="ts"))
    for second in range(50):
        times = [START + timedelta(seconds=second)] * 5
        run(Epoch({"s": pl.DataFrame({"ts": times, "v": list(range(5))}, TIMED)}))
        assert run.rows("rows") <= 2 * 3
    assert run.rows("rows") == 2 * 3
    assert run.rows("groups") == 3


VALUES: list[tuple[Any, list[Any]]] = [
    (pl.Int64, [-(2**63), -(2**63) + 4, -1, 0, 2**63 - 1]),
    (pl.UInt64, [0, 9, 2**63, 2**64 - 1]),
    (pl.Float64, [float("-inf"), -1.5, 0.0, 1e-300, 2.5, float("inf"), float("nan")]),
    (pl.Float32, [-1.5, 0.0, 2.5, float("nan")]),
    (pl.Boolean, [False, True]),
    (pl.Date, [date(1900, 1, 1), date(2025, 1, 1)]),
    (pl.Enum(["b", "a"]), ["b", "a"]),
]


@pytest.mark.parametrize(("dtype", "values"), VALUES)
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_scores_sort_as_the_values_do(dtype: Any, values: Any, down: bool, last: bool) -> None:
    series = pl.Series("v", [None, *reversed(values), None], dtype=dtype)
    assert scores.has_scores(series.dtype)
    found = scores.scores(series, descending=down, nulls_last=last)
    order = pl.Series(found).arg_sort()
    wanted = series.sort(descending=down, nulls_last=last)
    assert series[order].equals(wanted, null_equal=True)
