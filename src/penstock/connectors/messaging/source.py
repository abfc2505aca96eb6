"""A live source of messages: one connection at a time, and another when it is lost.

    seek -> [connect -> fetch, fetch, ... -> lost] -> wait -> [connect -> fetch ...] -> close

What differs between systems is a `Link`: a connection that brings messages as frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.record_rows import RecordRows
from penstock.errors import ConnectorError, Fault

_log = logging.getLogger(__name__)

_SLICE_S = 0.25
"""Longest wait within a link."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class Link(Protocol):
    """A live connection; all calls from the polling thread, but ``acknowledge`` and ``wake``.

    What goes wrong is a ``ConnectorError``; with ``retry`` the link is closed and another one made.
    """

    @property
    def position(self) -> Position:
        """Where to go on after what was fetched."""

    @property
    def at_end(self) -> bool:
        """Whether nothing more was there at the last fetch."""

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come."""

    def fetch(self, most: int, wait_s: float) -> pl.DataFrame:
        """Return up to ``most`` messages, waiting up to ``wait_s`` for the first."""

    def acknowledge(self, position: Position) -> None:
        """Tell the broker, at once or with the next fetch, that all up to ``position`` is kept."""

    def wake(self) -> None:
        """End a waiting ``fetch``."""

    def close(self) -> None:
        """Release everything."""


Connect = Callable[[Position | None], Link]
"""Connects, to go on at a position; None: at the beginning that the spec asks for."""


class MessageSource(OnePartition):
    """Hands over the messages of a link, decoded, and connects again with growing pauses."""

    def __init__(
        self,
        connect: Connect,
        *,
        name: str,
        schema: pl.Schema,
        rows: RecordRows | None,
        patience_s: float,
    ) -> None:
        self._connect = connect
        self._step = name
        self._schema = schema
        self._rows = rows
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._closed = False
        self._link: Link | None = None
        self._position: Position | None = None
        self._ever = False
        self._pause_s = _FIRST_PAUSE_S
        self._next_try = 0.0
        self._give_up = 0.0
        self._woken = threading.Event()

    def seek(self, position: Position | None) -> None:
        """Go on at ``position`` with the next poll."""
        with self._lock:
            self._drop()
            self._position = position
            self._give_up = time.monotonic() + self._patience_s

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the next messages."""
        until = time.monotonic() + timeout_s
        with self._lock:
            while not self._closed:
                left = max(0.0, until - time.monotonic())
                link = self._linked(left)
                if link is not None:
                    frame = self._fetched(link, max_rows, min(left, _SLICE_S))
                    if frame is not None and frame.height:
                        return self._polled(link, frame)
                    if frame is not None and link.ended:
                        break
                if left <= 0:
                    break
            return self._nothing()

    def _fetched(self, link: Link, most: int, wait_s: float) -> pl.DataFrame | None:
        try:
            frame = link.fetch(most, wait_s)
        except ConnectorError as error:
            self._lost(error)
            return None
        self._position = link.position
        if frame.height:
            self._pause_s = _FIRST_PAUSE_S
        return frame

    def _linked(self, wait_s: float) -> Link | None:
        """Return the link; connect if it is time to, else wait for that, but not for longer."""
        if self._link is not None:
            return self._link
        due_s = self._next_try - time.monotonic()
        if due_s > 0:
            self._woken.wait(min(due_s, wait_s))
            if due_s > wait_s or self._closed:
                return None
        try:
            self._link = self._connect(self._position)
        except ConnectorError as error:
            if not self._ever and time.monotonic() > self._give_up:
                raise
            self._lost(error)
            return None
        if self._next_try:
            _log.info("%s: connected again", self._step)
        self._ever, self._next_try = True, 0.0
        return self._link

    def _lost(self, error: ConnectorError) -> None:
        """Let the link go, and come back after a pause, or raise what coming back cannot help."""
        self._drop()
        if self._closed:
            return
        if not error.retry:
            raise error
        if not self._next_try:
            _log.warning("%s: the connection is lost (%s); trying again", self._step, error.message)
        self._next_try = time.monotonic() + self._pause_s
        self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _polled(self, link: Link, frame: pl.DataFrame) -> Polled:
        if self._rows is None:
            rows, dead = frame.select(self._schema.names()), None
        else:
            rows, dead = self._rows.of(frame)
        return Polled(rows, link.position, dead=dead, caught_up=link.at_end, ended=link.ended)

    def _nothing(self) -> Polled:
        link, there = self._link, self._link is not None and not self._closed
        return Polled(
            pl.DataFrame(schema=self._schema),
            self._position,
            caught_up=there and link is not None and link.at_end,
            ended=there and link is not None and link.ended,
        )

    def acknowledge(self, position: Position) -> None:
        """Pass it on; while there is no connection nobody can be told, and all comes again."""
        link = self._link
        if link is not None:
            link.acknowledge(position)

    def close(self) -> None:
        """Leave, once a waiting poll has noticed."""
        self._closed = True
        self._woken.set()
        link = self._link
        if link is not None:
            link.wake()
        with self._lock:
            self._drop()


def lost_connection(step: str, reason: object) -> ConnectorError:
    """Return the error of a connection that broke, or never came to be."""
    return ConnectorError(
        f"the connection is lost: {reason}", step=step, fault=Fault.REMOTE, retry=True
    )
