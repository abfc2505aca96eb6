"""Which lines have a shape, and what lies between its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.connectors.formats.json_index import Index
from penstock.connectors.formats.json_shapes import Shape
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    from penstock.connectors.formats.json_index import Places


@dataclass(frozen=True, slots=True)
class Match:
    """The lines of a shape, and for each of its values where it begins and ends in each."""

    shape: Shape
    rows: Places
    spans: list[tuple[Places, Places]]


def matched(shape: Shape, index: Index, rows: Places) -> Match:
    """Keep of ``rows`` those that have all texts of the shape, each behind the one before.

    A text is looked for where the next quote says that it would be, the last at the end of the line.
    """
    begun = index.says(index.starts[rows], shape.texts[0])
    rows = rows if begun.all() else rows[begun]
    at, ends, good = index.starts[rows], index.ends[rows], np.ones(len(rows), bool)
    spans = []
    for number, text in enumerate(shape.texts[1:], 1):
        start = at + len(shape.texts[number - 1])
        if number == len(shape.values):
            at = ends - len(text)
        else:
            at = index.quotes.next(start, ends) - text.index(b'"')
        good &= start <= at
        good &= index.says(at, text)
        spans.append((start, at))
    good &= at + len(shape.texts[-1]) == ends
    if good.all():
        return Match(shape, rows, spans)
    return Match(shape, rows[good], [(start[good], end[good]) for start, end in spans])
