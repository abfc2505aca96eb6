"""Event-time alignment: of sources that are read together, none runs far ahead of the others.

    orders   10:00 ... 10:40 | 10:41       held back: more than max_drift ahead of clicks
    clicks   10:00 . 09:35                 served, as the slowest always is

A join has to keep the rows of a source until the other one has caught up with them; held back, they
stay where they are. What is emitted does not change: the watermark takes a source that is held back
for one that is being read.

A source is waited for while it may have rows at once: not when it has ended, has nothing more at this
moment, or has brought its watermark nothing for the ``idle_timeout`` of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from penstock.instants import MIN_INSTANT
from penstock.lowering.graph import Graph, Vertex
from penstock.operators.watermark import WatermarkOperator


class Member(Protocol):
    """What alignment has to know of a feed."""

    @property
    def ended(self) -> bool:
        """Whether nothing will come."""

    @property
    def caught_up(self) -> bool:
        """Whether nothing more is there at this moment."""

    @property
    def fixed(self) -> bool:
        """Whether its epochs are cut by the user, who then decides what is read together."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A source with a watermark below it."""

    number: int
    base: int
    watermark: WatermarkOperator

    def reached(self, now: int) -> int:
        """Return the event time up to which it was read; before its first row, that is nothing."""
        reached = self.watermark.reached(self.base, now)
        return MIN_INSTANT if reached is None else reached


@dataclass(frozen=True, slots=True)
class Held:
    """The sources that are not to be taken from, and the instant at which that may change by itself."""

    numbers: frozenset[int] = frozenset()
    until: int | None = None


class Alignment:
    """Decides which sources to hold back; ``began`` is when the run did. Holds no clock."""

    def __init__(self, graph: Graph, max_drift_ns: int | None, began: int) -> None:
        self._max_drift_ns = max_drift_ns
        self._groups = [] if max_drift_ns is None else groups(graph)
        self._began = began

    def held(self, feeds: Mapping[int, Member], now: int) -> Held:
        """Return the sources that are too far ahead of one that is being waited for."""
        numbers: set[int] = set()
        until: list[int] = []
        for group in self._groups:
            reading = [timed for timed in group if not feeds[timed.number].ended]
            waited = [
                t for t in reading if not feeds[t.number].caught_up and not self._idle(t, now)
            ]
            reached = {t.number: t.reached(now) for t in reading}
            slowest = min((reached[t.number] for t in waited), default=None)
            if slowest is None:
                continue
            bound = slowest + (self._max_drift_ns or 0)
            ahead = {
                t.number for t in reading if reached[t.number] > bound and not feeds[t.number].fixed
            }
            if ahead:
                numbers |= ahead
                until += [at for t in waited if (at := self._idle_at(t)) is not None]
        return Held(frozenset(numbers), min(until, default=None))

    def _idle(self, timed: Timed, now: int) -> bool:
        at = self._idle_at(timed)
        return at is not None and now >= at

    def _idle_at(self, timed: Timed) -> int | None:
        """Return when its watermark stops waiting for it, if no row comes before."""
        timeout = timed.watermark.rule.idle_timeout_ns
        return (
            None
            if timeout is None
            else max(self._began, timed.watermark.seen(timed.base)) + timeout
        )


def groups(graph: Graph) -> list[list[Timed]]:
    """Return the sources with a watermark that meet in a step below: joined, or put together."""
    timed = {source.number: t for source in graph.sources if (t := _timed(graph, source))}
    together = {number: {number} for number in timed}
    for vertex in graph.vertices:
        if len(vertex.inputs) > 1:
            _merge(together, graph.ancestors(vertex.number) & timed.keys())
    found = {id(group): group for group in together.values()}.values()
    return [[timed[number] for number in sorted(group)] for group in found if len(group) > 1]


def _merge(together: dict[int, set[int]], meeting: Iterable[int]) -> None:
    merged: set[int] = set()
    for number in meeting:
        merged |= together[number]
    for number in merged:
        together[number] = merged


def _timed(graph: Graph, source: Vertex) -> Timed | None:
    """Find the first watermark below a source."""
    for vertex in graph.vertices:
        if isinstance(vertex.operator, WatermarkOperator) and source.number in graph.ancestors(
            vertex.number
        ):
            return Timed(source.number, source.partition_base, vertex.operator)
    return None
