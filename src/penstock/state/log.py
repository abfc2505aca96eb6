"""RowLog: rows that are appended, and taken out together."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import polars as pl

from penstock.errors import StateLimitError
from penstock.state.contract import FULL, FULL_MARK, Part, since_last_full
from penstock.state.memory import SMALLEST, MemoryBudget, current

_MERGED_ROWS = 16_384
"""Frames up to this size are merged: enough to keep a trickle from piling up tiny frames, while
full epochs are never copied."""


class RowLog:
    """Frames in order of arrival. What is cheap: appending, reading all, replacing all.

    Over the memory budget, the largest frames are moved to scratch files.
    """

    def __init__(self, schema: pl.Schema, *, budget: MemoryBudget | None = None) -> None:
        self.schema = schema
        self._budget = budget or current()
        self._frames: list[pl.DataFrame | _Spilled] = []
        self._bytes = 0
        self._unsaved = 0
        self._replaced = False
        self._rows = 0
        if self._budget is not None:
            self._budget.register(self)

    def __len__(self) -> int:
        return self._rows

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows at the end; small frames are merged geometrically."""
        if not frame.height:
            return
        self._frames.append(frame)
        self._unsaved += 1
        self._rows += frame.height
        while self._unsaved > 1 and self._merge_last():
            self._unsaved -= 1
        self._note(int(frame.estimated_size()))

    def _merge_last(self) -> bool:
        """Merge the last two frames if both are small. No snapshot may have seen them yet."""
        before, last = self._frames[-2:]
        if isinstance(before, _Spilled) or isinstance(last, _Spilled):
            return False
        if before.height > 2 * last.height or before.height + last.height > _MERGED_ROWS:
            return False
        self._frames[-2:] = [pl.concat([before, last], rechunk=True)]
        return True

    def read(self) -> pl.DataFrame:
        """Return all rows."""
        frames = list(self.frames())
        if not frames:
            return pl.DataFrame(schema=self.schema)
        return pl.concat(frames) if len(frames) > 1 else frames[0]

    def frames(self) -> Iterator[pl.DataFrame]:
        """Yield the rows as they are held."""
        for frame in list(self._frames):
            yield frame.read() if isinstance(frame, _Spilled) else frame

    def replace(self, frames: Sequence[pl.DataFrame]) -> None:
        """Forget everything and hold these instead."""
        self._frames = [frame for frame in frames if frame.height]
        self._unsaved = len(self._frames)
        self._replaced = True
        self._rows = sum(frame.height for frame in frames)
        self._bytes = 0
        self._note(sum(int(frame.estimated_size()) for frame in frames))

    def _note(self, size: int) -> None:
        self._bytes += size
        if self._budget is not None:
            self._budget.note(size)
            self._budget.enforce()

    @property
    def anonymous(self) -> int:
        """Bytes in memory that can be moved to a file."""
        held = (f.estimated_size() for f in self._frames if isinstance(f, pl.DataFrame))
        return int(sum(size for size in held if size >= SMALLEST))

    def spill(self) -> None:
        """Move the largest frame to a file."""
        assert self._budget is not None
        sizes = [f.estimated_size() if isinstance(f, pl.DataFrame) else -1 for f in self._frames]
        largest = sizes.index(max(sizes))
        frame = self._frames[largest]
        if isinstance(frame, pl.DataFrame):
            self._frames[largest] = _Spilled(frame, self._budget)

    @property
    def nbytes(self) -> int:
        """Bytes held, in memory or on disk."""
        return self._bytes

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
        fresh = list(self.frames())[len(self._frames) - self._unsaved :]
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
                self._note(int(frame.estimated_size()))
        self._unsaved = 0
        self._replaced = False


class _Spilled:
    """A frame in a scratch file, deleted with this object."""

    __slots__ = ("__weakref__", "_path")

    def __init__(self, frame: pl.DataFrame, budget: MemoryBudget) -> None:
        self._path = budget.new_path()
        try:
            frame.write_ipc(self._path)
        except OSError as error:
            raise StateLimitError(
                f"cannot move state to disk: {error}",
                value=str(self._path),
                hint="give the run a scratch folder with more room, or a higher memory limit",
            ) from error
        weakref.finalize(self, budget.forget, self._path)

    def read(self) -> pl.DataFrame:
        return pl.read_ipc(self._path)
