"""A live source that reads history to its end, then goes on with what is live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from penstock.connectors.contract import Polled, Position, Source, lag_of, lost_of

if TYPE_CHECKING:
    from penstock.connectors.handover.config import HandoverSpec

_LIVE = 1 << 15
"""Partitions of the live source are numbered from here, so that none is taken for one of history."""


class _Position(msgspec.Struct):
    """Where it stands: in history, or behind it. ``cut`` is the first instant of the live source."""

    live: bool
    at: object  # the position of the source that is being read
    cut: int | None


class HandoverSource:
    """One of the two sources is current; positions say which."""

    def __init__(self, spec: HandoverSpec) -> None:
        self._spec = spec
        self._history = spec.history.open()
        try:
            self._live: Source = spec.live.open()
        except BaseException:
            self._history.close()
            raise
        self._is_live = False
        self._cut = spec.cut()
        self._fixed_cut = self._cut is not None

    @property
    def lost(self) -> int:
        """Messages that the live source knows were lost."""
        return lost_of(self._live)

    def seek(self, position: Position | None) -> None:
        """Go on in the source that the position is of; the live one listens from now on."""
        if position is None:
            self._history.seek(None)
            self._live.seek(None)
            return
        held = msgspec.convert(position, _Position)
        self._is_live, self._cut = held.live, held.cut
        if held.live:
            self._history.close()
            self._live.seek(held.at)
        else:
            self._history.seek(held.at)
            self._live.seek(None)

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return rows of history until it ends, then of the live source, on their side of the cut."""
        if self._is_live:
            return self._poll_live(max_rows, timeout_s)
        polled = self._history.poll(max_rows, timeout_s)
        frame = self._before(polled.frame.select(self._spec.schema.names()))
        at: Position = polled.position
        if polled.ended:
            self._history.close()
            self._is_live, at = True, None
        return replace(
            polled, frame=frame, position=self._position(at), caught_up=False, ended=False
        )

    def _poll_live(self, max_rows: int, timeout_s: float) -> Polled:
        polled = self._live.poll(max_rows, timeout_s)
        partition = polled.partition + _LIVE if self._spec.partitioned else 0
        frame = self._from_the_cut(polled.frame)
        return replace(
            polled, frame=frame, position=self._position(polled.position), partition=partition
        )

    def _before(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows before a cut that was given; else let the newest row set it."""
        times = frame[self._spec.on].to_physical()
        if self._fixed_cut:
            kept = (times < self._cut).fill_null(value=True)
            return frame if kept.all() else frame.filter(kept)
        newest = times.max()
        if isinstance(newest, int):
            self._cut = newest + 1 if self._cut is None else max(self._cut, newest + 1)
        return frame

    def _from_the_cut(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self._cut is None or not frame.height:
            return frame
        kept = (frame[self._spec.on].to_physical() >= self._cut).fill_null(value=True)
        return frame if kept.all() else frame.filter(kept)

    def _position(self, at: Position) -> Position:
        return msgspec.to_builtins(_Position(self._is_live, at, self._cut))

    def partitions(self) -> Sequence[int]:
        """Return those of the source that is being read."""
        if not self._is_live:
            return tuple(self._history.partitions())
        offset = _LIVE if self._spec.partitioned else 0
        return tuple(number + offset for number in self._live.partitions())

    def acknowledge(self, position: Position) -> None:
        """Tell the source that the position is of."""
        held = msgspec.convert(position, _Position)
        if held.live and held.at is not None:
            self._live.acknowledge(held.at)
        elif not held.live and not self._is_live:
            self._history.acknowledge(held.at)

    def lag(self) -> int | None:
        """Return what waits in the live source, if nothing of history does."""
        return lag_of(self._live) if self._is_live else None

    def close(self) -> None:
        """Close both."""
        self._history.close()
        self._live.close()
