"""Frames from Python as a source."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from penstock.connectors.batches.feeds import AsyncFeed, Feed, ListFeed, ThreadFeed
from penstock.connectors.batches.frames import FrameLike, to_frame
from penstock.connectors.batches.source import BatchesSource
from penstock.connectors.contract import Source
from penstock.errors import ConfigError

_PEEK_TIMEOUT_S = 60.0
"""How long the first frame may take when the schema has to be taken from it."""

Batches = Sequence[FrameLike] | Iterable[FrameLike] | AsyncIterable[FrameLike] | pl.DataFrame


@dataclass(frozen=True, eq=False)
class BatchesSpec:
    """Frames from Python, each an epoch of its own.

    ``frames`` is a frame, a list of frames, an iterable, or an async iterable (run on an event loop
    of its own, in a thread of its own). A frame may be a Polars, pandas or Arrow table, or a dict
    of lists. Without ``schema`` the first frame says the columns; a later frame with other columns
    or types is a ``ConnectorError``. Frames are handed over whole, however large.

    A list can be replayed (position: ``{"frame": frames handed over}``) and opened many times; an
    iterator only once. Two specs are equal only if they are the same object.
    """

    frames: Batches
    given_schema: pl.Schema | None = None
    label: str = "batches"
    _opened: list[Feed] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        frames = self.frames
        if isinstance(frames, str | bytes) or not isinstance(
            frames, pl.DataFrame | Iterable | AsyncIterable
        ):
            raise ConfigError(
                f"expected frames, an iterable or an async iterable of them, not {type(frames)}",
                step=self.label,
                value=type(frames).__name__,
            )
        if self.given_schema is None and self._replays and not self._as_list:
            raise ConfigError("an empty list has no columns", step=self.label, hint="give schema=")

    @property
    def name(self) -> str:
        """The label."""
        return self.label

    @cached_property
    def schema(self) -> pl.Schema:
        """The given schema, or that of the first frame (an iterator is asked for it)."""
        if self.given_schema is not None:
            return pl.Schema(self.given_schema)
        feed = self._feed
        try:
            first = feed.peek(_PEEK_TIMEOUT_S)
        except TimeoutError:
            raise ConfigError(
                f"the first frame did not come within {_PEEK_TIMEOUT_S:g} s",
                step=self.label,
                hint="give schema=, then nothing is awaited while the pipeline is built",
            ) from None
        if first is None:
            raise ConfigError("no frame came", step=self.label, hint="give schema=")
        return to_frame(first, None, 1, self.label).schema

    @property
    def _replays(self) -> bool:
        return isinstance(self.frames, Sequence | pl.DataFrame | dict)

    @property
    def _as_list(self) -> Sequence[FrameLike]:
        """The frames of a list; a single frame is a list of one."""
        frames = self.frames
        if isinstance(frames, pl.DataFrame | dict):
            return [frames]
        return frames if isinstance(frames, Sequence) else []

    @cached_property
    def _feed(self) -> Feed:
        frames = self.frames
        if self._replays:
            return ListFeed(self._as_list)
        if isinstance(frames, AsyncIterable):
            iterator: AsyncIterator[FrameLike] = aiter(frames)
            return AsyncFeed(iterator, self.label)
        rows: Iterator[FrameLike] = iter(frames)
        return ThreadFeed(rows, self.label)

    @property
    def bounded(self) -> bool:
        """It ends with its frames (an endless iterator never does)."""
        return True

    @property
    def replayable(self) -> bool:
        """Whether it is a list."""
        return self._replays

    @property
    def opens_once(self) -> bool:
        """Whether it is an iterator."""
        return not self._replays

    @property
    def partitioned(self) -> bool:
        """Never."""
        return False

    @property
    def frame_is_epoch(self) -> bool:
        """Always."""
        return True

    def open(self) -> Source:
        """Return the source; an iterator can be opened once."""
        schema = self.schema
        if self._replays:
            feed: Feed = ListFeed(self._as_list)
        else:
            if self._opened:
                raise ConfigError(
                    "an iterator can be read only once",
                    step=self.label,
                    hint="give a list of frames, or build the stream from a new iterator",
                )
            feed = self._feed
            self._opened.append(feed)
        return BatchesSource(feed, schema, self.label)
