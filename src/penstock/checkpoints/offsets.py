"""Sets of offsets, kept as ranges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Ranges = list[tuple[int, int]]
"""From and before, ascending, none next to another: ``[(0, 3), (7, 8)]`` is 0, 1, 2 and 7."""


def ranges_of(offsets: Iterable[int]) -> Ranges:
    """Return a set of offsets as ranges."""
    found: Ranges = []
    for offset in sorted(set(offsets)):
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], offset + 1)
        else:
            found.append((offset, offset + 1))
    return found


def offsets_of(ranges: Iterable[Sequence[int]]) -> set[int]:
    """Return the offsets in ranges."""
    return {offset for start, stop in ranges for offset in range(start, stop)}
