"""The lock of a folder: one run holds it, and one that takes over is next, with nobody in between.

    lock        held alone, by the run that writes
    lock-next   held together, by runs that have taken over, until they get ``lock``;
                held alone, for a moment, by a run that may only begin if nobody is there

The kernel frees both when a process dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

_NONE = -1


class FolderLock:
    """The locks of one run on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = _NONE
        self._next = _NONE

    @property
    def held(self) -> bool:
        """Whether this run holds the folder."""
        return self._own != _NONE

    def acquire(self) -> bool:
        """Lock the folder if neither a run nor one that is taking over from it is there."""
        gate = self._locked("lock-next", fcntl.LOCK_EX)
        if gate == _NONE:
            return False
        try:
            self._own = self._locked("lock", fcntl.LOCK_EX)
        finally:
            os.close(gate)
        return self.held

    def take_over(self) -> bool:
        """Lock the folder, or be next: to be called again until the other one has let go."""
        if self._next == _NONE:
            self._next = self._locked("lock-next", fcntl.LOCK_SH)
        self._own = self._locked("lock", fcntl.LOCK_EX)
        if self.held:
            self._close_next()
        return self.held

    def release(self) -> None:
        """Let others have the folder."""
        self._close_next()
        if self.held:
            os.close(self._own)
            self._own = _NONE

    def _close_next(self) -> None:
        if self._next != _NONE:
            os.close(self._next)
            self._next = _NONE

    def _locked(self, name: str, how: int) -> int:
        """Return a handle of a locked file; none if another one has it."""
        handle = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return _NONE
        except BaseException:  # no locks on this file system, for one
            os.close(handle)
            raise
        return handle
