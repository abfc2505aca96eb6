"""When a part is full, and where to cut it: decisions without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_SLACK_S = 1.0
"""How far clocks are set back in the ordinary course of things."""


@dataclass(frozen=True, slots=True)
class Rolling:
    """Limits of one file. ``bytes`` is counted as uncompressed Arrow data; None is no limit."""

    rows: int | None
    bytes: int | None
    after: timedelta | None

    def rows_per_file(self, rows: int, size: int) -> int | None:
        """Return how many rows the next file takes out of ``rows`` in ``size`` bytes.

        None while there is not enough for a file.
        """
        limits = []
        if self.rows is not None and rows >= self.rows:
            limits.append(self.rows)
        if self.bytes is not None and size >= self.bytes:
            limits.append(max(1, rows * self.bytes // size))
        return min(limits, default=None)

    def expired(self, opened: float, now: float) -> bool:
        """Tell whether a part opened then must be filed now (seconds since 1970).

        One that is from the future was opened before the clock was set back: nobody knows how long
        ago, so it is filed.
        """
        if self.after is None:
            return False
        return now - opened >= self.after.total_seconds() or now < opened - _SLACK_S
