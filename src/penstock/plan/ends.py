"""What a step knows of columns that expressions do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from penstock.plan.node import require_columns
from penstock.plan.properties import Properties
from penstock.plan.rows import Frame, RowStep


@dataclass(frozen=True, eq=False, kw_only=True)
class EndsAfter(RowStep):
    """Rows as they are, of which it is known that ``end`` lies after ``time``.

    A window that a row is in ends after the row: once the watermark has passed its end, it has all
    of its rows.
    """

    end: str
    time: str

    def derive(self) -> tuple[pl.Schema, Properties]:
        """The end has the bound of the time, and is beyond it."""
        require_columns("window", self.input.schema, [self.end, self.time])
        before = self.input.properties
        bound = before.times.get(self.time)
        if bound is None or bound.through:
            return self.input.schema, before
        times = {**before.times, self.end: replace(bound, strict=True)}
        return self.input.schema, replace(before, times=times)

    def apply(self, frame: Frame, hidden: list[str]) -> Frame:  # noqa: ARG002 - same for all steps
        """Change nothing."""
        return frame

    def describe(self) -> str:
        """Name the columns."""
        return f"EndsAfter {self.time} < {self.end}"
