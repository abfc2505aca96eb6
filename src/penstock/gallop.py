"""Gallop: find the rows that fail, where all that can be asked is whether some rows fail together."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def gallop(
    height: int, attempt: Callable[[int, int], BaseException | None], failed: BaseException | None
) -> Iterator[tuple[int, int, BaseException | None]]:
    """Yield ``(start, end, error)`` of spans of rows that pass together, and of rows that fail alone.

    ``attempt(start, end)`` tries a span. ``failed``: how all of them together have failed already.
    A span that fails is halved until the first culprit is alone; the next span is so long that,
    by the share of culprits so far, it passes half the time, and doubles as long as spans pass.
    So few culprits cost about ``log2`` of their distance each, as when halving; where most rows
    fail, each is tried once, alone, and not in ever smaller companies first. (Group testing:
    Hwang, "A method for detecting all defective members in a population", 1972.)
    """
    start, size, culprits = 0, height, 0
    faulty = height if failed is not None else 0  # rows up to here hold a culprit
    while start < height:
        if faulty > start + 1:
            size = (faulty - start) // 2
        elif faulty == start + 1:
            size = 1
        end = min(start + size, height)
        error = failed if end - start == height and failed is not None else attempt(start, end)
        if error is None:
            yield start, end, None
            start = end
            size *= 2
        elif end - start == 1:
            yield start, end, error
            start, faulty, culprits = end, 0, culprits + 1
            size = max(1, int(0.7 * start / culprits))
        else:
            faulty = end
