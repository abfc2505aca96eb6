"""How much memory the state of a run may take, and where the rest goes.

    anonymous memory  --- over the limit --->  array:       a mapped scratch file, grown in place
                                               arena chunk: Arrow files of one block each, read
                                                            back through a cache with its own share

Mapped pages are the kernel's to write back and drop, so they are not counted. What is counted:
arrays and chunks of 64 KiB and more, and the cache.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.errors import StateLimitError

SMALLEST = 1 << 16
"""Bytes below which memory is neither counted nor moved: a file per tiny array costs more."""

_CACHE_SHARE = 4  # a quarter of the limit serves to read chunks back
_SLACK_SHARE = 16  # the sum is taken afresh when this part of the limit was newly allocated
_PREFIX = "scratch-"


class Spillable(Protocol):
    """Something that holds anonymous memory and can move it to a file."""

    @property
    def anonymous(self) -> int:
        """Bytes of anonymous memory held that can be moved."""
        ...

    def spill(self) -> None:
        """Move the largest piece to a file."""
        ...


class ScratchFile:
    """A file without a name, mapped and extended; gone when nothing refers to it any more."""

    def __init__(self, folder: Path) -> None:
        handle, path = tempfile.mkstemp(dir=folder)
        Path(path).unlink()
        self._handle = handle
        weakref.finalize(self, os.close, handle)

    def map(self, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
        """Return the file as an array of ``count`` entries, new ones zero."""
        size = max(1, count * dtype.itemsize)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._handle, 0, size)  # a full disk is an error, not SIGBUS
            else:
                os.ftruncate(self._handle, size)
        except OSError as error:
            raise StateLimitError(
                f"no room to move state to disk: {error}",
                value=size,
                hint="give the run a scratch folder with more room, or a higher memory limit",
            ) from error
        return np.frombuffer(mmap.mmap(self._handle, size), dtype, count)


class SpilledBlock:
    """A Series in an Arrow file, deleted with this object."""

    __slots__ = ("__weakref__", "_budget", "_length", "_path", "nbytes")

    def __init__(self, series: pl.Series, budget: MemoryBudget) -> None:
        self._budget = budget
        self._length = len(series)
        self.nbytes = int(series.estimated_size())
        self._path = budget.new_path()
        try:
            series.to_frame().write_ipc(self._path, compression="uncompressed")
        except OSError as error:
            raise StateLimitError(
                f"cannot move state to disk: {error}",
                value=str(self._path),
                hint="give the run a scratch folder with more room, or a higher memory limit",
            ) from error
        weakref.finalize(self, budget.forget, self._path)

    def __len__(self) -> int:
        return self._length

    def read(self) -> pl.Series:
        """Return the Series, from the cache if it is there."""
        return self._budget.read(self._path)


class MemoryBudget:
    """Limit on the anonymous memory of all stores of a run; ``None`` is no limit.

    Scratch in ``folder`` that a run left behind is deleted; that of a run that is alive is locked.
    """

    def __init__(self, limit_bytes: int | None = None, folder: Path | None = None) -> None:
        self.limit_bytes = limit_bytes
        self._holders: weakref.WeakSet[Spillable] = weakref.WeakSet()
        self._cache: OrderedDict[Path, tuple[pl.Series, int]] = OrderedDict()
        self._cached = 0
        self._counted = 0
        self._fresh = 0
        self._files = 0
        self._folder: Path | None = None
        self._parent = folder
        if folder is not None and folder.exists():
            for other in folder.glob(_PREFIX + "*"):
                _delete_if_stale(other)

    @property
    def scratch(self) -> Path:
        """The folder of the scratch files, made when first needed."""
        if self._folder is None:
            if self._parent is not None:
                self._parent.mkdir(parents=True, exist_ok=True)
            self._folder, lock = _locked_folder(self._parent)
            weakref.finalize(self, os.close, lock)
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder

    def new_path(self) -> Path:
        """Return a new name for a scratch file."""
        self._files += 1
        return self.scratch / f"{self._files}.arrow"

    def register(self, holder: Spillable) -> None:
        """Count what ``holder`` holds for as long as it lives."""
        self._holders.add(holder)

    @property
    def used(self) -> int:
        """Anonymous bytes held now."""
        return sum(holder.anonymous for holder in self._holders) + self._cached

    def fits(self, size: int) -> bool:
        """Tell whether ``size`` more bytes are within the limit, by the last count."""
        return self.limit_bytes is None or self._counted + self._fresh + size <= self.limit_bytes

    def note(self, size: int) -> None:
        """Take account of ``size`` bytes newly allocated."""
        self._fresh += size

    def enforce(self) -> None:
        """Move the largest pieces to files until the rest is within the limit.

        To be called when nothing else holds on to an array of a store. Costs nothing until a
        part of the limit was newly allocated.
        """
        limit = self.limit_bytes
        if limit is None:
            return
        slack = limit // _SLACK_SHARE
        if self._fresh <= slack and self._counted + self._fresh <= limit:
            return
        self._counted, self._fresh = self.used, 0
        while self._counted > limit - slack:
            largest = max(self._holders, key=lambda holder: holder.anonymous, default=None)
            if largest is None or largest.anonymous < SMALLEST:
                return
            before = largest.anonymous
            largest.spill()
            self._counted -= before - largest.anonymous

    def read(self, path: Path) -> pl.Series:
        """Return the Series in a scratch file, through the cache."""
        entry = self._cache.get(path)
        if entry is not None:
            self._cache.move_to_end(path)
            return entry[0]
        series = pl.read_ipc(path).to_series(0)
        size = int(series.estimated_size())
        self._cache[path] = (series, size)
        self._cached += size
        self.note(size)
        while self._cached > (self.limit_bytes or 0) // _CACHE_SHARE and len(self._cache) > 1:
            self._evict(next(iter(self._cache)))
        return series

    def _evict(self, path: Path) -> None:
        _, size = self._cache.pop(path)
        self._cached -= size
        self.note(-size)

    def forget(self, path: Path) -> None:
        """Delete a scratch file."""
        if path in self._cache:
            self._evict(path)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def close(self) -> None:
        """Delete all scratch files; the stores must not be used any more."""
        self._cache.clear()
        self._cached = 0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _locked_folder(parent: Path | None) -> tuple[Path, int]:
    """Make a scratch folder and lock it for as long as the handle returned is open."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists():  # else somebody took it for stale before it was locked
            return folder, handle
        os.close(handle)


def _delete_if_stale(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return  # of a run that is alive
    finally:
        os.close(handle)


_current: ContextVar[MemoryBudget | None] = ContextVar("penstock_memory_budget", default=None)


@contextlib.contextmanager
def using(budget: MemoryBudget | None) -> Iterator[None]:
    """Give stores that are built inside, and name no budget themselves, this one."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> MemoryBudget | None:
    """Return the budget that stores are being built for."""
    return _current.get()
