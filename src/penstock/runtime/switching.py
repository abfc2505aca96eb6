"""How long Python lets one thread run while an engine runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_INTERVAL_S = 0.0005
"""With Python's 5 ms a busy source thread would hold an epoch up for that long: measured, one busy
thread turns a 0.4 ms epoch into 11 ms, and with this interval into 1.6 ms."""

_lock = threading.Lock()
_running = 0
_before = 0.0


@contextmanager
def quick_switching() -> Iterator[None]:
    """Switch threads quickly until the last of the engines that ask for it has ended."""
    global _running, _before
    with _lock:
        if _running == 0:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(_INTERVAL_S)
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                sys.setswitchinterval(_before)
