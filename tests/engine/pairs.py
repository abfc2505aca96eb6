"""A step written twice: as a Penstock stream, and as a query over all rows so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl
from hypothesis import strategies as st

from penstock.stream import Stream

from .arrivals import Seen

Drawable = TypeVar("Drawable")
Query = Callable[[Seen], pl.LazyFrame]
US = 1_000_000


@dataclass(frozen=True)
class Pair:
    """A stream and the query it must agree with.

    ``bases`` are the sources it comes from; ``ordered``: rows are in order of arrival on both
    sides; ``at_end``: only the result at the end is known; ``mixed``: a time column may have been
    put together from several, or be computed.
    """

    stream: Stream
    query: Query
    bases: frozenset[str]
    ordered: bool
    at_end: bool = False
    steps: tuple[str, ...] = ()
    mixed: bool = False

    def now(self, seen: Seen) -> int:
        """Return the time that all bases have reached."""
        return min(seen.times[base] for base in self.bases)

    def then(
        self,
        text: str,
        stream: Stream,
        change: Callable[[pl.LazyFrame], pl.LazyFrame],
        **facts: Any,
    ) -> Pair:
        """Append a step."""
        query = self.query
        ordered = facts.get("ordered", self.ordered)
        return Pair(
            stream,
            lambda seen: change(query(seen)),
            facts.get("bases", self.bases),
            ordered and not stream.is_changelog,
            facts.get("at_end", self.at_end),
            (*self.steps, text),
            facts.get("mixed", self.mixed),
        )

    def columns(self, *dtypes: type[pl.DataType]) -> list[str]:
        """Return the exact columns of some types."""
        return [
            name
            for name, dtype in self.stream.schema.items()
            if isinstance(dtype, dtypes) and not name.startswith("x")
        ]

    def reached(self, text: str, stream: Stream, query: Query, column: str) -> Pair:
        """Append a step over a time column, whose query reads the time.

        Only ``ts`` and ``window_end`` are complete when the time reaches them: starts of windows,
        say, come later.
        """
        prompt = column in ("ts", "window_end") and not self.mixed
        at_end = self.at_end or not (prompt or stream.is_changelog)
        steps = (*self.steps, text)
        return Pair(stream, query, self.bases, False, at_end, steps, self.mixed)

    @property
    def sequenced(self) -> bool:
        """Whether the order is known in which a group's rows are seen.

        Either that of arrival, or for changes, which have none, that of all columns (which must
        then be exact, and have an order).
        """
        if self.ordered:
            return True
        exact = not any(name.startswith("x") for name in self.stream.columns)
        plain = not any(dtype.is_nested() for dtype in self.stream.schema.dtypes())
        return self.stream.is_changelog and exact and plain

    def sequence(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Put the rows in that order."""
        if self.ordered or not self.sequenced:
            return rows
        return rows.sort(self.stream.columns, nulls_last=False, maintain_order=True)

    @property
    def numbers(self) -> list[str]:
        """Exact columns one can compute with."""
        return self.columns(pl.Int64, pl.UInt32, pl.Float64)

    @property
    def keys(self) -> list[str]:
        """Exact columns of few values."""
        return self.columns(pl.Int64, pl.String, pl.UInt32, pl.Float64, pl.Boolean)

    @property
    def instants(self) -> list[str]:
        """Event-time columns."""
        return self.columns(pl.Datetime)


Step = Callable[["Drawn", Pair], Pair]


class Drawn:
    """Draws steps; counts the names it gives so that none is given twice."""

    def __init__(
        self, draw: st.DrawFn, pairs: list[Pair], steps: list[Step], in_order: list[Step]
    ) -> None:
        self.draw = draw
        self._pairs, self._steps, self._in_order = pairs, steps, in_order
        self._names = 0
        self.joins = 0

    def one(self, options: Sequence[Drawable]) -> Drawable:
        """Draw one of some values."""
        return self.draw(st.sampled_from(options))

    def maybe(self) -> bool:
        """Draw yes or no."""
        return self.draw(st.booleans())

    def some(self, options: Sequence[Drawable], most: int = 2) -> list[Drawable]:
        """Draw one to ``most`` different values."""
        return self.draw(st.lists(st.sampled_from(options), min_size=1, max_size=most, unique=True))

    def name(self, *, exact: bool = True) -> str:
        """Return a new column name."""
        self._names += 1
        return f"{'n' if exact else 'x'}{self._names}"

    def pipeline(self, length: int) -> Pair:
        """Draw a source and steps after it."""
        pair: Pair = self.one(self._pairs)
        for _ in range(length):
            if not pair.numbers:
                break
            # Few pairs stay in order of arrival: what needs it is drawn while it can be.
            ordered = self._in_order if pair.ordered else []
            pair = self.one(self._steps + ordered)(self, pair)
        return pair


# Expressions


def predicate(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw a row-wise condition."""
    name = d.one(pair.keys)
    dtype = pair.stream.schema[name]
    column = pl.col(name)
    if isinstance(dtype, pl.String):
        return d.one([column == "x", column.is_null(), column.is_in(["x", ""]), column > ""])
    if isinstance(dtype, pl.Boolean):
        return d.one([column, ~column, column.is_null()])
    number = d.one([0, 1, 2])
    return d.one([column > number, column <= number, column.is_not_null(), column != number])


def computed(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw exact row-wise arithmetic."""
    one, two = pl.col(d.one(pair.numbers)), pl.col(d.one(pair.numbers))
    return d.one(
        [
            one + 1,
            one * 2 - 1,
            one + two,
            one.fill_null(0) - two,
            pl.when(predicate(d, pair)).then(one).otherwise(two),
            pl.coalesce(one, two),
            one.is_null(),
            one.cast(pl.Float64) / 4,
        ]
    )


def aggregates(d: Drawn, pair: Pair) -> list[pl.Expr]:
    """Draw one to three aggregations."""
    return [aggregate(d, pair) for _ in range(d.one([1, 1, 2, 3]))]


def aggregate(d: Drawn, pair: Pair) -> pl.Expr:
    """Draw an aggregation."""
    name = d.one(pair.numbers)
    column = pl.col(name)
    exact = [
        pl.len(),
        column.count(),
        column.sum(),
        column.min(),
        column.max(),
        column.n_unique(),
        column.null_count(),
        column.filter(predicate(d, pair)).sum(),
        column.filter(predicate(d, pair)).max(),
        predicate(d, pair).any(),
        predicate(d, pair).all(),
        (predicate(d, pair)).sum(),
        column.max() - column.min(),
        column.fill_null(7).sum() + pl.len(),
        column.sum().is_null(),
    ]
    if pair.sequenced:
        exact += [column.first(), column.last(), column.drop_nulls().first(), column.implode()]
    inexact = [
        column.mean(),
        column.var(),
        column.std(),
        column.median(),
        column.sum() / pl.len(),
        column.quantile(0.3, "linear"),
    ]
    if d.one([True, True, True, False]):
        return d.one(exact).alias(d.name())
    return d.one(inexact).cast(pl.Float64).alias(d.name(exact=False))


def same_typed(d: Drawn, pair: Pair, other: Pair) -> tuple[list[str], list[str]]:
    """Draw key columns of the same types, if there are any."""
    matches = [
        (a, b)
        for a in pair.keys + pair.instants
        for b in other.keys + other.instants
        if pair.stream.schema[a] == other.stream.schema[b]
    ]
    if not matches:
        return [], []
    found = d.some(matches)
    if len({a for a, _ in found}) < len(found) or len({b for _, b in found}) < len(found):
        found = found[:1]
    return [a for a, _ in found], [b for _, b in found]
