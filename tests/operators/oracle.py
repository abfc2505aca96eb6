"""Draw epochs and restarts, to compare with an oracle after every epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from penstock.stream import Stream
from penstock.testing import Epoch, bag_of, check_delta, check_every_epoch
from penstock.testing.contracts import Bag, plain

half = settings(max_examples=settings().max_examples // 2)
"""For tests with many variants: as many examples in all, in half the time each."""

Row = dict[str, Any]

__all__ = ["Bag", "bag_of", "check_delta", "check_every_epoch", "plain"]


def bag_of_rows(rows: Sequence[Sequence[Any]]) -> Bag:
    """Count rows of plain values."""
    return Counter(tuple(map(plain, row)) for row in rows)


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
