from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from strategies import TYPES, contents, exact, frame_of, rows_of

from penstock.state import minima
from penstock.state.contract import FULL
from penstock.state.rows import RowStore

_TIME: tuple[pl.DataType, Any] = (pl.Int64(), st.integers(0, 30))


class Model:
    """A list of (slot, row), oldest first."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Any]] = []

    def append(self, slots: list[int], rows: list[Any]) -> None:
        self.rows += zip(slots, rows, strict=True)

    def under(self, slots: list[int]) -> tuple[list[int], list[Any]]:
        found = [
            (at, row) for at, slot in enumerate(slots) for own, row in self.rows if own == slot
        ]
        return [at for at, _ in found], [row for _, row in found]

    def remove(self, slots: list[int]) -> None:
        self.rows = [pair for pair in self.rows if pair[0] not in slots]

    def expire(self, below: int) -> list[tuple[int, Any]]:
        due = [pair for pair in self.rows if pair[1][0] is not None and pair[1][0][1] < below]
        self.rows = [pair for pair in self.rows if pair not in due]
        return due


def check(store: RowStore, model: Model, slots: list[int]) -> None:
    positions, frame = store.lookup(np.array(slots, np.int64))
    assert (positions.tolist(), contents(frame)) == model.under(slots)
    counts = [len(model.under([slot])[0]) for slot in slots]
    assert store.count(np.array(slots, np.int64)).tolist() == counts
    assert len(store) == len(model.rows)
    times = [row[0][1] for _, row in model.rows if row[0] is not None]
    assert store.column("c0")[1].tolist() == times


@given(data=st.data(), kinds=st.lists(st.sampled_from(TYPES), max_size=2))
def test_behaves_like_a_list(data: Any, kinds: Any) -> None:
    pairs = [_TIME, *kinds]
    schema = pl.Schema({f"c{i}": dtype for i, (dtype, _) in enumerate(pairs)})
    garbage = data.draw(st.sampled_from([1, 8, 1000]))
    store, model = RowStore(schema, smallest_garbage=garbage), Model()
    parts: list[dict[str, pl.DataFrame]] = []
    numbers = st.lists(st.integers(0, 5), max_size=6)
    for _ in range(data.draw(st.integers(1, 10))):
        action = data.draw(
            st.sampled_from(
                ["append", "append", "remove", "some", "replace", "expire", "save", "load"]
            )
        )
        slots = data.draw(numbers)
        if action in ("append", "replace"):
            rows = data.draw(rows_of(len(slots), pairs))
            frame = frame_of(rows, schema)
            if action == "replace":
                model.remove(slots)
                store.replace(np.array(slots, np.int64), frame)
            else:
                store.append(np.array(slots, np.int64), frame)
            model.append(slots, contents(frame))
        elif action == "remove":
            slots = sorted(set(slots))
            store.remove_slots(np.array(slots, np.int64))
            model.remove(slots)
        elif action == "some" and model.rows:
            ids = store.live_ids()
            chosen = data.draw(st.sets(st.integers(0, len(ids) - 1)))
            store.remove(ids[sorted(chosen)])
            model.rows = [pair for at, pair in enumerate(model.rows) if at not in chosen]
        elif action == "expire":
            below = data.draw(st.integers(0, 30))
            gone_slots, gone = store.expire("c0", below)
            assert list(zip(gone_slots.tolist(), contents(gone), strict=True)) == model.expire(
                below
            )
        elif action == "save":
            parts = saved(store, parts)
        elif action == "load":
            parts = saved(store, parts)
            store = RowStore(schema, smallest_garbage=garbage)
            store.load(parts)
            assert store.delta() == {}
        check(store, model, data.draw(st.permutations(range(6))))


def saved(store: RowStore, parts: list[dict[str, pl.DataFrame]]) -> list[dict[str, pl.DataFrame]]:
    must = store.must_rewrite
    part = store.delta()
    assert (FULL in part) == must
    return [part] if must else [*parts, part]


def test_expiry_across_blocks_and_compactions(monkeypatch: Any) -> None:
    monkeypatch.setattr(minima, "BLOCK", 16)
    store = RowStore(pl.Schema({"t": pl.Int64, "s": pl.String}), smallest_garbage=64)
    rng = np.random.default_rng(5)
    model: list[tuple[int, int]] = []
    for now in range(0, 2_000, 40):
        times, slots = now + rng.integers(0, 100, 40), rng.integers(0, 50, 40)
        store.append(slots, pl.DataFrame({"t": times, "s": times.astype(str)}))
        model += zip(slots.tolist(), times.tolist(), strict=True)
        gone_slots, gone = store.expire("t", now - 60)
        due = [pair for pair in model if pair[1] < now - 60]
        model = [pair for pair in model if pair[1] >= now - 60]
        assert list(zip(gone_slots.tolist(), gone.get_column("t").to_list(), strict=True)) == due
        assert gone.get_column("s").to_list() == [str(time) for _, time in due]
        assert len(store) == len(model)
    assert store.nbytes < 100_000


def test_extreme_integers_expire_exactly() -> None:
    store = RowStore(pl.Schema({"t": pl.Int64}))
    times = [2**62 + 1, 2**62, -(2**63), 2**63 - 1]
    store.append(np.arange(4), pl.DataFrame({"t": times}))
    assert store.expire("t", 2**62)[0].tolist() == [2]
    assert store.expire("t", 2**62)[0].tolist() == []
    assert store.expire("t", 2**62 + 1)[0].tolist() == [1]
    assert store.expire("t", 2**63 - 1)[1].rows() == [exact(2**62 + 1)[1:]]


def test_slots_of_unknown_keys_have_no_rows() -> None:
    store = RowStore(pl.Schema({"a": pl.Int64}))
    last = np.arange(64)  # so that -1 would be the last place of the array
    store.append(last, pl.DataFrame({"a": last}))
    assert store.count(np.array([-1, 63])).tolist() == [0, 1]
    positions, frame = store.lookup(np.array([-1, 63]))
    assert positions.tolist() == [1]
    assert frame.rows() == [(63,)]


def test_ids_found_by_a_lookup_serve_to_remove_single_rows() -> None:
    store = RowStore(pl.Schema({"a": pl.Int64}))
    store.append(np.array([1, 1, 2]), pl.DataFrame({"a": [10, 11, 12]}))
    positions, ids = store.lookup_ids(np.array([2, 1]))
    assert positions.tolist() == [0, 1, 1]
    store.remove(ids[[1]])
    assert store.rows(ids[[0, 2]]).rows() == [(12,), (11,)]
    store.remove(ids[[1]])
    assert len(store) == 2
