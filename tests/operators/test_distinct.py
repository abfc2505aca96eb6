"""unique: against Polars over the whole input, after every epoch."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PlanError
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

SCHEMA: dict[str, Any] = {"id": pl.Int64, "alive": pl.Boolean, "k": pl.String, "v": pl.Float64}
FLOATS = st.sampled_from([None, 0.0, -0.0, 1.0, 2.0, float("nan")])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.integers(0, 6),
            "alive": st.booleans(),
            "k": st.sampled_from([None, "a", "b", "c"]),
            "v": FLOATS,
        }
    ),
    max_size=25,
)
KEEPS = st.sampled_from(["any", "first", "last", "none"])


@given(ROWS, cuts(), restarts(), KEEPS, st.sampled_from([None, "k", ["k", "v"]]))
def test_append_only_rows(rows: Any, at: Any, restart: Any, keep: Any, subset: Any) -> None:
    batches = frames(split(rows, at), SCHEMA)
    stream = scripted("s", SCHEMA).unique(subset, keep=keep)
    assert stream.is_changelog == (keep in ("last", "none"))

    def oracle(number: int) -> Bag:
        return bag_of(
            pl.concat(batches[: number + 1]).unique(
                subset, keep="first" if keep == "any" else keep, maintain_order=True
            )
        )

    check_every_epoch(stream, epochs_of("s", batches), oracle, restart)


@given(ROWS, cuts(), restarts(), KEEPS, st.sampled_from([None, "k"]))
def test_changes(rows: Any, at: Any, restart: Any, keep: Any, subset: Any) -> None:
    pieces = split(rows, at)
    stream = changing(scripted("s", SCHEMA), "k", "v").unique(subset, keep=keep)

    def oracle(number: int) -> Bag:
        living = pl.DataFrame(latest(pieces, number), schema=SCHEMA).select("k", "v")
        ordered = living.sort("k", "v", maintain_order=True)
        return bag_of(
            ordered.unique(subset, keep="first" if keep == "any" else keep, maintain_order=True)
        )

    check_every_epoch(stream, epochs_of("s", frames(pieces, SCHEMA)), oracle, restart)


TIMED: dict[str, Any] = {"ts": pl.Datetime("us"), "k": pl.Int64}
START = datetime(1970, 1, 1)


def at(second: int, *keys: int) -> pl.DataFrame:
    return pl.DataFrame([(START + timedelta(seconds=second), k) for k in keys], TIMED, orient="row")


@pytest.mark.parametrize("keep", ["first", "last", "none"])
def test_keys_are_freed_behind_the_watermark(keep: Any) -> None:
    stream = scripted("s", TIMED).with_watermark("ts", "5s").unique(["ts", "k"], keep=keep)
    run = Run(stream)
    for second in range(100):
        run(Epoch({"s": at(second, 1, 2, 2)}))
        assert run.rows("seen", "rows") <= 2 * 6
    assert run.rows("seen", "rows") == 2 * 6


def test_keys_are_freed_after_their_time_to_live() -> None:
    stream = scripted("s", TIMED).unique("k", ttl="10s")
    moments = [(0, 1), (5, 1), (30, 2), (31, 1)]
    epochs = [Epoch({"s": at(0, key)}, now=n * 1_000_000_000) for n, key in moments]
    found = [None if d is None else d["k"].to_list() for d in outputs(stream, epochs)]
    assert found == [[1], None, [2], [1]]


def test_properties() -> None:
    stream = scripted("s", TIMED).with_watermark("ts")
    first, last = stream.unique("k"), stream.unique("k", keep="last")
    assert first.node.properties.unique_on(["k"])
    assert last.node.properties.unique_on(["k"])
    assert set(first.node.properties.times) == {"ts"}
    assert set(last.node.properties.times) == set()


def test_wrong_options() -> None:
    stream = scripted("s", TIMED)
    with pytest.raises(PlanError, match="unknown keep 'lest'\n  did you mean 'last'"):
        stream.unique("k", keep="lest")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="no column 'z'"):
        stream.unique("z")
    with pytest.raises(PlanError, match="subset is empty"):
        stream.unique([])
