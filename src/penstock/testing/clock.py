"""A clock that tests drive."""

from __future__ import annotations


class ManualClock:
    """Stands still until told to move. ``now`` in nanoseconds since 1970 UTC."""

    def __init__(self, now: int = 0) -> None:
        self._now = now

    def now(self) -> int:
        """Return the instant."""
        return self._now

    def elapsed(self) -> float:
        """Return the instant in seconds."""
        return self._now / 1e9

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += round(seconds * 1e9)
