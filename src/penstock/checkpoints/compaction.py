"""Merging the parts of a primitive's state as they pile up, without the primitive.

    [full 1000] [40] [30] [20]  ->  [full 1000] [90 or fewer]  -> ... ->  [full 1000 or fewer]

Frames are merged by what they hold (state/contract.py): rows under ids (``SLOT``, or ``ROW`` in a
RowStore), of which the newest of each id counts; ids that were freed (``released``, ``removed``);
one ``cell``; or rows without ids, which are appended.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from penstock.state.contract import FULL, ROW, SLOT, Part, since_last_full

_FEWEST = 4
"""Parts merged at once at least: each row is then rewritten a few times in its life, not each second."""

_FREED = {"released": SLOT, "removed": ROW}
"""Frames of ids that were freed before the other frames of the part were written."""


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
    merged: Part = {}
    for part in since_last_full(parts):
        merged = _merged(merged, part) if merged else dict(part)
    if FULL in merged:
        for name in _FREED:
            merged.pop(name, None)
    return merged


def _merged(before: Part, after: Part) -> Part:
    result = dict(before)
    for name, id_column in _FREED.items():
        freed = after.get(name)
        if freed is not None:
            _free(result, name, id_column, freed)
    for name, frame in after.items():
        if name in _FREED:
            continue
        old = result.get(name)
        result[name] = frame if old is None else _replaced(old, frame, name)
    return result


def _free(part: Part, name: str, id_column: str, freed: pl.DataFrame) -> None:
    """Take what was freed out of a part, and remember it for the parts before that one."""
    known = part.get(name)
    seen = [] if known is None else [known]
    if name == "removed" and "rows" in part:
        # Row ids are given once: what came and went within the parts was never there.
        seen.append(freed.join(part["rows"], on=id_column, how="anti"))
    else:
        seen.append(freed)
    for other, frame in part.items():
        if other not in _FREED and id_column in frame.columns:
            part[other] = frame.join(freed, on=id_column, how="anti", maintain_order="left")
    part[name] = pl.concat(seen).unique(maintain_order=True)


def _replaced(old: pl.DataFrame, new: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return both, the newer one where they have the same id."""
    if name == "cell" or name == FULL:
        return new
    if ROW in old.columns or SLOT not in old.columns:
        return pl.concat([old, new])
    kept = old.join(new.select(SLOT), on=SLOT, how="anti", maintain_order="left")
    return pl.concat([kept, new])
