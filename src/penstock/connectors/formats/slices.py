"""Decode on all cores: one string function of Polars runs on one core only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from penstock.connectors.formats.contract import Decoded

PARALLEL_FROM = 4096
"""Messages from which on a second thread saves more than it costs (some 0.2 ms)."""


def in_slices(decode: Callable[[pl.Series], Decoded], messages: pl.Series) -> Decoded:
    """Decode slices of the messages on threads of their own, and put them together in order."""
    size = max(PARALLEL_FROM, -(-len(messages) // pl.thread_pool_size()))
    starts = range(0, len(messages), size)
    if len(starts) < 2:
        return decode(messages)
    with ThreadPoolExecutor(len(starts)) as pool:
        parts = list(pool.map(lambda start: decode(messages.slice(start, size)), starts))
    return joined(parts, list(starts), len(messages))


def joined(parts: list[Decoded], starts: list[int], height: int) -> Decoded:
    """Put together what was decoded of slices that begin at ``starts``."""
    frame = pl.concat([part.frame for part in parts])
    if all(part.kept is None for part in parts):
        return Decoded(frame)
    ends = [*starts[1:], height]
    kept = [
        pl.int_range(start, end, dtype=pl.UInt32, eager=True)
        if part.kept is None
        else part.kept + pl.Series([start], dtype=pl.UInt32)
        for part, start, end in zip(parts, starts, ends, strict=True)
    ]
    errors = [
        part.errors.with_columns(pl.col("index") + pl.lit(start, pl.UInt32))
        for part, start in zip(parts, starts, strict=True)
    ]
    return Decoded(frame, pl.concat([series.alias("kept") for series in kept]), pl.concat(errors))
