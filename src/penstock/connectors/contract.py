"""What every source and sink owes the runtime, and the runtime owes them.

A connector comes in two parts:

* a **spec** (``config.py``): a frozen dataclass, checked when built, that holds options and never a
  live client. It can be compared, printed and drawn. It imports no driver.
* a **source** or **sink** (``source.py``, ``sink.py``): the live object that ``spec.open()`` returns.
  Drivers are imported here only.

Life of a source, always on one thread of its own::

    open() -> seek(position or None) -> poll() poll() poll() ... -> close()
                                          |
                     acknowledge(position) whenever a checkpoint that covers it is committed

Life of a sink, always on one thread of its own::

    open() -> begin(identity or None, schema) -> apply(epoch, frames) apply(...) ... -> close()
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import polars as pl

Position = object
"""Where a source stands: anything JSON can hold (dict, list, str, int, float, bool, None)."""


MAX_LINE_BYTES = 1 << 20
"""Longest line taken for a message; a longer one is a dead letter (docs/contract.md)."""


class Guarantee(enum.Enum):
    """What a connector promises about each row across crashes, strongest first."""

    EXACTLY_ONCE = "exactly once"
    AT_LEAST_ONCE = "at least once"
    AT_MOST_ONCE = "at most once"


class Accepts(enum.Enum):
    """What kind of stream a sink can take."""

    APPEND = "append-only rows"
    UPSERT = "changes, by a unique key"
    CHANGES = "any changes, with their weights"


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll brought.

    ``frame`` has exactly the spec's schema (column order too); no rows is fine. If the spec is
    partitioned, ``partition`` says which partition all its rows are from (0 otherwise).
    ``position`` is where the *whole source* resumes after this batch. ``dead`` holds rows that could
    not be decoded (``columns.DEAD_LETTER_SCHEMA``). ``caught_up`` means that nothing more was there
    at this moment (never said while reconnecting). ``ended`` means that nothing will ever come.
    """

    frame: pl.DataFrame
    position: Position
    partition: int = 0
    dead: pl.DataFrame | None = None
    caught_up: bool = False
    ended: bool = False


class Source(Protocol):
    """A live source. Only one thread ever calls it, except ``close`` and ``acknowledge``."""

    def seek(self, position: Position | None) -> None:
        """Make the next poll start at ``position``; None is the beginning the spec asks for."""

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return at most ``max_rows`` rows (frame and dead together), waiting up to ``timeout_s``.

        Returns as soon as anything is there; an empty frame after the time-out. The same position
        always brings the same rows in the same order (if the spec is replayable).
        """

    def partitions(self) -> Sequence[int]:
        """Return the numbers of the partitions that may still bring rows, after the last poll."""

    def acknowledge(self, position: Position) -> None:
        """Everything up to ``position`` is durable downstream; the remote side may forget it."""

    def close(self) -> None:
        """Release everything. May be called from another thread, to end a waiting poll."""


class OnePartition:
    """Base of the sources whose rows are one sequence."""

    def partitions(self) -> Sequence[int]:
        """There is one."""
        return (0,)

    def lag(self) -> int | None:
        """How much there is to read is not known."""
        return None


def lag_of(source: Source) -> int | None:
    """Return how many rows are there that the source has not handed over; None if unknown.

    A source that can tell has a method ``lag``, which any thread may call and which does no I/O.
    """
    lag = getattr(source, "lag", None)
    found: int | None = None if lag is None else lag()
    return found


def share_of(source: Source) -> float | None:
    """Return how much of a source that ends was read, from 0 to 1; None if unknown.

    A source that can tell has an attribute ``share``, which any thread may read.
    """
    share: float | None = getattr(source, "share", None)
    return share


def lost_of(source: Source) -> int:
    """Return how many messages the source knows were lost before it could fetch them.

    A source that can tell has an attribute ``lost``, which any thread may read.
    """
    return int(getattr(source, "lost", 0))


def promise_acknowledgement(source: Source) -> None:
    """Tell a live source, before ``seek``, that each poll is acknowledged as soon as it is durable.

    One that answers its senders has a method ``acknowledged_at_once``: without the call nothing is known
    of what becomes of the rows, and it answers when they are handed over.
    """
    promised = getattr(source, "acknowledged_at_once", None)
    if promised is not None:
        promised()


@runtime_checkable
class StoppingSource(Source, Protocol):
    """A live source that can end at a position, which sources of several partitions have to.

    Of one partition, where all rows have one order, it is enough to count them.
    """

    def stop_at(self, position: Position) -> None:
        """End where ``position`` stands; called after ``seek``, which takes it back."""


@runtime_checkable
class SourceSpec(Protocol):
    """A described source: frozen, comparable, checked when built."""

    @property
    def name(self) -> str:
        """Short name for plans and errors, without secrets, e.g. ``csv orders/*.csv``."""

    @property
    def schema(self) -> pl.Schema:
        """Columns of every frame it brings. May read a sample of the source once, then cached."""

    @property
    def bounded(self) -> bool:
        """Whether it ends by itself."""

    @property
    def replayable(self) -> bool:
        """Whether a position can be sought again after a crash."""

    @property
    def partitioned(self) -> bool:
        """Whether rows come from several partitions, each ordered only in itself."""

    @property
    def frame_is_epoch(self) -> bool:
        """Whether each polled frame must be an epoch of its own, whatever its size."""

    def open(self) -> Source:
        """Return a live source. Drivers are imported here."""


def is_changelog(spec: SourceSpec) -> bool:
    """Tell whether a source brings changes: it says so by a property ``changelog``, if it has one.

    Its schema and frames then have ``columns.WEIGHT`` as last column, deletions before insertions.
    """
    return bool(getattr(spec, "changelog", False))


def unique_keys(spec: SourceSpec) -> tuple[tuple[str, ...], ...]:
    """Return the column sets on which a source's contents are unique, if it has a property for them."""
    return tuple(getattr(spec, "unique_keys", ()))


def opens_once(spec: SourceSpec) -> bool:
    """Tell whether a source can be opened only once, as an iterator: a property ``opens_once``."""
    return bool(getattr(spec, "opens_once", False))


def is_made_here(spec: SourceSpec) -> bool:
    """Tell whether a source makes up its rows, so that none is lost when nobody reads it.

    It says so by a property ``made_here``, if it has one. Any other source that cannot be replayed
    is kept in a topic first, in a run with a checkpoint on a local disk.
    """
    return bool(getattr(spec, "made_here", False))


class Keeper(enum.Enum):
    """Who keeps the messages of a source that cannot be replayed, and tells it what is kept."""

    TOPIC = "a topic"
    """Rows, dead letters and each new position, at once."""
    CHECKPOINT = "a checkpoint"
    """Positions are acknowledged with the rows before them, some time later."""
    NOBODY = "nobody"
    """Nothing is ever acknowledged; the source lets go of what it has handed over."""


def kept_by(spec: SourceSpec, keeper: Keeper) -> SourceSpec:
    """Return a source as a run has it, told who keeps its messages if it has a method ``kept_by``."""
    told = getattr(spec, "kept_by", None)
    if told is None:
        return spec
    found = told(keeper)
    assert isinstance(found, SourceSpec)
    return found


@dataclass(frozen=True, slots=True)
class SinkIdentity:
    """Who writes: the sink's stable id (pipeline and sink name) and the fencing token of the run."""

    sink_id: str
    token: int


class Sink(Protocol):
    """A live sink. Only one thread ever calls it."""

    def begin(self, identity: SinkIdentity | None, schema: pl.Schema | None = None) -> int | None:
        """Connect, create what is missing, and return the last epoch applied under this identity.

        ``schema``: the columns of the frames to come, of a changelog with ``columns.WEIGHT`` as the
        last, so that a table or topic is there even if no row ever comes. Without it, it is created
        by the first frame.

        With an identity, each ``apply`` records (sink_id, epoch, token) together with the rows, in
        one transaction of the system; a token lower than one already recorded raises
        ``FencedError``. Without one (a run that keeps no checkpoint) nothing is recorded.
        """

    def apply(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Write ``frames`` and the epoch, all or nothing. Skips an epoch already applied.

        Frames of a changelog have ``columns.WEIGHT`` as last column, deletions before insertions;
        frames of an append-only stream have not.

        Without frames it is a call for what time demands (files that have been open for long
        enough); a sink that has nothing of the kind returns at once, and records nothing.
        """

    def close(self) -> None:
        """Finish what is open (for files: the last part) and release everything."""


@runtime_checkable
class SinkSpec(Protocol):
    """A described sink: frozen, comparable, checked when built."""

    @property
    def name(self) -> str:
        """Short name for plans and errors, without secrets, e.g. ``sqlite out.db:counts``."""

    @property
    def guarantee(self) -> Guarantee:
        """What it promises when the run keeps checkpoints."""

    @property
    def accepts(self) -> Accepts:
        """Which kind of stream it takes."""

    @property
    def key(self) -> tuple[str, ...]:
        """Key columns of an upsert sink; empty otherwise."""

    @property
    def immediate(self) -> bool:
        """Whether output is handed over every epoch, before the checkpoint (at least once)."""

    def validate(self, schema: pl.Schema) -> None:
        """Raise ``ConfigError`` if rows of this schema (without the weight) cannot be written."""

    def open(self) -> Sink:
        """Return a live sink. Drivers are imported here."""


@runtime_checkable
class ReplacingSink(Sink, Protocol):
    """A live sink that can let go of what it holds, so that a view may be rebuilt from history."""

    def replace(self, epoch: int, frames: Iterable[pl.DataFrame]) -> None:
        """Hold exactly the rows of ``frames``, otherwise as ``apply``: all or nothing, and once."""


@runtime_checkable
class RefusingSink(Sink, Protocol):
    """A live sink whose system may refuse single rows for their values; it writes the others."""

    def refused(self, epoch: int) -> pl.DataFrame | None:
        """Return the rows of an applied epoch that were refused (``columns.REFUSED_SCHEMA``), if any.

        With an identity they are kept in the system, in the transaction of the epoch, until the next
        epoch is applied: after a crash they are there as if this run had applied it.
        """


@runtime_checkable
class KeyedSink(Sink, Protocol):
    """A live sink that can tell which keys it has rows of, so that a replay replaces no newer one."""

    def present(self, keys: pl.DataFrame) -> pl.Series | None:
        """Tell of each key (Boolean) whether a row of it is there now; None if it cannot be told."""
        ...


def is_replaceable(spec: SinkSpec) -> bool:
    """Tell whether the sink is a ``ReplacingSink``: its spec says so by a property ``replaceable``."""
    return bool(getattr(spec, "replaceable", False))
