"""Random histories of inputs: rows in epochs, deletions made from rows inserted before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import polars as pl
from hypothesis import settings
from hypothesis import strategies as st

from penstock.columns import WEIGHT
from penstock.lowering.table import TABLE
from penstock.operators.contract import Delta, Operator, Tick
from penstock.plan.node import Node
from penstock.plan.properties import Properties
from penstock.stream import Stream
from penstock.testing import Epoch, bag_of, contracts, scripted

Row = tuple[Any, ...]

fewer = settings(max_examples=max(settings().max_examples // 3, 20))
"""For tests of many steps an example: a third of what the profile asks for."""

SIGN = "sign"


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighed(Node):
    """Makes changes of rows: their last column, ``sign``, is the weight."""

    input: Node
    keys: tuple[tuple[str, ...], ...] = ()

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def derive(self) -> tuple[pl.Schema, Properties]:
        schema = pl.Schema({c: t for c, t in self.input.schema.items() if c != SIGN})
        return schema, Properties(changelog=True, keys=self.keys, bounded=True)


class _Weigh(Operator):
    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        delta = deltas[0]
        return None if delta is None else delta.rename({SIGN: WEIGHT})


cast(dict[type[Node], Any], TABLE)[Weighed] = lambda node: [_Weigh()]


def changing(name: str, schema: Mapping[str, Any]) -> Stream:
    """A stream whose epochs come from ``History.frames``, as changes."""
    return Stream(Weighed(input=scripted(name, {**schema, SIGN: pl.Int64}).node))


@dataclass
class History:
    """The changes of one input, epoch by epoch: ``(row, +1 or -1)``, deletions first."""

    schema: dict[str, Any]
    epochs: list[list[tuple[Row, int]]]
    changelog: bool

    def frame(self, epoch: int) -> pl.DataFrame | None:
        changes = self.epochs[epoch]
        if not changes:
            return None
        if not self.changelog:
            return pl.DataFrame([row for row, _ in changes], schema=self.schema, orient="row")
        rows = [(*row, sign) for row, sign in changes]
        return pl.DataFrame(rows, schema={**self.schema, SIGN: pl.Int64}, orient="row")

    def contents(self, epoch: int) -> list[Row]:
        """The rows there are after an epoch, as a bag."""
        found: Counter[Row] = Counter()
        for changes in self.epochs[: epoch + 1]:
            for row, sign in changes:
                found[plain(row)] += sign
        return list(found.elements())


@st.composite
def histories(
    draw: st.DrawFn, schema: dict[str, Any], rows: st.SearchStrategy[Row], epochs: int
) -> History:
    """Draw an append-only input or a changelog."""
    changelog = draw(st.booleans())
    living: list[Row] = []
    found = []
    for _ in range(epochs):
        changes: list[tuple[Row, int]] = []
        if changelog and living:
            for _ in range(draw(st.integers(0, 3))):
                if living:
                    gone = draw(st.integers(0, len(living) - 1))
                    changes.append((living.pop(gone), -1))
        fresh = draw(st.lists(rows, max_size=4))
        old = {plain(row) for row, _ in changes}
        fresh = [row for row in fresh if plain(row) not in old]
        living += fresh
        found.append(changes + [(row, 1) for row in fresh])
    return History(schema, found, changelog)


def driven(names: Sequence[str], parts: Sequence[History]) -> list[Epoch]:
    """Put histories into epochs; every input ends with the last."""
    epochs = []
    count = len(parts[0].epochs)
    for number in range(count):
        frames = [(name, part.frame(number)) for name, part in zip(names, parts, strict=True)]
        ended = frozenset(names) if number == count - 1 else frozenset()
        epochs.append(Epoch({n: f for n, f in frames if f is not None}, ended=ended))
    return epochs


def plain(row: Iterable[Any]) -> Row:
    """One NaN and one zero."""
    return tuple(map(contracts.plain, row))


bag = bag_of
"""The rows of an integrated output with their weights."""
