"""Turn a changelog into what a keyed table must do: delete these keys, then write these rows.

Before (key ``k``)           after
    k  n  _weight               deletes: k=2
    1  5  -1                    upserts: k=1 n=6
    1  6  +1
    2  9  -1

Pure Polars, no I/O; shared by every sink that keeps a table by key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from penstock.columns import WEIGHT
from penstock.errors import ConnectorError, Fault

CHUNK_ROWS = 1_048_576
"""Rows gathered before they are written: bounds memory, yet lets changes of one key cancel."""


_FRAME = "_penstock_frame"


@dataclass(frozen=True, slots=True)
class KeyedChanges:
    """What to do to a keyed table, deletes first.

    ``deletes`` has the key columns only, ``upserts`` every column. No key is in both, nor twice in
    either. Rows are in the order in which their key first appeared.
    """

    deletes: pl.DataFrame
    upserts: pl.DataFrame


def keyed_changes(frames: Sequence[pl.DataFrame], key: tuple[str, ...], step: str) -> KeyedChanges:
    """Return the net change of frames per key; each frame is the output of one epoch, in order.

    With weights, equal rows of a frame cancel, and a key that would then have two living rows raises
    ``ConnectorError`` naming it. The last frame that names a key decides what becomes of it: state
    that was freed is not taken back before the key is written anew. Without weights (append-only
    rows) the last row of a key wins.
    """
    names = list(key)
    if WEIGHT not in frames[0].columns:
        rows = _last_of_each(pl.concat(frames), names)
        return KeyedChanges(rows.select(names).clear(), rows)
    net = _decided(frames, names)
    inserted = net.filter(pl.col(WEIGHT) > 0)
    _refuse_two_living(inserted, names, step)
    gone = net.filter(pl.col(WEIGHT) < 0).select(names).unique(maintain_order=True)
    return KeyedChanges(
        gone.join(inserted.select(names), on=names, how="anti", nulls_equal=True),
        inserted.drop(WEIGHT),
    )


def _decided(frames: Sequence[pl.DataFrame], names: list[str]) -> pl.DataFrame:
    """Return what the last frame of each key says of it, equal rows of a frame added up."""
    if len(frames) == 1:
        return consolidate(frames[0])
    numbered = [f.with_columns(pl.lit(n, pl.UInt32).alias(_FRAME)) for n, f in enumerate(frames)]
    net = consolidate(pl.concat(numbered).select([*frames[0].columns[:-1], _FRAME, WEIGHT]))
    return net.filter(pl.col(_FRAME) == pl.col(_FRAME).max().over(names)).drop(_FRAME)


def consolidate(frame: pl.DataFrame) -> pl.DataFrame:
    """Sum the weights of equal rows and drop those that cancel; first appearance keeps its place.

    NaN equals NaN and -0.0 equals 0.0; nulls equal each other.
    """
    columns = [name for name in frame.columns if name != WEIGHT]
    if not columns:
        total = frame.select(pl.col(WEIGHT).sum())
        return total.filter(pl.col(WEIGHT) != 0)
    summed = frame.group_by(columns, maintain_order=True).agg(pl.col(WEIGHT).sum())
    return summed.filter(pl.col(WEIGHT) != 0)


def split_nulls(
    frame: pl.DataFrame, key: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """Yield ``(key columns that are null, rows)`` for each pattern of nulls among the keys.

    A database compares a null with ``=`` as unknown, and with ``IS NOT DISTINCT FROM`` without an
    index. Per pattern the test is ``a IS NULL AND b = ...``, which every index serves.
    """
    if frame.is_empty():
        return
    nullable = [name for name in key if frame[name].null_count()]
    if not nullable:
        yield (), frame
        return
    flags = [pl.col(name).is_null().alias(f"{i}") for i, name in enumerate(nullable)]
    for pattern in frame.select(flags).unique(maintain_order=True).iter_rows():
        tests = [
            pl.col(n).is_null() == is_null for n, is_null in zip(nullable, pattern, strict=True)
        ]
        nulls = tuple(n for n, is_null in zip(nullable, pattern, strict=True) if is_null)
        yield nulls, frame.filter(tests)


def chunks(frames: Iterable[pl.DataFrame], rows: int = CHUNK_ROWS) -> Iterator[pl.DataFrame]:
    """Yield the frames joined into pieces of at least ``rows`` rows; the last may be smaller."""
    return map(pl.concat, gathered(frames, rows))


def gathered(
    frames: Iterable[pl.DataFrame], rows: int = CHUNK_ROWS
) -> Iterator[list[pl.DataFrame]]:
    """Yield the frames in lists of at least ``rows`` rows; the last may be smaller.

    The first frame counts even if it is empty, so that its schema is seen. Frames with other
    columns begin a new list.
    """
    held: list[pl.DataFrame] = []
    for frame in frames:
        if frame.is_empty() and held:
            continue
        if held and held[0].schema != frame.schema:
            yield held
            held = []
        held.append(frame)
        if sum(map(len, held)) >= rows:
            yield held
            held = []
    if held:
        yield held


def _last_of_each(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Keep the last row per key, at the place where the key first appeared."""
    others = [name for name in frame.columns if name not in names]
    kept = frame.group_by(names, maintain_order=True).agg(pl.col(others).last())
    return kept.select(frame.columns)


def _refuse_two_living(inserted: pl.DataFrame, names: list[str], step: str) -> None:
    living = inserted.group_by(names, maintain_order=True).agg(pl.col(WEIGHT).sum())
    twice = living.filter(pl.col(WEIGHT) > 1)
    if twice.height:
        key = twice.select(names).row(0, named=True)
        raise ConnectorError(
            f"the key {key} has {twice[WEIGHT][0]} living rows; a keyed table holds one",
            step=step,
            value=key,
            fault=Fault.USER,
            hint="add columns to key= until it tells the rows apart, or aggregate per key first",
        )
