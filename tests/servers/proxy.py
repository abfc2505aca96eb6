"""A TCP proxy on loopback whose connections can be cut, as a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Proxy:
    """Passes bytes to ``target`` and back; ``cut`` ends all connections at once."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
                two = socket.create_connection(("127.0.0.1", self._target), timeout=10)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                continue
            two.settimeout(None)
            with self._lock:
                self._pairs.append((one, two))
                self.connections += 1
            for pair in ((one, two), (two, one)):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()

    def cut(self) -> None:
        """End all connections, in the midst of whatever goes through them."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for each in pair:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()


def _pass_on(one: socket.socket, two: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := one.recv(65_536):
            two.sendall(chunk)
        two.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """Give a proxy to a port."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
