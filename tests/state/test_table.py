from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from strategies import contents, frame_of, grouped, rows_of, schemas

from penstock.state.cell import Cell
from penstock.state.contract import FULL, Stateful
from penstock.state.index import KeyIndex
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable


def check(table: KeyedTable, model: dict[Any, Any], slots: dict[Any, int]) -> None:
    order = list(slots)
    numbers = np.array([slots[key] for key in order] + [-1], np.int64)
    assert table.exists(numbers).tolist() == [key in model for key in order] + [False]
    got = contents(table.get(numbers))
    empty = tuple(None for _ in got[-1])
    assert got == [model.get(key, empty) for key in order] + [empty]
    assert sorted(table.live_slots().tolist()) == sorted(slots.values())


@given(data=st.data(), key=schemas("k", 2), value=schemas("v", 3))
def test_behaves_like_a_dict_across_snapshots(data: Any, key: Any, value: Any) -> None:
    table = KeyedTable(key[0], value[0], smallest_garbage=3)
    model: dict[Any, Any] = {}
    slots: dict[Any, int] = {}
    parts: list[dict[str, pl.DataFrame]] = []
    for _ in range(data.draw(st.integers(1, 8))):
        action = data.draw(st.sampled_from(["assign", "set", "delete", "save", "full", "load"]))
        if action == "assign":
            rows = data.draw(rows_of(data.draw(st.integers(0, 4)), key[1]))
            given_slots = table.assign(frame_of(rows, key[0])).tolist()
            slots |= zip(map(grouped, rows), given_slots, strict=True)
        elif action == "set" and slots:
            keys = data.draw(st.lists(st.sampled_from(list(slots)), max_size=4))
            frame = frame_of(data.draw(rows_of(len(keys), value[1])), value[0])
            table.set(np.array([slots[k] for k in keys], np.int64), frame)
            model |= zip(keys, contents(frame), strict=True)
        elif action == "delete" and slots:
            keys = data.draw(st.lists(st.sampled_from(list(slots)), max_size=3, unique=True))
            table.delete(np.array([slots.pop(k) for k in keys], np.int64))
            for k in keys:
                model.pop(k, None)
        elif action == "save":
            parts.append(table.delta())
        elif action == "full":
            parts.append(table.full())
        elif action == "load":
            parts.append(table.delta())
            table = KeyedTable(key[0], value[0], smallest_garbage=3)
            table.load(parts)
            assert table.delta() == {}
        check(table, model, slots)
        assert len(table) == len(slots)


def test_a_slot_given_to_another_key_does_not_show_the_old_value() -> None:
    table = KeyedTable(pl.Schema({"k": pl.Int64}), pl.Schema({"v": pl.String}))
    slot = table.assign(pl.DataFrame({"k": [1]}))
    table.set(slot, pl.DataFrame({"v": ["old"]}))
    parts = [table.full()]
    table.delete(slot)
    assert table.assign(pl.DataFrame({"k": [2]})).tolist() == slot.tolist()
    parts.append(table.delta())
    copy = KeyedTable(pl.Schema({"k": pl.Int64}), pl.Schema({"v": pl.String}))
    copy.load(parts)
    for each in (table, copy):
        assert each.get(slot).rows() == [(None,)]
        assert each.keys(slot).rows() == [(2,)]
        assert not each.exists(slot).any()


def test_cell_is_written_when_it_changed() -> None:
    cell = Cell({"count": 1})
    parts = [cell.delta()]
    assert cell.delta() == {}
    cell.value = {"count": 2}
    parts.append(cell.delta())
    copy = Cell()
    copy.load(parts)
    assert copy.value == {"count": 2}
    assert copy.delta() == {}
    assert FULL in copy.full()


def test_every_primitive_is_stateful() -> None:
    schema = pl.Schema({"a": pl.Int64})
    for state in (KeyIndex(schema), KeyedTable(schema, schema), RowStore(schema), Cell(1)):
        assert isinstance(state, Stateful)
        assert state.nbytes >= 0
        assert state.must_rewrite is False
        assert len(state) in (0, 1)
        assert FULL in state.full()
