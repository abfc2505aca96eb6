"""Drive a plan over random epochs and compare with an oracle after every one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.stream import Stream
from penstock.testing import Epoch, drive, integrate

half = settings(max_examples=settings().max_examples // 2)
"""For tests with many variants: as many examples in all, in half the time each."""

Bag = Counter[tuple[Any, ...]]
Row = dict[str, Any]


def plain(value: Any) -> Any:
    """Return a value that equals itself: NaN as text, -0.0 as 0.0."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    if isinstance(value, list):
        return tuple(plain(each) for each in value)
    return value


def bag_of(frame: pl.DataFrame) -> Bag:
    """Count rows; a weight column says how often each is there."""
    bag: Bag = Counter()
    if WEIGHT in frame.columns:
        for *row, weight in frame.rows():
            bag[tuple(map(plain, row))] += weight
    else:
        for row in frame.rows():
            bag[tuple(map(plain, row))] += 1
    return bag


def bag_of_rows(rows: Sequence[Sequence[Any]]) -> Bag:
    """Count rows of plain values."""
    return Counter(tuple(map(plain, row)) for row in rows)


def check_every_epoch(
    stream: Stream,
    epochs: Sequence[Epoch],
    oracle: Callable[[int], Bag],
    restart_after: set[int] | None = None,
) -> list[pl.DataFrame | None]:
    """Compare the integrated output after epoch ``n`` with ``oracle(n)``; return the deltas."""
    deltas: list[pl.DataFrame | None] = []
    for number, (delta,) in enumerate(drive(stream, epochs, restart_after=restart_after)):
        check_delta(stream, delta)
        deltas.append(delta)
        found, wanted = bag_of(integrate(stream, deltas)), oracle(number)
        assert found == wanted, f"epoch {number}: extra {found - wanted}, missing {wanted - found}"
    return deltas


def check_delta(stream: Stream, delta: pl.DataFrame | None) -> None:
    """Hold a delta against what an operator owes: schema, rows, consolidated, deletions first."""
    if delta is None:
        return
    assert delta.height
    assert dict(delta.drop(WEIGHT, strict=False).schema) == dict(stream.schema)
    assert (WEIGHT in delta.columns) == stream.is_changelog
    if stream.is_changelog:
        assert delta.columns[-1] == WEIGHT
        weights = delta[WEIGHT].to_list()
        assert 0 not in weights
        assert sorted(weights, key=lambda w: w > 0) == weights, "deletions come first"
        rows = [tuple(map(plain, row)) for row in delta.drop(WEIGHT).rows()]
        signs: dict[tuple[Any, ...], set[bool]] = {}
        for row, weight in zip(rows, weights, strict=True):
            signs.setdefault(row, set()).add(weight > 0)
        assert all(len(found) == 1 for found in signs.values()), "a row inserted and deleted"


def split(rows: Sequence[Any], cuts: Sequence[int]) -> list[list[Any]]:
    """Cut a list into pieces; some may be empty."""
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    return [list(rows[a:b]) for a, b in pairwise(bounds)]


def cuts() -> st.SearchStrategy[list[int]]:
    """Where to cut a stream into epochs."""
    return st.lists(st.integers(0, 30), max_size=5)


def restarts() -> st.SearchStrategy[set[int]]:
    """After which epochs to restart."""
    return st.sets(st.integers(0, 5), max_size=2)


def frames(pieces: Sequence[Sequence[Row]], schema: dict[str, Any]) -> list[pl.DataFrame]:
    """Make a frame of each piece."""
    return [pl.DataFrame(list(piece), schema=schema) for piece in pieces]


def epochs_of(name: str, batches: Sequence[pl.DataFrame]) -> list[Epoch]:
    """Make an epoch of each frame; the source ends with the last, in an epoch of its own."""
    return [*(Epoch({name: frame}) for frame in batches), Epoch(ended=frozenset({name}))]


def latest(pieces: Sequence[Sequence[Row]], upto: int) -> list[Row]:
    """Return the living rows of an ``id`` / ``alive`` stream after some pieces, in plain Python."""
    table: dict[Any, Row] = {}
    for piece in pieces[: upto + 1]:
        for row in piece:
            table[row["id"]] = row
    return [row for row in table.values() if row["alive"]]


def changing(stream: Stream, *columns: str) -> Stream:
    """Make a changelog of an ``id`` / ``alive`` stream: the newest row of each id, while alive."""
    return stream.unique("id", keep="last").filter("alive").select(*columns)
