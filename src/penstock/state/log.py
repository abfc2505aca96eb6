"""RowLog: rows that are appended, and taken out together."""

from __future__ import annotations

import polars as pl

from penstock.state.contract import FULL, FULL_MARK, Part, since_last_full

_MERGED_ROWS = 16_384
"""Frames up to this size are merged: enough to keep a trickle from piling up tiny frames, while
full epochs are never copied."""


class RowLog:
    """Frames in order of arrival. What is cheap: appending, reading all, replacing all."""

    def __init__(self, schema: pl.Schema) -> None:
        self.schema = schema
        self._frames: list[pl.DataFrame] = []
        self._unsaved = 0
        self._replaced = False
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows at the end; small frames are merged geometrically."""
        if not frame.height:
            return
        self._frames.append(frame)
        self._unsaved += 1
        self._rows += frame.height
        while self._mergeable():
            last = self._frames.pop()
            self._frames[-1] = pl.concat([self._frames[-1], last], rechunk=True)
            self._unsaved -= 1

    def _mergeable(self) -> bool:
        """Only frames that no snapshot has seen may be merged: a delta is whole frames."""
        if self._unsaved < 2:
            return False
        last, before = self._frames[-1].height, self._frames[-2].height
        return before <= 2 * last and before + last <= _MERGED_ROWS

    def read(self) -> pl.DataFrame:
        """Return all rows."""
        if not self._frames:
            return pl.DataFrame(schema=self.schema)
        return pl.concat(self._frames) if len(self._frames) > 1 else self._frames[0]

    def frames(self) -> list[pl.DataFrame]:
        """Return the rows as they are held."""
        return list(self._frames)

    def replace(self, frames: list[pl.DataFrame]) -> None:
        """Forget everything and hold these instead."""
        self._frames = [frame for frame in frames if frame.height]
        self._unsaved = len(self._frames)
        self._replaced = True
        self._rows = sum(frame.height for frame in self._frames)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(int(frame.estimated_size()) for frame in self._frames)

    @property
    def must_rewrite(self) -> bool:
        """Whether the next delta is a full part."""
        return self._replaced

    def delta(self) -> Part:
        """Return the rows appended since, or all after a replacement."""
        if self._replaced:
            return self.full()
        if not self._unsaved:
            return {}
        fresh = self._frames[len(self._frames) - self._unsaved :]
        self._unsaved = 0
        return {"rows": pl.concat(fresh)}

    def full(self) -> Part:
        """Return all rows."""
        self._unsaved = 0
        self._replaced = False
        return {FULL: FULL_MARK, "rows": self.read()}

    def load(self, parts: list[Part]) -> None:
        """Restore."""
        for part in since_last_full(parts):
            frame = part.get("rows")
            if frame is not None and frame.height:
                self._frames.append(frame)
                self._rows += frame.height
        self._unsaved = 0
        self._replaced = False
