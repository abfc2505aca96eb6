"""Drive a source by hand: read it to its end, or until rows are there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import polars as pl

from penstock.connectors.contract import Polled, Source, SourceSpec

PATIENCE_S = 10.0


def opened(spec: SourceSpec, position: Any = None) -> Source:
    source = spec.open()
    source.seek(position)
    return source


def read_all(spec: SourceSpec, position: Any = None, max_rows: int = 1000) -> list[Polled]:
    """Poll a bounded source to its end."""
    found = []
    with contextlib.closing(opened(spec, position)) as source:
        while not (polled := source.poll(max_rows, 0)).ended:
            assert (
                polled.frame.height + (polled.dead.height if polled.dead is not None else 0)
                <= max_rows
            )
            assert polled.frame.schema == spec.schema
            found.append(polled)
    return found


def frame_of(spec: SourceSpec, polls: list[Polled]) -> pl.DataFrame:
    return pl.concat([spec.schema.to_frame(), *(polled.frame for polled in polls)])


def dead_of(polls: list[Polled]) -> list[tuple[Any, ...]]:
    return [row for polled in polls if polled.dead is not None for row in polled.dead.rows()]


def wait_for(source: Source, rows: int, max_rows: int = 1000) -> list[Polled]:
    """Poll an unbounded source until so many rows (good and dead) have come."""
    found: list[Polled] = []
    deadline = time.monotonic() + PATIENCE_S
    while rows > 0:
        assert time.monotonic() < deadline, "the rows did not come"
        polled = source.poll(max_rows, 0.05)
        rows -= polled.frame.height + (0 if polled.dead is None else polled.dead.height)
        if polled.frame.height or polled.dead is not None:
            found.append(polled)
    return found


def wait_until(source: Source, done: Callable[[Polled], bool]) -> Polled:
    deadline = time.monotonic() + PATIENCE_S
    while not done(polled := source.poll(1000, 0.02)):
        assert time.monotonic() < deadline, "it did not happen"
        assert not polled.frame.height, "an unexpected row came"
    return polled


def texts(polls: list[Polled]) -> list[str]:
    return [text for polled in polls for text in polled.frame["text"].to_list()]
