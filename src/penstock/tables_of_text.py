"""Tables as plain text, for what is printed where there may be no terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_WIDTH = 60
"""Longest text of a cell: two such columns fit a wide terminal."""


def table(rows: Sequence[Sequence[str]], *, left: Collection[int]) -> list[str]:
    """Return lines of aligned columns, those numbered in ``left`` to the left, others to the right."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def short(text: str, width: int = _WIDTH) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."
