"""Ending a wait on sockets from another thread."""

from __future__ import annotations

import socket
from contextlib import suppress


class Waker:
    """A pair of sockets: a byte into one makes the other readable."""

    def __init__(self) -> None:
        self.receiver, self._sender = socket.socketpair()
        self._sender.settimeout(0.0)

    def wake(self) -> None:
        """Make ``receiver`` readable for good."""
        with suppress(OSError):  # full or closed: then nobody needs waking
            self._sender.send(b"\0")

    def close(self) -> None:
        """Release both."""
        self.receiver.close()
        self._sender.close()
