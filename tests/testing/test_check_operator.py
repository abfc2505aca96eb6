"""``check_operator`` finds what is wrong, and cuts the input down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import polars as pl
import pytest

from penstock.columns import WEIGHT
from penstock.errors import ConfigError
from penstock.lowering.table import TABLE
from penstock.operators.contract import Delta, Operator, Tick
from penstock.plan.distinct import Unique
from penstock.state.contract import Stateful
from penstock.stream import Stream
from penstock.testing import Compare, ContractBroken, Input, check_operator

ROWS = Input({"n": pl.Int64})
CHANGES = Input({"n": pl.Int64}, changelog=True)


def test_a_wrong_answer_is_cut_down() -> None:
    def odd(s: Stream) -> Stream:
        return s.filter(pl.col("n") != 3)

    with pytest.raises(ContractBroken) as caught:
        check_operator(odd, lambda s: s.drop_nulls("n"), {"s": ROWS})
    told = str(caught.value)
    assert "pipeline odd" in told
    assert "missing: (3,)" in told
    assert "seed:" in told
    assert told.count("epoch 0: s: +(3,)") == 1
    assert "epoch 1" not in told.split("input:")[1]


class Remembering(Operator):
    """Passes a row the first time it comes, and keeps that in a list, which no checkpoint holds."""

    def __init__(self) -> None:
        self.seen: set[object] = set()

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        (delta,) = deltas
        if delta is None:
            return None
        fresh = [n for n in dict.fromkeys(delta["n"].to_list()) if n not in self.seen]
        self.seen.update(fresh)
        return pl.DataFrame({"n": fresh}, schema=delta.schema) if fresh else None


class Growing(Operator):
    """Keeps all rows."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.state: Mapping[str, Stateful] = {"rows": self.rows}

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        (delta,) = deltas
        self.rows.count += 0 if delta is None else delta.height
        return delta


class Rows:
    """State that counts, and never loses any."""

    count = 0
    nbytes = 0
    must_rewrite = False

    def __len__(self) -> int:
        return self.count

    def delta(self) -> dict[str, pl.DataFrame]:
        return {}

    full = delta

    def load(self, parts: list[dict[str, pl.DataFrame]]) -> None:
        pass


def lower_unique_to(operator: type[Operator], monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Any = {Unique: lambda node: [operator()]}
    for node, lowered in broken.items():
        monkeypatch.setitem(cast(Any, TABLE), node, lowered)


def distinct(s: Any) -> Any:
    return s.unique()


def test_state_that_a_restart_loses_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check_operator(distinct, distinct, {"s": ROWS})
    lower_unique_to(Remembering, monkeypatch)
    with pytest.raises(ContractBroken, match="loaded into a new graph") as caught:
        check_operator(distinct, distinct, {"s": ROWS})
    assert "too many" in str(caught.value)


def test_state_that_grows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lower_unique_to(Growing, monkeypatch)
    with pytest.raises(ContractBroken, match="at most 20 rows"):
        check_operator(distinct, lambda s: s, {"s": ROWS}, most_state_rows=20, examples=3)


class Doubling(Operator):
    """Deletes what was never there."""

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        (delta,) = deltas
        return None if delta is None else delta.with_columns(pl.lit(-1, pl.Int64).alias(WEIGHT))


def test_a_changelog_below_zero_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lower_unique_to(Doubling, monkeypatch)
    with pytest.raises(ContractBroken, match="deletes only rows that are there"):
        check_operator(distinct, distinct, {"s": CHANGES})


def test_the_end_alone_may_count() -> None:
    check_operator(
        lambda s: s.sort("n"), lambda s: s, {"s": ROWS}, compare=Compare.AT_END, examples=5
    )
    with pytest.raises(ContractBroken, match="after epoch 0"):
        check_operator(lambda s: s.sort("n"), lambda s: s, {"s": ROWS})


def test_a_type_without_values_is_explained() -> None:
    schema = {"l": pl.List(pl.Int64)}
    with pytest.raises(ConfigError, match=r"Input\(..., values="):
        check_operator(lambda s: s, lambda s: s, {"s": Input(schema)})
    check_operator(lambda s: s, lambda s: s, {"s": Input(schema, {"l": [[1], None]})}, examples=3)
