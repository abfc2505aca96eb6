"""The processing-time clock: the only place where the engine reads the time of day."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from penstock.instants import NS_PER_SECOND

_TOLERANCE_NS = NS_PER_SECOND
"""How far time servers move a clock in the ordinary course of things."""

_BELIEVED_NS = 60 * NS_PER_SECOND
"""How long a step forward must last."""


def _passed_ns() -> int:
    """Return a count of nanoseconds that goes on while the machine is suspended, where that exists."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


class Clock(Protocol):
    """Tells the time; tests drive one of their own (``penstock.testing.ManualClock``)."""

    def now(self) -> int:
        """Return the processing-time instant: nanoseconds since 1970 UTC."""

    def elapsed(self) -> float:
        """Return seconds of a clock that never goes back."""


class SystemClock:
    """The time of day without its jumps.

    ``now`` keeps pace with the time that has really passed and follows the machine's clock within a
    second. Where that is set by more, a step forward is believed when it has lasted for a minute: a
    clock that is wrong for a moment must not close windows or fire timers of hours to come. After a
    step back ``now`` runs at half speed until the machine's clock has caught up, so that it never
    goes back and never stands still.
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        passed: Callable[[], int] = _passed_ns,
    ) -> None:
        self._wall, self._passed = wall, passed
        self._lock = threading.Lock()
        self._last, self._now = passed(), wall()
        self._ahead_since: int | None = None

    def now(self) -> int:
        """Return the time of day, in nanoseconds since 1970 UTC."""
        with self._lock:
            passed, wall = self._passed(), self._wall()
            step, self._last = passed - self._last, passed
            self._now = max(self._now, self._next(self._now + step, step, wall))
            return self._now

    def _next(self, expected: int, step: int, wall: int) -> int:
        ahead = wall - expected
        if ahead <= _TOLERANCE_NS:
            self._ahead_since = None
            return wall if ahead >= -_TOLERANCE_NS else expected - step // 2
        if self._ahead_since is None:
            self._ahead_since = self._last
        if self._last - self._ahead_since < _BELIEVED_NS:
            return expected
        self._ahead_since = None
        return wall

    def elapsed(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()
