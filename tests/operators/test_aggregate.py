"""Aggregation without windows, and expressions over other rows: against Polars over all rows."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock as ps
from penstock.errors import StateLimitError
from penstock.testing import Epoch, integrate, outputs, scripted
from tests.operators.oracle import (
    Bag,
    bag_of,
    changing,
    check_every_epoch,
    cuts,
    epochs_of,
    frames,
    half,
    latest,
    restarts,
    split,
)
from tests.operators.states import Run

SCHEMA: dict[str, Any] = {
    "id": pl.Int64,
    "alive": pl.Boolean,
    "k": pl.Float64,
    "v": pl.Int64,
    "s": pl.String,
}
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 6),
            "alive": st.booleans(),
            "k": st.sampled_from([None, 0.0, -0.0, 1.0, float("nan")]),
            "v": st.none() | st.integers(-4, 4),
            "s": st.sampled_from([None, "a", "b"]),
        }
    ),
    max_size=25,
)
V, S = pl.col("v"), pl.col("s")
PARTIAL = [
    pl.len(),
    V.sum().alias("sum"),
    V.count().alias("count"),
    V.filter(S == "a").sum().alias("only"),
    (V.sum() / pl.len()).alias("ratio"),
]
EXTREME = [V.min().alias("min"), V.max().alias("max"), S.max().alias("s_max")]
ORDERED = [V.first().alias("first"), V.last().alias("last")]
WHOLE = [V.median().alias("median"), V.n_unique().alias("n"), V.sort().implode().alias("all")]
OVER = [
    [(V - V.sum().over("k")).alias("x")],
    [V.rank("ordinal").over("k").alias("x"), V.max().over("k").alias("y")],
    [V.cum_sum(reverse=True).over("k").alias("x")],
    [(V - V.mean()).alias("x")],
]


@pytest.mark.parametrize("keys", [["k"], ["k", "s"], []])
@half
@given(ROWS, cuts(), restarts(), st.sampled_from([PARTIAL, EXTREME, ORDERED, WHOLE]))
def test_groups_of_append_only_rows(
    keys: list[str], rows: Any, at: Any, restart: Any, aggs: Any
) -> None:
    batches = frames(split(rows, at), SCHEMA)
    source = scripted("s", SCHEMA)
    stream = source.group_by(keys).agg(aggs) if keys else source.select(aggs)

    def oracle(number: int) -> Bag:
        whole = pl.concat(batches[: number + 1])
        return bag_of(whole.group_by(keys).agg(aggs) if keys else whole.select(aggs))

    check_every_epoch(stream, epochs_of("s", batches), oracle, restart)


@pytest.mark.parametrize("keys", [["k"], ["k", "s"], []])
@half
@given(ROWS, cuts(), restarts(), st.sampled_from([PARTIAL, EXTREME, WHOLE]))
def test_groups_of_changes(keys: list[str], rows: Any, at: Any, restart: Any, aggs: Any) -> None:
    pieces = split(rows, at)
    source = changing(scripted("s", SCHEMA), "k", "v", "s")
    stream = source.group_by(keys).agg(aggs) if keys else source.select(aggs)

    def oracle(number: int) -> Bag:
        living = pl.DataFrame(latest(pieces, number), schema=SCHEMA)
        return bag_of(living.group_by(keys).agg(aggs) if keys else living.select(aggs))

    check_every_epoch(stream, epochs_of("s", frames(pieces, SCHEMA)), oracle, restart)


@half
@given(ROWS, cuts(), restarts(), st.sampled_from(OVER), st.booleans())
def test_over_other_rows(rows: Any, at: Any, restart: Any, exprs: Any, changes: bool) -> None:
    pieces = split(rows, at)
    batches = frames(pieces, SCHEMA)
    columns = ["k", "v", "s"]
    source = scripted("s", SCHEMA)
    source = changing(source, *columns) if changes else source.select(columns)
    stream = source.with_columns(exprs)
    assert stream.node.kind == "Over"

    def oracle(number: int) -> Bag:
        whole = pl.concat(batches[: number + 1])
        if changes:
            whole = pl.DataFrame(latest(pieces, number), schema=SCHEMA)
            whole = whole.sort(columns, maintain_order=True)
        return bag_of(whole.select(columns).with_columns(exprs))

    check_every_epoch(stream, epochs_of("s", batches), oracle, restart)


@half
@given(ROWS, cuts(), restarts())
def test_aggregates_of_aggregates(rows: Any, at: Any, restart: Any) -> None:
    batches = frames(split(rows, at), SCHEMA)
    first = scripted("s", SCHEMA).group_by("k", "s").agg(pl.len().alias("n"), V.max())
    stream = first.group_by("s").agg(pl.col("n").sum(), V.median(), pl.len())

    def oracle(number: int) -> Bag:
        inner = (
            pl.concat(batches[: number + 1]).group_by("k", "s").agg(pl.len().alias("n"), V.max())
        )
        return bag_of(inner.group_by("s").agg(pl.col("n").sum(), V.median(), pl.len()))

    check_every_epoch(stream, epochs_of("s", batches), oracle, restart)


def row(key: float, value: int, *, alive: bool = True) -> dict[str, Any]:
    return {"id": value, "alive": alive, "k": key, "v": value, "s": "a"}


@pytest.mark.parametrize("aggs", [[pl.len()], [V.median()]], ids=["partial", "whole"])
def test_idle_groups_are_freed(aggs: Any) -> None:
    run = Run(scripted("s", SCHEMA).group_by("k", ttl="10s").agg(aggs))
    for second in range(100):
        frame = pl.DataFrame([row(second, 1)], SCHEMA)
        run(Epoch({"s": frame}, now=second * 1_000_000_000))
    assert run.rows("groups", "index") <= 12
    assert run.rows("touched") <= 12


@pytest.mark.parametrize("aggs", [[pl.len()], [V.median()]], ids=["partial", "whole"])
def test_groups_without_rows_are_freed(aggs: Any) -> None:
    run = Run(changing(scripted("s", SCHEMA), "k", "v").group_by("k").agg(aggs))
    for number in range(20):
        run(Epoch({"s": pl.DataFrame([row(number, number)], SCHEMA)}))
    assert run.rows("groups", "index") == 20
    for number in range(20):
        run(Epoch({"s": pl.DataFrame([row(number, number, alive=False)], SCHEMA)}))
    assert run.rows("groups", "index", "emitted", "rows0") == 0


def test_a_group_too_large_is_an_error() -> None:
    stream = scripted("s", SCHEMA).group_by("k", max_group_rows=5).agg(V.median())
    frame = pl.DataFrame([row(1.0, n) for n in range(6)], SCHEMA)
    with pytest.raises(StateLimitError, match=r"group \[\(1.0,\)\] has 6 rows, the limit is 5"):
        outputs(stream, [Epoch({"s": frame})])


def test_constant_columns_make_no_other_last_bit() -> None:
    """Polars divides by a constant column by the reciprocal: 0.1 / 5 has another last bit then."""
    schema = {"k": pl.String, "x": pl.Float64}
    parts = [scripted(n, schema).group_by("k").agg(pl.col("x").last()) for n in "st"]
    union = ps.concat([part.with_columns(n=pl.lit(5, pl.Int64)) for part in parts])
    divided = union.with_columns(y=pl.col("x") / pl.col("n"))
    one = pl.DataFrame({"k": ["a"], "x": [0.1]})
    two = one.with_columns(x=pl.lit(1.0))
    alone, both = Epoch({"s": one}), Epoch({"s": two, "t": two})
    deltas = outputs(divided, [alone, both, alone])
    assert integrate(divided, deltas)["y"].to_list() == [0.2, 0.02]


_LARGE = st.sampled_from([2**63 - 1, -(2**63), 2**62 + 1, -1, 0, 1, None])


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int8, pl.Boolean])
@given(values=st.lists(_LARGE, max_size=20), at=cuts(), restart=restarts())
def test_the_mean_of_whole_numbers_does_not_depend_on_the_cut(
    dtype: Any, values: list[int | None], at: Any, restart: Any
) -> None:
    """The sum is exact and rounded once, however large the numbers are."""
    fitting = {pl.UInt64: lambda v: v & 2**64 - 1, pl.Int8: lambda v: v % 200 - 100}
    take = fitting.get(dtype, bool if dtype == pl.Boolean else int)
    rows = [{"v": None if value is None else take(value)} for value in values]
    pieces = split(rows, at)
    stream = scripted("s", {"v": dtype}).select(pl.col("v").mean())

    def oracle(number: int) -> Bag:
        known = [row["v"] for piece in pieces[: number + 1] for row in piece]
        known = [int(value) for value in known if value is not None]
        mean = float(sum(known)) / len(known) if known else None
        return bag_of(pl.DataFrame({"v": [mean]}, schema={"v": pl.Float64}))

    check_every_epoch(stream, epochs_of("s", frames(pieces, {"v": dtype})), oracle, restart)
