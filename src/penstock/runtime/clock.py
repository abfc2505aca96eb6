"""The processing-time clock: the only place where the engine reads the time of day."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time; tests drive one of their own (``penstock.testing.ManualClock``)."""

    def now(self) -> int:
        """Return the processing-time instant: nanoseconds since 1970 UTC."""

    def elapsed(self) -> float:
        """Return seconds of a clock that never goes back."""


class SystemClock:
    """The machine's clock; ``now`` never goes back, even if the machine's clock is set back."""

    def __init__(self) -> None:
        self._highest = 0

    def now(self) -> int:
        """Return the time of day, held where it would go back."""
        self._highest = max(self._highest, time.time_ns())
        return self._highest

    def elapsed(self) -> float:
        """Return the monotonic clock's seconds."""
        return time.monotonic()
