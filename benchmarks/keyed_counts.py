"""The pipeline of the soak and of the checkpoint benchmarks: a count and a sum by key.

    random keys at full speed -> group_by("k").agg(n, total) -> every thousandth count -> SQLite

All keys come once first, so that the state has its full size from then on. What reaches the sink is
little, so that neither it nor what is staged for it is what is measured.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import penstock as ps

EPOCH_ROWS = 65_536
SCHEMA = {"k": pl.Int64, "v": pl.Int64}
_POOL = 64
"""Frames of random keys that are made beforehand and given again and again: making them costs too."""


class Load:
    """Frames at full speed until ``stop``; knows when all keys have been there."""

    def __init__(self, keys: int, *, already_there: bool = False) -> None:
        self._keys = keys
        self._ended = threading.Event()
        self.filled = threading.Event()
        if already_there:
            self.filled.set()

    def stop(self) -> None:
        """End after the frame at hand."""
        self._ended.set()

    def frames(self) -> Iterator[pl.DataFrame]:
        """All keys once, then random ones."""
        rng = np.random.default_rng(1)
        if not self.filled.is_set():
            order = rng.permutation(self._keys)
            for start in range(0, self._keys, EPOCH_ROWS):
                keys = order[start : start + EPOCH_ROWS]
                yield pl.DataFrame({"k": keys, "v": keys % 1000}, schema=SCHEMA)
            self.filled.set()
        keys = rng.integers(0, self._keys, (_POOL, EPOCH_ROWS))
        pool = [pl.DataFrame({"k": each, "v": each % 1000}, schema=SCHEMA) for each in keys]
        while not self._ended.is_set():
            yield from pool


def pipeline(load: Load, folder: Path) -> ps.Query:
    """Return the query, whose sink is in ``folder``."""
    rows = ps.scan_batches(load.frames(), SCHEMA)
    counts = rows.group_by("k").agg(n=pl.len().cast(pl.Int64), total=pl.col("v").sum())
    return counts.filter(pl.col("n") % 1000 == 0).sink_sqlite(folder / "out.db", "counts", key="k")


class Durations:
    """Seconds of each call of a function, since they were last asked for."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def taken(self) -> list[float]:
        """Return them, and begin anew."""
        seconds, self._seconds = self._seconds, []
        return seconds

    def of(self, owner: type, name: str) -> None:
        """Measure the calls of a method from now on."""
        original: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(original)
        def measured(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            result = original(*arguments, **options)
            self._seconds.append(time.perf_counter() - began)
            return result

        setattr(owner, name, measured)
