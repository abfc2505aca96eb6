"""Which lines have a shape, and what lies between its texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock.connectors.formats.json_index import WORD, Index
from penstock.connectors.formats.json_shapes import Shape
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    from penstock.connectors.formats.json_index import Flags, Places, Words

_AT_ONCE = 2048
"""Lines whose texts are compared at once: many, as calls cost; few, as the cache has to hold them."""


@dataclass(frozen=True, slots=True)
class Match:
    """The lines of a shape, and for each of its values where it begins and ends in each."""

    shape: Shape
    rows: Places
    spans: list[tuple[Places, Places]]


def matched(shape: Shape, index: Index, rows: Places) -> Match:
    """Keep of ``rows`` those that have all texts of the shape, each behind the one before."""
    at = list(_places(shape, index, rows))
    good = _says(shape, index, at)
    spans = [
        (before + len(text), after)
        for before, text, after in zip(at, shape.texts, at[1:], strict=False)
    ]
    for start, end in spans:
        good &= start <= end
    if not spans:
        good &= index.ends[rows] - index.starts[rows] == len(shape.texts[0])
    if good.all():
        return Match(shape, rows, spans)
    return Match(shape, rows[good], [(start[good], end[good]) for start, end in spans])


def _places(shape: Shape, index: Index, rows: Places) -> Iterator[Places]:
    """Say where each text would be: by the line's start, by a quote in it, or by the line's end."""
    first, quotes, last = index.first[rows], 0, len(shape.texts) - 1
    for number, text in enumerate(shape.texts):
        if number == 0:
            yield index.starts[rows]
        elif number == last:
            yield index.ends[rows] - len(text)
        else:
            yield index.quotes[first + quotes] - text.index(b'"')
        quotes += text.count(b'"')


def _says(shape: Shape, index: Index, at: list[Places]) -> Flags:
    """Tell in which lines all texts stand where they would be."""
    words, masks, texts, offsets = _words(shape)
    good: Flags = np.ones(len(at[0]), bool)
    for start in range(0, len(good), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        found = index.word(np.stack([at[text][some] for text in texts]) + offsets[:, None])
        found &= masks[:, None]
        np.all(found == words[:, None], axis=0, out=good[some])
    return good


@lru_cache(256)
def _words(shape: Shape) -> tuple[Words, Words, list[int], Places]:
    """Cut the texts into words: what each is, which bits count, of which text, and where in it."""
    cut = []
    for number, text in enumerate(shape.texts):
        ends = [*range(WORD, len(text), WORD), len(text)] if text else []
        for end in ends:
            start = max(0, end - WORD)
            part = text[start:end]
            mask = (1 << 8 * len(part)) - 1
            cut.append((int.from_bytes(part, "little"), mask, number, start))
    words, masks, texts, offsets = zip(*cut, strict=True)
    return np.array(words, np.uint64), np.array(masks, np.uint64), list(texts), np.array(offsets)
