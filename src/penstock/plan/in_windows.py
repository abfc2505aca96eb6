"""What a step knows of columns that expressions do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.plan.node import require_columns
from penstock.plan.properties import Properties
from penstock.plan.rows import Frame, RowStep


@dataclass(frozen=True, eq=False, kw_only=True)
class InWindows(RowStep):
    """Rows as they are, of which it is known that ``start + size_ns > time`` and ``end > time``.

    Once the watermark has passed the end of a window that rows are in, it has all of its rows.
    """

    start: str
    end: str
    time: str
    size_ns: int

    def derive(self) -> tuple[pl.Schema, Properties]:
        """Start and end have the bound of the time, and are beyond it."""
        require_columns("window", self.input.schema, [self.start, self.end, self.time])
        before = self.input.properties
        bound = before.times.get(self.time)
        plain = None if bound is None else bound.plain
        if plain is None:
            return self.input.schema, before
        end = replace(plain, strict=True)
        start = replace(end, shift_ns=end.shift_ns - self.size_ns)
        times = {**before.times, self.start: start, self.end: end}
        return self.input.schema, replace(before, times=times)

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:  # noqa: ARG002 - same for all steps
        """Change nothing."""
        return frame

    def describe(self) -> str:
        """Name the columns."""
        return f"InWindows {self.time} in [{self.start}, {self.end})"
