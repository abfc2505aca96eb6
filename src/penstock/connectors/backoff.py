"""Pauses between attempts that grow: 0.1 s, 0.2 s, 0.4 s ... each up to a half shorter, by chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta

from penstock.errors import ConfigError

_LEAST_SHARE = 0.5
"""Of a pause, at least: many clients of a server that comes back do not come all at once."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: ``first``, then twice as long each time, at most ``longest``."""

    first: timedelta = timedelta(milliseconds=100)
    longest: timedelta = timedelta(seconds=30)

    def check(self, step: str) -> None:
        """Raise ``ConfigError`` if it makes no sense."""
        if not timedelta(0) < self.first <= self.longest:
            raise ConfigError(
                "backoff must be positive and at most max_backoff", step=step, value=self.first
            )


@dataclass(slots=True)
class Pauses:
    """The pauses of one client, from its last success on."""

    backoff: Backoff
    failures: int = 0
    _chance: random.Random = field(default_factory=random.Random)

    def next_s(self, asked_s: float | None = None) -> float:
        """Return the seconds to wait after another failure; ``asked_s``: what the server asks for."""
        longest = self.backoff.longest.total_seconds()
        doublings = min(self.failures, 62)  # a float holds no more than 1,023
        pause = min(longest, self.backoff.first.total_seconds() * 2.0**doublings)
        self.failures += 1
        pause *= self._chance.uniform(_LEAST_SHARE, 1.0)
        return pause if asked_s is None else max(pause, asked_s)

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0
