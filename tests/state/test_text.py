"""Texts are the same whether they are kept as numbers or not, and whatever way they came there."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.state import text
from penstock.state.lexicon import Lexicon
from penstock.state.text import TextColumn

WORDS = st.none() | st.sampled_from(["", "a", "b", "longer than twelve bytes", "ä\0ö", "c", "d"])


def column() -> TextColumn:
    return TextColumn("s", smallest_garbage=3)


@given(data=st.data(), most=st.integers(0, 6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_reads_back(monkeypatch: pytest.MonkeyPatch, data: Any, most: int) -> None:
    monkeypatch.setattr(text, "FIRST_LOOK", 2)
    monkeypatch.setattr(text, "_AGAIN", 2)
    monkeypatch.setattr(text, "_ROWS_EACH", 1)
    monkeypatch.setattr(text, "_BLOCK", 3)
    monkeypatch.setattr(text, "MOST_TEXTS", most)
    store, model, known = column(), dict[int, str | None](), set[int]()
    for _ in range(data.draw(st.integers(1, 10))):
        ids = data.draw(st.lists(st.integers(0, 12), max_size=6))
        if data.draw(st.booleans()):
            words = data.draw(st.lists(WORDS, min_size=len(ids), max_size=len(ids)))
            store.set(np.array(ids, np.int64), pl.Series("s", words, dtype=pl.String))
            model.update(zip(ids, words, strict=True))
        else:
            store.clear(np.array(sorted(set(ids)), np.int64))
            for number in ids:
                model.pop(number, None)
        known |= model.keys()
        wanted = sorted(known)
        assert store.get(np.array(wanted, np.int64)).to_list() == [
            model.get(number) for number in wanted
        ]


def test_rows_that_stay_are_numbered_afresh() -> None:
    for texts in (500, 50_000):
        store, ids = column(), np.arange(100_000)
        store.set(ids, repeated(len(ids), texts))
        kept = ids[ids % 3 == 0]
        store.clear(ids[ids % 3 != 0])
        store.take(kept)
        assert store.get(np.arange(len(kept))).equals(repeated(len(ids), texts)[kept])
        store.set(ids[: len(kept)] + len(kept), repeated(len(kept), texts))
        assert store.get(np.arange(len(kept)) + len(kept)).equals(repeated(len(kept), texts))


def repeated(rows: int, texts: int) -> pl.Series:
    return pl.Series("s", [f"text number {n % texts}" for n in range(rows)])


def test_texts_that_repeat_take_a_few_bytes_each() -> None:
    store, ids = column(), np.arange(100_000)
    store.set(ids, repeated(len(ids), 500))
    assert store.is_numbered
    assert store.nbytes < 8 * len(ids)
    assert store.get(ids).equals(repeated(len(ids), 500))


def test_texts_that_differ_stay_as_they_are() -> None:
    store, ids = column(), np.arange(100_000)
    store.set(ids, repeated(len(ids), 50_000))
    assert not store.is_numbered


def test_too_many_different_texts_end_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MOST_TEXTS", 1_000)
    store, ids = column(), np.arange(40_000)
    store.set(ids[:20_000], repeated(20_000, 900))
    assert store.is_numbered
    store.set(ids[20_000:], repeated(20_000, 2_000))
    assert not store.is_numbered
    assert store.get(ids[:20_000]).equals(repeated(20_000, 900))
    assert store.get(ids[20_000:]).equals(repeated(20_000, 2_000))


def test_texts_that_no_row_has_any_more_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MOST_TEXTS", 1_000)
    store, ids = column(), np.arange(20_000)
    store.set(ids, repeated(len(ids), 400))
    for turn in range(10):
        new = pl.Series("s", [f"{turn} {n % 400}" for n in range(len(ids))])
        store.set(ids, new)
        assert store.is_numbered
        assert store.get(ids).equals(new)


def test_two_lexicons_know_nothing_of_one_another() -> None:
    one, two = Lexicon("s"), Lexicon("s")
    one.encode(pl.Series(["x", "y"]))
    assert two.encode(pl.Series(["y", None])).tolist() == [1, 0]
    assert one.encode(pl.Series(["y"])).tolist() == [2]
    assert one.decode(np.array([2, 0])).to_list() == ["y", None]
