from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import contents, frame_of, rows_of, schemas

from penstock.state import arena, arrays, memory
from penstock.state.columns import ColumnStore
from penstock.state.memory import MemoryBudget


@given(data=st.data(), drawn=schemas())
def test_any_sequence_of_sets_and_clears_reads_back_exactly(data: Any, drawn: Any) -> None:
    run(data, drawn[1], ColumnStore(drawn[0], smallest_garbage=3))


@given(data=st.data(), drawn=schemas())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_when_everything_goes_to_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: Any, drawn: Any
) -> None:
    for module in (memory, arrays, arena):
        monkeypatch.setattr(module, "SMALLEST", 1)
    monkeypatch.setattr(arena, "SPILLED_ROWS", 3)
    with closing(MemoryBudget(1, tmp_path)) as budget:
        run(data, drawn[1], ColumnStore(drawn[0], budget=budget, smallest_garbage=3))


def run(data: Any, pairs: Any, store: ColumnStore) -> None:
    schema = store.schema
    model: dict[int, Any] = {}
    for _ in range(data.draw(st.integers(1, 8))):
        ids = data.draw(st.lists(st.integers(0, 20), max_size=6))
        if data.draw(st.booleans()):
            frame = frame_of(data.draw(rows_of(len(ids), pairs)), schema)
            store.set(np.array(ids, np.int64), frame)
            model.update(zip(ids, contents(frame), strict=True))
        else:
            store.clear(np.array(sorted(set(ids)), np.int64))
            for number in ids:
                model.pop(number, None)
        wanted = data.draw(st.lists(st.sampled_from(sorted(model)))) if model else []
        got = store.get(np.array(wanted, np.int64))
        assert got.height == len(wanted)
        assert dict(got.schema) == dict(schema)
        assert contents(got) == [model[number] for number in wanted]


def test_chunks_beyond_the_largest_are_gathered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "LARGEST_CHUNK", 700)
    store = ColumnStore(pl.Schema({"s": pl.String, "l": pl.List(pl.Int64)}))
    for begin in range(0, 20_000, 500):
        ids = np.arange(begin, begin + 500)
        store.set(ids, pl.DataFrame({"s": ids.astype(str), "l": [[i] for i in ids.tolist()]}))
    for size in (10, 9_000):  # below and above the switch to gathering chunk by chunk
        wanted = np.random.default_rng(1).integers(0, 20_000, size)
        got = store.get(wanted)
        assert got.get_column("s").to_list() == [str(i) for i in wanted]
        assert got.get_column("l").to_list() == [[i] for i in wanted]


def test_garbage_does_not_pile_up() -> None:
    store = ColumnStore(pl.Schema({"s": pl.String}))
    ids = np.arange(2_000)
    text = pl.DataFrame({"s": ["a string of some length " * 4] * 2_000})
    store.set(ids, text)
    before = store.nbytes
    for _ in range(50):
        store.set(ids, text)
    assert store.nbytes <= 3 * before
    store.clear(ids)
    assert store.nbytes < before
