"""What an operator is.

An operator is a function from input deltas and state to output deltas. It owns no thread, clock,
socket or file: time enters through ``Tick``, state lives in ``Stateful`` primitives that the runtime
snapshots, and it can be moved to another host between two epochs.

One epoch::

    runtime                                  operator
       | step([delta or None per input], tick)   |
       |---------------------------------------->|  rows first, then the watermark
       |            delta or None                |
       |<----------------------------------------|
       | watermark()                             |
       |---------------------------------------->|  bound for everything still to come

The runtime owes: at most one ``step`` an epoch, inputs in plan order, watermarks that never go back,
no empty frames (None instead). The operator owes: a result that depends only on the rows so far and
the watermark, never on how epochs were cut; a consolidated output (no row both inserted and deleted
in one delta, deletions first); state freed as the watermark passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from penstock.instants import MIN_INSTANT
from penstock.state.contract import Stateful

Delta = pl.DataFrame
"""Rows of an edge in one epoch; on changelog edges the last column is ``columns.WEIGHT``."""


@dataclass(slots=True)
class Sides:
    """Side outputs of one step; the runtime routes them."""

    late: list[pl.DataFrame] = field(default_factory=list)
    dead: list[pl.DataFrame] = field(default_factory=list)

    def clear(self) -> None:
        """Forget everything."""
        self.late.clear()
        self.dead.clear()


@dataclass(slots=True)
class Tick:
    """Time, as one operator sees it in one epoch. Instants are nanoseconds since 1970 UTC.

    ``partitions`` are the source partitions above a watermark step that may still bring rows;
    ``held`` are those of them that are not being read, so that others catch up with them;
    ``caught_up`` says that all its sources had nothing more at this moment.
    """

    epoch: int
    now: int
    watermarks: tuple[int, ...]
    caught_up: bool = False
    partitions: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    sides: Sides = field(default_factory=Sides)

    @property
    def watermark(self) -> int:
        """The lowest watermark of the inputs."""
        return min(self.watermarks, default=MIN_INSTANT)


class Operator:
    """Base of all operators. ``state`` maps a name to each primitive that must survive a crash."""

    state: Mapping[str, Stateful] = {}
    step_name: str = ""
    """What it calls itself in the dead letters of rows that it refuses."""

    def step(self, deltas: Sequence[Delta | None], tick: Tick) -> Delta | None:
        """Take the deltas of one epoch and return what changes in the output."""
        raise NotImplementedError  # pragma: no cover - every operator overrides it

    def watermark(self, tick: Tick) -> int:
        """Return the watermark of the output after this epoch."""
        return tick.watermark

    def deadline(self) -> int | None:
        """Return the processing-time instant at which it wants a step without input, if any."""
        return None

    @property
    def wants_idle_steps(self) -> bool:
        """Whether it must be stepped in every epoch, also without input or a new watermark."""
        return False
