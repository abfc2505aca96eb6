"""Merging the parts of a primitive's state as they pile up, without the primitive.

    [full 1000] [40] [30] [20]  ->  [full 1000] [90 or fewer]  -> ... ->  [full 1000 or fewer]

Frames are merged by what they hold (state/contract.py): rows under slots, of which the newest of
each slot counts; rows with ids of their own, each of which comes once; slots or ids that were freed
(``released``, ``removed``); one ``cell``; or rows without ids, which are appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.state.contract import FULL, ROW, SLOT, Part, since_last_full

_FEWEST = 8
"""Parts merged at once at least: more of them make loading slower, fewer make merging more frequent."""

_BLOCK = 1 << 17
"""Rows looked at in one call. NumPy keeps other threads from running while it gathers: 1 ms here."""

_RELEASED, _REMOVED = "released", "removed"
_NEWEST_ONLY = ("cell", FULL)

_Mask = npt.NDArray[np.bool_]
_Ids = npt.NDArray[Any]


def first_to_merge(rows: Sequence[int]) -> int | None:
    """Return the first of the parts, given their rows, that should become one with all after it.

    Those after a part are merged into it once they are as large together, as in a log-structured
    tree: each row is rewritten as often as the logarithm of the size, and as many parts remain.
    """
    after = sum(rows)
    for position, count in enumerate(rows):
        after -= count
        if after >= count and len(rows) - position >= _FEWEST:
            return position
    return None


def merge(parts: list[Part]) -> Part:
    """Return the one part that stands for these, which follow each other."""
    parts = since_last_full(parts)
    released = [part.get(_RELEASED) for part in parts]
    removed = _ids([part[_REMOVED] for part in parts if _REMOVED in part], ROW)
    merged: Part = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        numbered = [(n, part[name]) for n, part in enumerate(parts) if name in part]
        frames = [frame for _, frame in numbered]
        if name in _NEWEST_ONLY:
            merged[name] = frames[-1]
        elif name == _RELEASED:
            merged[name] = pl.concat(frames).unique(maintain_order=True)
        elif name == _REMOVED:
            # What came and went within the parts was never there.
            came = _ids([part["rows"] for part in parts if "rows" in part], ROW)
            gone = removed[~np.isin(removed, came)]
            merged[name] = pl.DataFrame({ROW: gone}, schema={ROW: frames[0].schema[ROW]})
        elif ROW in frames[0].columns:
            rows = pl.concat(frames)
            merged[name] = _kept(rows, ~np.isin(rows[ROW].to_numpy(), removed))
        elif SLOT in frames[0].columns:
            merged[name] = _newest_by_slot(numbered, released)
        else:
            merged[name] = pl.concat(frames)
    if FULL in merged:
        for name in (_RELEASED, _REMOVED):
            merged.pop(name, None)
    return merged


def _newest_by_slot(
    numbered: list[tuple[int, pl.DataFrame]], released: list[pl.DataFrame | None]
) -> pl.DataFrame:
    """Keep the last row of each slot, unless the slot was released in a later part.

    Slots are dense, so that what is known of each fits into an array.
    """
    rows = pl.concat([frame for _, frame in numbered])
    slots = rows[SLOT].to_numpy()
    if not len(slots):
        return rows
    size = int(slots.max()) + 1
    last = np.empty(size, np.int64)
    kept = np.empty(len(slots), np.bool_)
    blocks = range(0, len(slots), _BLOCK)
    for begin in blocks:
        block = slots[begin : begin + _BLOCK]
        last[block] = np.arange(begin, begin + len(block))
    for begin in blocks:
        block = slots[begin : begin + _BLOCK]
        kept[begin : begin + _BLOCK] = last[block] == np.arange(begin, begin + len(block))
    if any(frame is not None for frame in released):
        freed_in = np.full(size, -1, np.int32)
        for number, frame in enumerate(released):
            if frame is not None:
                freed = frame[SLOT].to_numpy()
                freed_in[freed[freed < size]] = number
        written_in = np.repeat(
            np.array([number for number, _ in numbered], np.int32),
            [frame.height for _, frame in numbered],
        )
        for begin in blocks:
            part = slice(begin, begin + _BLOCK)
            kept[part] &= freed_in[slots[part]] <= written_in[part]
    return _kept(rows, kept)


def _kept(rows: pl.DataFrame, mask: _Mask) -> pl.DataFrame:
    return rows if mask.all() else rows.filter(pl.Series(mask))


def _ids(frames: list[pl.DataFrame], column: str) -> _Ids:
    if not frames:
        return np.empty(0, np.int64)
    return np.concatenate([frame[column].to_numpy() for frame in frames])
