"""Merged parts load to the same as the parts they were merged from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.checkpoints.compaction import first_to_merge, merge
from penstock.state.cell import Cell
from penstock.state.contract import Part, Stateful
from penstock.state.index import KeyIndex
from penstock.state.log import RowLog
from penstock.state.rows import RowStore
from penstock.state.table import KeyedTable
from penstock.state.tally import Tally

KEY, VALUE = pl.Schema({"k": pl.String()}), pl.Schema({"v": pl.Int64()})
Step = tuple[bool, list[int], int]
"""Whether it takes away rather than gives, the keys, and a value."""


@dataclass
class Kind:
    make: Callable[[], Any]
    change: Callable[[Any, Step], None]
    content: Callable[[Any], object]


def keys(numbers: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"k": [f"key {n}" for n in numbers]}, schema=KEY)


def values(count: int, value: int) -> pl.DataFrame:
    return pl.DataFrame({"v": [value] * count}, schema=VALUE)


def change_table(table: KeyedTable, step: Step) -> None:
    take, numbers, value = step
    if take:
        table.delete(table.lookup(keys(numbers)))
    else:
        table.set(table.assign(keys(numbers)), values(len(numbers), value))


def change_index(index: KeyIndex, step: Step) -> None:
    take, numbers, _ = step
    if take:
        index.release(index.lookup(keys(numbers)))
    else:
        index.assign(keys(numbers))


def change_rows(rows: RowStore, step: Step) -> None:
    take, numbers, value = step
    slots = np.array(numbers, np.int64)
    if take:
        rows.remove_slots(np.unique(slots))
    else:
        rows.append(slots, values(len(numbers), value))


def change_log(log: RowLog, step: Step) -> None:
    take, numbers, value = step
    frame = values(len(numbers), value)
    if take:
        log.replace([frame])
    else:
        log.append(frame)


def change_tally(tally: Tally, step: Step) -> None:
    take, numbers, _ = step
    slots = np.array(numbers, np.int64)
    if take:
        tally.remove_slots(np.unique(slots))
    else:
        tally.add(slots, np.ones(len(slots), np.int64))


def change_cell(cell: Cell, step: Step) -> None:
    cell.value = step[2]


def table_content(table: KeyedTable) -> object:
    slots = table.live_slots()
    return sorted(zip(slots, table.keys(slots)["k"], table.get(slots)["v"], strict=True))


def index_content(index: KeyIndex) -> object:
    slots = index.live_slots()
    return sorted(zip(slots, index.keys(slots)["k"], strict=True))


def rows_content(rows: RowStore) -> object:
    ids = rows.live_ids()
    return list(zip(ids, rows.slots_of(ids), rows.rows(ids)["v"], strict=True))


KINDS = {
    "table": Kind(lambda: KeyedTable(KEY, VALUE), change_table, table_content),
    "index": Kind(lambda: KeyIndex(KEY), change_index, index_content),
    "rows": Kind(lambda: RowStore(VALUE, smallest_garbage=4), change_rows, rows_content),
    "log": Kind(lambda: RowLog(VALUE), change_log, lambda log: log.read()["v"].to_list()),
    "tally": Kind(Tally, change_tally, lambda t: t.count(np.arange(12)).tolist()),
    "cell": Kind(Cell, change_cell, lambda cell: cell.value),
}

STEP = st.tuples(
    st.booleans(), st.lists(st.integers(0, 11), min_size=1, max_size=6), st.integers(0, 99)
)


def loaded(kind: Kind, parts: list[Part]) -> object:
    primitive: Stateful = kind.make()
    primitive.load(parts)
    return kind.content(primitive)


@pytest.mark.parametrize("name", KINDS)
@given(epochs=st.lists(st.lists(STEP, max_size=4), min_size=1, max_size=10), data=st.data())
def test_merged_parts_load_to_the_same(
    name: str, epochs: list[list[Step]], data: st.DataObject
) -> None:
    kind = KINDS[name]
    primitive = kind.make()
    parts: list[Part] = []
    for steps in epochs:
        for step in steps:
            kind.change(primitive, step)
        part = primitive.delta()
        if part:
            parts.append(part)
    wanted = kind.content(primitive)
    assert loaded(kind, parts) == wanted
    while len(parts) > 1:
        begin = data.draw(st.integers(0, len(parts) - 2))
        end = data.draw(st.integers(begin + 2, len(parts)))
        parts[begin:end] = [merge(parts[begin:end])]
        assert loaded(kind, parts) == wanted


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300))
def test_few_parts_remain_and_rows_are_rewritten_seldom(sizes: list[int]) -> None:
    rows: list[int] = []
    rewritten = 0
    for size in sizes:
        rows.append(size)
        begin = first_to_merge(rows)
        if begin is not None:
            rewritten += sum(rows[begin:])
            rows[begin:] = [sum(rows[begin:])]
    logarithm = sum(sizes).bit_length() + 1
    assert len(rows) <= 3 + logarithm
    assert rewritten <= sum(sizes) * 2 * logarithm
