"""How fast rows come, lately."""

from __future__ import annotations

from collections import deque

_OVER_S = 10.0
"""A rate is over about this time: long enough to be steady, short enough to show a change."""

_APART_S = 0.25


class RecentRate:
    """Remembers how many rows there were at some instants of the last seconds."""

    def __init__(self, started: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(started, 0)])

    def note(self, now: float, rows: int) -> None:
        """Note the number of rows so far, in all; one thread only calls this."""
        samples = self._samples
        if now - samples[-1][0] < _APART_S:
            return
        samples.append((now, rows))
        while len(samples) > 2 and samples[1][0] <= now - _OVER_S:
            samples.popleft()

    def per_second(self, now: float, rows: int) -> float:
        """Return the rate since about ten seconds ago, or since the start; from any thread."""
        samples = list(self._samples)
        old = [sample for sample in samples if sample[0] <= now - _OVER_S]
        since, before = old[-1] if old else samples[0]
        return (rows - before) / (now - since) if now > since else 0.0
