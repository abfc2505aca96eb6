"""Restart: whether and when a query that failed is started again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from penstock.errors import PlanError
from penstock.instants import NS_PER_SECOND, Duration, duration_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start a query again after a failure that may pass, waiting longer each time.

    The first restart comes ``initial_backoff`` after the failure, each further one ``multiplier``
    times as long after the next, up to ``max_backoff``. Each wait is made up to ``jitter`` (a part
    of it) shorter or longer by chance, so that many runs do not come back at one instant. A run
    that has lasted ``reset_after`` counts as recovered: the next failure is a first one again.
    ``attempts`` restarts in a row at most; None: without end.

    >>> import penstock as ps
    >>> ps.Restart(attempts=5, initial_backoff="100ms").waits()
    [0.1, 0.2, 0.4, 0.8, 1.6]
    """

    attempts: int | None = None
    initial_backoff: Duration = "1s"
    max_backoff: Duration = "1m"
    multiplier: float = 2.0
    jitter: float = 0.1
    reset_after: Duration = "10m"
    _seconds: tuple[float, float, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.attempts is not None and (isinstance(self.attempts, bool) or self.attempts < 1):
            raise _wrong(f"attempts must be a positive integer or None, not {self.attempts!r}")
        if not self.multiplier >= 1:
            raise _wrong(f"multiplier must be at least 1, not {self.multiplier!r}")
        if not 0 <= self.jitter < 1:
            raise _wrong(f"jitter must be from 0 to below 1, not {self.jitter!r}")
        seconds = [
            duration_ns(getattr(self, option), step="restart", option=option) / NS_PER_SECOND
            for option in ("initial_backoff", "max_backoff", "reset_after")
        ]
        if not 0 <= seconds[0] <= seconds[1]:
            raise _wrong("initial_backoff must be from 0 to max_backoff")
        object.__setattr__(self, "_seconds", tuple(seconds))

    @property
    def reset_after_s(self) -> float:
        """Seconds after which a run counts as recovered."""
        return self._seconds[2]

    def wait_s(self, number: int) -> float:
        """Return the seconds before the ``number``-th restart in a row (from 1), without jitter."""
        first, most, _ = self._seconds
        try:
            return min(most, first * float(self.multiplier) ** (number - 1))
        except OverflowError:
            return most

    def jittered_s(self, number: int) -> float:
        """Return the seconds before the ``number``-th restart in a row, made unequal by chance."""
        spread = random.uniform(-self.jitter, self.jitter)  # noqa: S311 - no secret
        return self.wait_s(number) * (1 + spread)

    def waits(self) -> list[float]:
        """Return the seconds before each restart (before the first ten, without a limit)."""
        return [self.wait_s(number + 1) for number in range(self.attempts or 10)]


def _wrong(message: str) -> PlanError:
    return PlanError(message, step="restart")
