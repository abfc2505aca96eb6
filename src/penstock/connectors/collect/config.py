"""What a collecting sink is told: where to gather."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from penstock.connectors.collect.sink import Collected, CollectSink
from penstock.connectors.contract import Accepts, Guarantee


@dataclass(frozen=True, slots=True)
class CollectSinkSpec:
    """Gather what a stream gives into ``into``, whose ``table()`` is the final table.

    >>> into = Collected()
    >>> sink = CollectSinkSpec(into).open()
    >>> sink.apply(0, [pl.DataFrame({"n": [1, 2], "_weight": [1, 1]})])
    >>> sink.apply(1, [pl.DataFrame({"n": [1], "_weight": [-1]})])
    >>> into.table().rows()
    [(2,)]
    """

    into: Collected = field(compare=False)

    @property
    def name(self) -> str:
        """Short name for plans and errors."""
        return "collect"

    @property
    def guarantee(self) -> Guarantee:
        """At least once: what is in memory does not outlive the run."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def accepts(self) -> Accepts:
        """Anything, with weights."""
        return Accepts.CHANGES

    @property
    def key(self) -> tuple[str, ...]:
        """Rows are told apart as a whole."""
        return ()

    @property
    def immediate(self) -> bool:
        """Gathered every epoch."""
        return True

    def validate(self, schema: pl.Schema) -> None:
        """Accept every schema."""

    def open(self) -> CollectSink:
        """Return the live sink."""
        return CollectSink(self.into)
