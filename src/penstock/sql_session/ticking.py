"""The thread of a session that moves views when the clock does, though nobody asks."""

from __future__ import annotations

import threading

from penstock.errors import PenstockError
from penstock.instants import NS_PER_SECOND
from penstock.sql_session.upkeep import Upkeep

_LOOK_S = 0.25
"""How late a change of the machine's clock, or of one that a test drives, may be noticed."""

_REST_S = 0.01
"""The least time between two looks: each row may leave at an instant of its own."""


class Ticking:
    """Calls ``Upkeep.advance`` when it is due, under the session's lock, so that sinks and followers
    are told. There is a thread only once something depends on the clock.
    """

    def __init__(self, upkeep: Upkeep, lock: threading.RLock) -> None:
        self._upkeep = upkeep
        self._lock = lock
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def watch(self) -> None:
        """Begin to look at the clock, if something depends on it."""
        if self._thread is None and self._upkeep.deadline() is not None:
            self._thread = threading.Thread(target=self._run, name="session-clock", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread; called without the session's lock."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s()):
            with self._lock:
                if not self._stopping.is_set():
                    self._advance()

    def _pause_s(self) -> float:
        with self._lock:
            deadline = self._upkeep.deadline()
        if deadline is None:
            return _LOOK_S
        left = (deadline - self._upkeep.clock.now()) / NS_PER_SECOND
        return min(max(left, _REST_S), _LOOK_S)

    def _advance(self) -> None:
        """A failure is the next statement's, which meets it again."""
        try:
            self._upkeep.advance()
        except PenstockError:
            self._stopping.wait(_LOOK_S)
