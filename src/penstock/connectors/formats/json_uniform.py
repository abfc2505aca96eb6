"""Lines of a few shapes, as programs write them, read without parsing each.

    {"id":7,"by":{"name":"Ann"}}      the quotes say where the texts of a known shape would stand,
    {"id":12,"by":{"name":"Bo"}}  ->  a comparison whether they do; what lies between is read by
    {"id":"x"}                        columns: rows 0 and 1. Row 2 is left to the general way.

A line that is taken has been checked wholly: its texts are those of an example that is valid JSON,
they hold all its quotes, there is no escape or control character, and each value between is of the
kind that the example has. So what is read depends on no other line. Shapes are learnt as they come;
lines of no shape (lists, escapes, long numbers, bad rows) cost a comparison more.

Why: Polars' reader builds each field of a struct value by value, and instants inside structs have to be
converted with nulls between them. Events of three kinds, 305 bytes each, on two cores busy with much
else, us of processor time a row: 8.0 that way, 2.7 this way; 1 % of the rows bad: 59 and 9. About
0.4 go into finding the quotes, 0.25 into comparing texts, 0.5 into values, 0.1 into the order of
rows. Flat rows gain nothing and are left to the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.formats.contract import Block, Decoded, kept_without
from penstock.connectors.formats.json_columns import Columns, Part
from penstock.connectors.formats.json_index import Index
from penstock.connectors.formats.json_matching import Match, matched
from penstock.connectors.formats.json_shapes import Shape, learnt
from penstock.deferred import numpy as np

if TYPE_CHECKING:
    from penstock.connectors.formats.json_index import Flags, Places

MOST_SHAPES = 16
"""Shapes that are remembered: of those the most common come first, the unused go."""

_ATTEMPTS = 8
"""Lines of no known shape that are looked at in a block before the rest is left to the general way."""

_WORTH_LEARNING = 0.02
"""The part of a block that makes another shape worth looking for."""

_LONGEST_PAUSE = 64
"""Blocks that are passed over, at most, after one that was not uniform."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was read of a block of ``lines`` lines, and the numbers of the lines that were not."""

    lines: int
    parts: tuple[Part, ...]
    left: Places
    left_block: bytes

    def completed(self, rest: Decoded) -> Decoded:
        """Put what was read, and what was decoded of the lines left, together in order."""
        rows = self.left if rest.kept is None else self.left[rest.kept.to_numpy()]
        columns = {column.name: column for column in rest.frame}
        parts = [*self.parts, Part(rows, columns)] if len(rows) else self.parts
        frame = together(rest.frame.schema, parts, self.lines)
        if not rest.errors.height:
            return Decoded(frame)
        refused = pl.Series("index", self.left[rest.errors["index"].to_numpy()], dtype=pl.UInt32)
        kept = kept_without(refused, self.lines)
        return Decoded(frame[kept], kept, rest.errors.with_columns(refused))


class UniformLines:
    """Reads blocks of lines of ``schema``, and remembers the shapes it met.

    All values are checked; the ``wanted`` columns and fields are given. Blocks of which less than the
    part ``least`` is uniform are left alone.
    """

    def __init__(
        self,
        schema: Mapping[str, pl.DataType],
        wanted: Mapping[str, pl.DataType],
        *,
        least: float = 0.5,
    ) -> None:
        self._schema, self._columns, self._least = dict(schema), Columns(schema, wanted), least
        self._shapes: list[Shape] = []
        self._pause = self._paused = 0

    def read(self, block: Block) -> Taken | None:
        """Read what is uniform of lines of valid UTF-8; None if that is not worth while."""
        if self._paused > 0:
            self._paused -= 1
            return None
        index = Index(block)
        matches = self._matches(index)
        found = self._columns.parts(index, matches)
        waiting = np.ones(len(index), bool)
        for part in found:
            waiting[part.rows] = False
        left = np.flatnonzero(waiting)
        worth = len(index) - len(left) >= self._least * len(index)
        self._pause = 0 if worth else min(_LONGEST_PAUSE, 2 * self._pause + 1)
        self._paused = self._pause
        if not worth:
            return None
        rest = b"\n".join([index.line(row) for row in left.tolist()])
        return Taken(len(index), tuple(part for part in found if len(part.rows)), left, rest)

    def _matches(self, index: Index) -> list[Match]:
        waiting = np.ones(len(index), bool)
        found = []
        for shape in self._candidates(index, waiting):
            rows = np.flatnonzero(waiting & (index.counts == shape.quotes))
            match = matched(shape, index, rows) if len(rows) else None
            if match is not None and len(match.rows):
                waiting[match.rows] = False
                found.append(match)
        self._remember(found)
        return found

    def _candidates(self, index: Index, waiting: Flags) -> Iterator[Shape]:
        """Give the shapes that are known, then those of lines that still wait."""
        known = self._shapes
        yield from known
        strange = index.counts < 0
        for _ in range(_ATTEMPTS):
            rows = np.flatnonzero(waiting & ~strange)
            if len(rows) <= _WORTH_LEARNING * len(index):
                return
            strange[rows[0]] = True
            shape = learnt(index.line(rows[0]), self._schema)
            if shape is not None and shape not in known:
                yield shape

    def _remember(self, found: Sequence[Match]) -> None:
        common = [match.shape for match in sorted(found, key=lambda match: -len(match.rows))]
        others = [shape for shape in self._shapes if shape not in common]
        self._shapes = [*common, *others][:MOST_SHAPES]


def together(schema: Mapping[str, pl.DataType], parts: Sequence[Part], height: int) -> pl.DataFrame:
    """Put parts together as ``height`` rows; rows that are in no part are null."""
    orders: dict[tuple[int, ...], pl.Series | None] = {}
    columns = []
    for name, dtype in schema.items():
        having = tuple(n for n, part in enumerate(parts) if name in part.columns)
        if having not in orders:
            orders[having] = _order([parts[n].rows for n in having], height)
        order = orders[having]
        pieces = [parts[n].columns[name] for n in having]
        whole = pl.concat(pieces) if pieces else pl.Series(name, [None], dtype=dtype)
        columns.append((whole if order is None else whole[order]).alias(name))
    return pl.DataFrame(columns)


def _order(rows: Sequence[Places], height: int) -> pl.Series | None:
    """Say which of all rows, one part behind the other, is in each place; None: they are in order."""
    count = sum(len(some) for some in rows)
    if len(rows) == 1 and count == height:
        return None
    order = np.full(height, np.nan)
    start = 0
    for some in rows:
        order[some] = np.arange(start, start + len(some))
        start += len(some)
    return pl.Series(order, nan_to_null=True).cast(pl.UInt32)
