"""Joins among other steps, and their state over time."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock.windows as ps
from penstock.columns import WEIGHT
from penstock.lowering.joins import recomputed_join
from penstock.operators.contract import Tick
from penstock.operators.join import How, Join, JoinInput, JoinSpec
from penstock.operators.pairs import OutputColumn, Pairing
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.executing import run
from tests.operators.histories import bag, changing, driven, fewer, histories

ORDERS: dict[str, Any] = {"id": pl.Int64, "customer": pl.Int64, "amount": pl.Int64}
CUSTOMERS: dict[str, Any] = {"customer": pl.Int64, "city": pl.String}
_ORDERS = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2), st.integers(-5, 5))
_CUSTOMERS = st.tuples(st.none() | st.integers(0, 2), st.sampled_from(["a", "b", None]))


@pytest.mark.parametrize("how", ["inner", "left", "full"])
@fewer
@given(data=st.data())
def test_aggregate_over_join_over_aggregate(how: str, data: st.DataObject) -> None:
    """Sum per customer, join, sum per city: as changes, in every epoch."""
    count = data.draw(st.integers(1, 4))
    orders = data.draw(histories(ORDERS, _ORDERS, count))
    customers = data.draw(histories(CUSTOMERS, _CUSTOMERS, count))
    make: Any = {True: changing, False: scripted}
    one = make[orders.changelog]("o", ORDERS)
    two = make[customers.changelog]("c", CUSTOMERS)
    totals = one.group_by("customer").agg(pl.col("amount").sum(), n=pl.len())
    joined = totals.join(two, on="customer", how=how)
    stream = joined.group_by("city").agg(pl.col("amount").sum(), rows=pl.len())
    restarts = data.draw(st.sets(st.integers(0, count - 1)))
    deltas = outputs(stream, driven("oc", [orders, customers]), restart_after=restarts)
    for epoch in range(count):
        sums: dict[Any, int] = {}
        for _, customer, amount in orders.contents(epoch):
            sums[customer] = sums.get(customer, 0) + amount
        pairs: list[tuple[Any, Any]] = []
        there = customers.contents(epoch)
        for customer, amount in sums.items():
            cities = [city for c, city in there if c == customer and c is not None]
            pairs += [(city, amount) for city in cities]
            pairs += [(None, amount)] if not cities and how != "inner" else []
        if how == "full":
            pairs += [(city, None) for c, city in there if c is None or c not in sums]
        found: dict[Any, list[Any]] = {}
        for city, amount in pairs:
            found.setdefault(city, []).append(amount)
        expected = Counter(
            (city, sum(a for a in amounts if a is not None), len(amounts))
            for city, amounts in found.items()
        )
        assert bag(integrate(stream, deltas[: epoch + 1])) == expected


@fewer
@given(
    transfers=st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 9)), max_size=5),
        max_size=5,
    )
)
def test_transfers_sum_to_zero_in_every_epoch(transfers: list[list[Any]]) -> None:
    """What left all accounts and what reached them, joined from one stream, always balance."""
    schema: dict[str, Any] = {"from": pl.Int64, "to": pl.Int64, "amount": pl.Int64}
    moves = scripted("m", schema)
    out = moves.group_by(account="from").agg(out=pl.col("amount").sum())
    into = moves.group_by(account="to").agg(into=pl.col("amount").sum())
    both = out.join(into, on="account", how="full", coalesce=True)
    total = both.select(
        pl.col("into").fill_null(0).sum() - pl.col("out").fill_null(0).sum(), n=pl.len()
    )
    epochs = [Epoch({"m": pl.DataFrame(e, schema=schema, orient="row")}) for e in transfers if e]
    deltas = outputs(total, epochs)
    for number in range(len(deltas)):
        rows = integrate(total, deltas[: number + 1]).rows()
        assert [row[0] for row in rows] == [0]


def at(second: float) -> dt.datetime:
    return dt.datetime(2025, 1, 1) + dt.timedelta(seconds=second)


@pytest.mark.parametrize("how", ["inner", "left", "full", "anti"])
def test_windowed_streams_are_joined_and_freed(how: Any) -> None:
    schema: dict[str, Any] = {"t": pl.Datetime("ms"), "k": pl.Int64}
    windowed = [
        scripted(name, schema)
        .with_watermark("t", late, max_ahead=None)
        .group_by("k", ps.tumbling("10s"))
        .agg(pl.len().alias(f"n_{name}"))
        for name, late in (("l", "1s"), ("r", "15s"))
    ]
    on = ["k", "window_start", "window_end"]
    stream = windowed[0].join(windowed[1], on=on, how=how, coalesce=True)
    epochs: list[Epoch] = []
    tables: dict[str, list[pl.DataFrame]] = {"l": [], "r": []}
    rng = np.random.default_rng(3)
    for number in range(50):
        rows: dict[str | tuple[str, int], pl.DataFrame] = {}
        for name in "lr":
            seconds = number * 10 + np.sort(rng.random(20)) * 10
            keys = rng.integers(0, 12, 20)
            frame = pl.DataFrame({"t": [at(s) for s in seconds], "k": keys}, schema=schema)
            rows[name] = frame
            tables[name].append(frame)
        ended = frozenset("lr") if number == 49 else frozenset()
        epochs.append(Epoch(rows, ended=ended))
    deltas, largest = [], 0
    for executor, delta in run(stream, epochs):
        deltas.append(delta)
        join = next(v.operator for v in executor.graph.vertices if v.kind == "join")
        assert join is not None
        if delta is not None and len(deltas) < 50:
            largest = max(largest, *(len(part) for part in join.state.values()))
    assert largest < 80
    batch = [
        pl.concat(tables[name])
        .with_columns(window_start=pl.col("t").dt.truncate("10s"))
        .with_columns(window_end=pl.col("window_start") + pl.duration(seconds=10))
        .group_by("k", "window_start", "window_end")
        .agg(pl.len().alias(f"n_{name}"))
        for name in "lr"
    ]
    wanted = batch[0].join(batch[1], on=on, how=how, coalesce=True)
    assert bag(integrate(stream, deltas)) == Counter(wanted.select(stream.columns).rows())
    final = outputs(stream.emit("final"), epochs)
    assert all(delta is None or WEIGHT not in delta.columns for delta in final)
    assert bag(integrate(stream.emit("final"), final)) == Counter(
        wanted.select(stream.columns).rows()
    )


def test_time_to_live_frees_keys() -> None:
    schema: dict[str, Any] = {"k": pl.Int64}
    stream = scripted("l", schema).join(scripted("r", schema), on="k", ttl="10s")
    second = 10**9
    epochs = [
        Epoch({"l": pl.DataFrame({"k": [number]})}, now=number * second) for number in range(100)
    ]
    for executor, _ in run(stream, epochs):
        join = next(v.operator for v in executor.graph.vertices if v.kind == "join")
        assert join is not None
        assert len(join.state["left"]) <= 13
        assert len(join.state["index"]) <= 13


def _spec(how: How, *, changelog: bool) -> JoinSpec:
    left = pl.Schema({"k": pl.Int64(), "v": pl.Int64(), "s": pl.List(pl.Int64())})
    right = pl.Schema({"k": pl.Int64(), "w": pl.Int64()})
    columns = [OutputColumn(c, c, None) for c in left]
    if how.pairs:
        columns += [OutputColumn("k_right", None, "k"), OutputColumn("w", None, "w")]
    schema = pl.Schema({c.name: {**left, "k_right": pl.Int64(), **right}[c.name] for c in columns})
    key = (pl.col("k"),)
    return JoinSpec(
        JoinInput(left, key, changelog),
        JoinInput(right, key, changelog),
        how,
        pl.Schema({"key0": pl.Int64()}),
        Pairing(tuple(columns), schema),
        changelog=True,
    )


@pytest.mark.parametrize("how", [How.INNER, How.LEFT, How.RIGHT, How.FULL, How.SEMI, How.ANTI])
def test_hot_keys_agree_with_recomputation(how: How) -> None:
    """Keys of thousands of rows: deletions find theirs by hash instead of a scan."""
    rng = np.random.default_rng(7)
    spec = _spec(how, changelog=True)
    fast = Join(spec)
    slow = recomputed_join(spec, None, None, "join", None)
    living = pl.DataFrame(schema=spec.left.schema)
    ours, theirs = [], []
    for epoch in range(8):
        size = 4000 if epoch < 2 else 30
        fresh = pl.DataFrame(
            {"k": rng.integers(0, 2, size), "v": rng.integers(0, 400, size)}
        ).with_columns(s=pl.when(pl.col("v") % 3 > 0).then(pl.concat_list("v", pl.lit(1))))
        gone = living.sample(min(20, living.height), seed=epoch)
        living = pl.concat([living, fresh])
        left = pl.concat(
            [
                gone.with_columns(pl.lit(-1).alias(WEIGHT)),
                fresh.with_columns(pl.lit(1).alias(WEIGHT)),
            ]
        ).cast({WEIGHT: pl.Int64})
        right = pl.DataFrame(
            {"k": [epoch % 3], "w": [epoch // 3 % 2], WEIGHT: [1 if epoch < 4 else -1]}
        )
        if epoch >= 4:
            right = right.with_columns(k=(epoch - 4) % 3, w=(epoch - 4) // 3 % 2).cast(pl.Int64)
        deleted = gone.group_by("k", "v").len()
        living = living.with_row_index("row")
        last = living.join(deleted, on=["k", "v"]).filter(
            pl.int_range(pl.len(), 0, -1).over("k", "v") <= pl.col("len")
        )
        living = living.join(last, on="row", how="anti").drop("row")
        tick = Tick(epoch=epoch, now=0, watermarks=(0, 0))
        ours.append(fast.step([left, right], tick))
        theirs.append(slow.step([left, right], tick))
        assert _total(ours) == _total(theirs)
    assert len(fast.state["left"]) == living.height


def _total(deltas: list[pl.DataFrame | None]) -> dict[Any, int]:
    found: Counter[Any] = Counter()
    for delta in deltas:
        for *row, weight in [] if delta is None else delta.rows():
            found[tuple(str(value) for value in row)] += weight
    return {row: weight for row, weight in found.items() if weight}


def test_what_leaves_is_consolidated_with_deletions_first() -> None:
    schema: dict[str, Any] = {"k": pl.Int64}
    stream = changing("l", schema).join(
        changing("r", {"k": pl.Int64, "w": pl.Int64}), on="k", how="left"
    )

    def frame(*rows: tuple[int, ...], **schema: Any) -> pl.DataFrame:
        return pl.DataFrame(rows, schema={**schema, "sign": pl.Int64}, orient="row")

    deltas = outputs(
        stream,
        [
            Epoch({"l": frame((1, 1), (2, 1), k=pl.Int64)}),
            Epoch({"r": frame((1, 5, 1), k=pl.Int64, w=pl.Int64)}),
            Epoch(
                {
                    "r": frame((1, 5, -1), (1, 6, 1), k=pl.Int64, w=pl.Int64),
                    "l": frame((2, -1), (2, 1), k=pl.Int64),
                }
            ),
        ],
    )
    assert [None if d is None else d.rows() for d in deltas] == [
        [(1, None, 1), (2, None, 1)],
        [(1, None, -1), (1, 5, 1)],
        [(1, 5, -1), (1, 6, 1)],
    ]
