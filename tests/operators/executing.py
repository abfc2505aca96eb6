"""Run a plan epoch by epoch with the executor in sight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from penstock.runtime.executor import Executor
from penstock.stream import Stream
from penstock.testing import Driven, Epoch


def run(stream: Stream, epochs: Iterable[Epoch]) -> Iterator[tuple[Executor, pl.DataFrame | None]]:
    """Yield the executor and the output after every epoch."""
    driven = Driven(stream)
    for epoch in epochs:
        yield driven.executor, driven.step(epoch)[0]
