"""What cannot be replayed is kept in a topic first, and can be replayed from there."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from penstock.connectors.contract import (
    Guarantee,
    Keeper,
    Source,
    SourceSpec,
    is_changelog,
    is_made_here,
    kept_by,
    opens_once,
)
from penstock.connectors.options import choice
from penstock.connectors.probing import probed
from penstock.deferred import Deferred
from penstock.errors import ConfigError
from penstock.instants import size_bytes

if TYPE_CHECKING:
    from penstock.connectors.durable import source as live
else:
    live = Deferred("penstock.connectors.durable.source")

MAX_BYTES = 1 << 30
"""Stored bytes that may wait to be read: some ten million rows, a minute and more at full speed."""

KEPT_CHECKPOINTS = 3
"""A run that finds its newest manifest damaged goes back to the one before; its rows must be there."""

FOLDER = "arrivals"
"""Where in a checkpoint's folder the topics are."""


class Keep(enum.Enum):
    """Whether a source goes through a topic when the run keeps checkpoints."""

    ALWAYS = "always"
    NEVER = "never"


class Sync(enum.Enum):
    """When a row counts as kept."""

    SYNC = "sync"
    """On the disk: survives a power cut."""
    OS = "os"
    """With the operating system: survives kill -9."""


@dataclass(frozen=True)
class DurableSpec:
    """A source that cannot be replayed, and how its rows are kept in a topic until they are used.

    Columns, dead letters, partitions and end are those of ``inner``. In a run that keeps checkpoints
    rows and dead letters go into the topic in ``folder`` first (None: a folder beside the
    checkpoint), then ``inner`` acknowledges; they are read from there, each exactly once from the
    moment it was appended. The topic forgets what the last ``kept_checkpoints`` checkpoints cover.
    While more than ``max_bytes`` wait to be read, ``inner`` is not polled. In a run without
    checkpoints, and with ``Keep.NEVER``, it is ``inner`` and nothing else.
    """

    inner: SourceSpec
    folder: str | None = None
    max_bytes: int = MAX_BYTES
    sync: Sync = Sync.SYNC
    keep: Keep = Keep.ALWAYS
    kept_checkpoints: int = KEPT_CHECKPOINTS

    def __post_init__(self) -> None:
        if self.keep is Keep.NEVER:
            return
        if self.inner.replayable:
            raise ConfigError(
                "it can be read again by itself, and needs no topic",
                step=self.name,
                hint="leave durable= out",
            )
        if self.inner.frame_is_epoch:
            raise ConfigError("its frames are epochs, which a topic does not keep", step=self.name)

    @property
    def name(self) -> str:
        """That of the source within."""
        return self.inner.name

    @property
    def schema(self) -> pl.Schema:
        """Columns of the source within."""
        return self.inner.schema

    @property
    def changelog(self) -> bool:
        """Whether the source within brings changes."""
        return is_changelog(self.inner)

    @property
    def bounded(self) -> bool:
        """Whether the source within ends; its end is kept as its rows are."""
        return self.inner.bounded

    @property
    def replayable(self) -> bool:
        """Whether it goes through a topic, as in a run that keeps checkpoints."""
        return self.keep is Keep.ALWAYS and self.folder is not None

    @property
    def opens_once(self) -> bool:
        """Whether the source within can be opened only once."""
        return opens_once(self.inner)

    @property
    def partitioned(self) -> bool:
        """Whether the source within is."""
        return self.inner.partitioned

    @property
    def frame_is_epoch(self) -> bool:
        """Whether the source within says so, which then goes through no topic."""
        return self.inner.frame_is_epoch

    def probe(self) -> str | None:
        """Probe the source within."""
        return probed(self.inner)

    def open(self) -> Source:
        """Open the topic, then the source within."""
        if not self.replayable:
            return self.inner.open()
        return live.DurableSource(self)


def durable(
    spec: SourceSpec,
    how: bool | str | Path | None = None,  # noqa: FBT001 - the user's words
    max_bytes: int | str | None = None,
    sync: Sync | str = Sync.SYNC,
) -> SourceSpec:
    """Say of a source whether it goes through a topic, in runs that keep checkpoints.

    None: if it needs one and the checkpoint is on a local disk; False: never; True, the topic's folder
    or a limit: always. ``max_bytes`` (``"4GB"``) and ``sync`` (``"sync"``, ``"os"``) as in `DurableSpec`.
    """
    chosen = choice(Sync, sync, step=spec.name, option="durable_sync")
    limit = MAX_BYTES
    if max_bytes is not None:
        limit = size_bytes(max_bytes, step=spec.name, option="durable_max_bytes")
    if how is None and limit == MAX_BYTES and chosen is Sync.SYNC:
        return spec
    if how is False:
        return spec if spec.replayable else DurableSpec(spec, keep=Keep.NEVER)
    if isinstance(spec, DurableSpec):
        raise ConfigError("it is durable already", step=spec.name)
    folder = str(how) if isinstance(how, str | Path) else None
    return DurableSpec(spec, folder, limit, chosen)


def settled(
    specs: Sequence[SourceSpec],
    *,
    checkpoints: bool,
    folder: Path | None = None,
    kept_checkpoints: int = KEPT_CHECKPOINTS,
) -> list[SourceSpec]:
    """Return the sources as a run has them, each that needs a topic with its folder.

    ``folder`` is the checkpoint's, None if that is not on a local disk. Folders are named after the
    source: ``arrivals/tcp-listen-127.0.0.1-9009``.
    """
    taken: dict[str, int] = {}
    found = []
    for spec in specs:
        wish = spec if isinstance(spec, DurableSpec) else _default(spec)
        if wish is None or wish.keep is Keep.NEVER or not checkpoints:
            bare = wish.inner if isinstance(spec, DurableSpec) and wish else spec
            found.append(kept_by(bare, Keeper.NOBODY))
            continue
        place = wish.folder
        if place is None and folder is not None:
            label = _label(spec.name, taken)
            place = str(folder / FOLDER / label)
        if place is None and spec is wish:
            raise ConfigError(
                "the checkpoint is on no local disk, where a topic needs one",
                step=spec.name,
                hint='name a local folder: durable="folder"',
            )
        if place is None:
            found.append(kept_by(spec, Keeper.CHECKPOINT))
            continue
        inner = kept_by(wish.inner, Keeper.TOPIC)
        found.append(replace(wish, inner=inner, folder=place, kept_checkpoints=kept_checkpoints))
    return found


def _default(spec: SourceSpec) -> DurableSpec | None:
    """Wrap what would be lost in a crash, and was not made here."""
    keeps = not (spec.replayable or spec.frame_is_epoch or is_made_here(spec))
    return DurableSpec(spec) if keeps else None


def _label(name: str, taken: dict[str, int]) -> str:
    """Return a folder name for a source; a second one of the same name gets a number."""
    label = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "source"
    taken[label] = taken.get(label, 0) + 1
    return label if taken[label] == 1 else f"{label}-{taken[label]}"


def guarantee_of(spec: SourceSpec) -> Guarantee:
    """Return what becomes of the rows of a source in a crash, in a run with a checkpoint."""
    if is_made_here(spec) or (spec.replayable and not isinstance(spec, DurableSpec)):
        return Guarantee.EXACTLY_ONCE
    wish = spec if isinstance(spec, DurableSpec) else _default(spec)
    kept = wish is not None and wish.keep is not Keep.NEVER
    return Guarantee.EXACTLY_ONCE if kept else Guarantee.AT_MOST_ONCE


def promise(spec: SourceSpec) -> str | None:
    """Say what becomes of rows in a crash, for ``explain()``; None where a source is just read again."""
    if is_made_here(spec) or (spec.replayable and not isinstance(spec, DurableSpec)):
        return None
    wish = spec if isinstance(spec, DurableSpec) else _default(spec)
    if wish is None:
        return "at most once: cannot be read again after a crash"
    if wish.keep is Keep.NEVER:
        return "at most once (durable=False): a crash loses what arrived since the last checkpoint"
    where = "beside a local checkpoint" if wish.folder is None else f"in {wish.folder}"
    return (
        f"exactly once from its arrival in a topic {where}, when run with a checkpoint; "
        "a crash loses what was not acknowledged"
    )
