"""Waking readers: at once within a process, within a few milliseconds across processes.

A writer rings the bell of the topic's file after its commit; a bell is shared by every ``Topic`` of
this process on that file. Other processes are noticed by SQLite's ``data_version``, a counter in
shared memory, which a waiting reader looks at every `LOOK_EVERY_S`.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

LOOK_EVERY_S = 0.002
"""One look costs about 5 microseconds of CPU: 0.25 % of a core while waiting."""


class Bell:
    """A counter of rings that can be waited on; no ring is lost between a look and a wait."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it has rung."""
        return self._rings

    def ring(self) -> None:
        """Wake everyone who waits."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout_s: float) -> bool:
        """Wait until it has rung more often than ``seen``; False after the time-out."""
        with self._condition:
            return self._condition.wait_for(lambda: self._rings != seen, timeout_s)

    def heard(self, seen: int, elsewhere: Callable[[], bool], deadline: float) -> bool:
        """Wait until it has rung more often than ``seen``, or ``elsewhere`` sees another process.

        False if neither was so by ``deadline``, a time of ``time.monotonic``.
        """
        while (left := deadline - time.monotonic()) > 0:
            if self.wait(seen, min(left, LOOK_EVERY_S)) or elsewhere():
                return True
        return False


_bells: weakref.WeakValueDictionary[Path, Bell] = weakref.WeakValueDictionary()
_bells_lock = threading.Lock()


def bell_of(path: Path) -> Bell:
    """Return the bell that this process shares for the file ``path``."""
    with _bells_lock:
        bell = _bells.get(path)
        if bell is None:
            bell = _bells[path] = Bell()
        return bell
