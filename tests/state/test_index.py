from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import frame_of, grouped, rows_of, schemas

from penstock.state import keys as keys_module
from penstock.state.index import KeyIndex


class Model:
    """A dict from key to slot that checks what KeyIndex answers."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self.slots: dict[Any, int] = {}

    def lookup(self, rows: list[Any]) -> list[int]:
        return [self.slots.get(grouped(row), -1) for row in rows]

    def learn(self, rows: list[Any], slots: list[int]) -> None:
        for row, slot in zip(rows, slots, strict=True):
            known = self.slots.setdefault(grouped(row), slot)
            assert known == slot
        assert len(set(self.slots.values())) == len(self.slots)


def run(data: Any, schema: pl.Schema, pairs: Any) -> None:
    index, model = KeyIndex(schema, smallest_garbage=3), Model(schema)
    parts = [index.full()]
    for _ in range(data.draw(st.integers(1, 8))):
        rows = data.draw(rows_of(data.draw(st.integers(0, 6)), pairs))
        frame = frame_of(rows, schema)
        action = data.draw(st.sampled_from(["assign", "unique", "release", "snapshot", "reload"]))
        assert index.lookup(frame).tolist() == model.lookup(rows)
        if action == "assign":
            model.learn(rows, index.assign(frame).tolist())
        elif action == "unique":
            rows = list({grouped(row): row for row in rows}.values())
            model.learn(rows, index.assign(frame_of(rows, schema), unique=True).tolist())
        elif action == "release" and model.slots:
            gone = data.draw(st.sets(st.sampled_from(sorted(model.slots.values()))))
            index.release(np.array(sorted(gone), np.int64))
            model.slots = {key: slot for key, slot in model.slots.items() if slot not in gone}
        elif action == "snapshot":
            parts.append(index.delta())
        elif action == "reload":
            parts.append(index.delta())
            index = KeyIndex(schema, smallest_garbage=3)
            index.load(parts)
            assert index.delta() == {}
            if data.draw(st.booleans()):
                parts = [*parts, index.full()]
        assert len(index) == len(model.slots)
        assert index.live_slots().tolist() == sorted(model.slots.values())
        live = index.live_slots()
        stored = [grouped(row) for row in index.keys(live).rows()] if schema else [()] * len(live)
        assert stored == [key for key, _ in sorted(model.slots.items(), key=lambda item: item[1])]


@given(data=st.data(), drawn=schemas("k", 3))
def test_behaves_like_a_dict(data: Any, drawn: Any) -> None:
    run(data, *drawn)


@given(data=st.data(), drawn=schemas("k", 2))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keys_with_the_same_hash_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, data: Any, drawn: Any
) -> None:
    monkeypatch.setattr(
        keys_module, "hash_columns", lambda height, _: np.full(height, 2**64 - 1, np.uint64)
    )
    run(data, *drawn)


def test_growth_release_and_reuse_at_size() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    rng = np.random.default_rng(3)
    model: dict[int, int] = {}
    for _ in range(60):
        numbers = rng.integers(0, 40_000, 3_000)
        slots = index.assign(pl.DataFrame({"k": numbers}))
        for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
            assert model.setdefault(number, slot) == slot
        gone = rng.choice(list(model), 1_500, replace=False).tolist()
        index.release(np.array([model.pop(number) for number in gone]))
        assert len(index) == len(model)
    everything = np.arange(40_000)
    expected = [model.get(number, -1) for number in everything.tolist()]
    assert index.lookup(pl.DataFrame({"k": everything})).tolist() == expected
    assert index.capacity <= 40_000


def test_new_slots_follow_the_order_of_arrival() -> None:
    index = KeyIndex(pl.Schema({"k": pl.String}))
    assert index.assign(pl.DataFrame({"k": ["c", "a", "c", None, "b"]})).tolist() == [0, 1, 0, 2, 3]


def test_all_rows_of_a_global_group_are_in_slot_0() -> None:
    index = KeyIndex(pl.Schema({}))
    assert index.lookup(pl.DataFrame(height=2)).tolist() == [-1, -1]
    assert index.assign(pl.DataFrame(height=3)).tolist() == [0, 0, 0]
    assert index.lookup(pl.DataFrame(height=2)).tolist() == [0, 0]
    assert index.keys(np.array([0])).height == 1


def test_releasing_an_unknown_key_changes_nothing() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    keys = pl.DataFrame({"k": np.arange(64)})
    slots = index.assign(keys)
    index.release(np.array([-1]))
    assert index.lookup(keys).tolist() == slots.tolist()
    assert len(index) == 64


def test_a_delta_holds_only_what_changed() -> None:
    index = KeyIndex(pl.Schema({"k": pl.Int64}))
    index.assign(pl.DataFrame({"k": np.arange(1000)}))
    index.full()
    index.assign(pl.DataFrame({"k": [5, 1000]}))
    index.release(np.array([7]))
    part = index.delta()
    assert part["keys"].rows() == [(1000, 1000)]
    assert part["released"].rows() == [(7,)]
    assert index.delta() == {}
