"""Peers of socket sources, each on a thread of its own, that talk until the block ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

_SECONDS = 30


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def tcp_sender(port: int, data: bytes) -> Iterator[None]:
    """Connect as soon as somebody listens, send ``data``, and stay."""
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as peer:
                    peer.sendall(data)
                    done.wait(_SECONDS)
            except ConnectionRefusedError:
                done.wait(0.01)

    with _running(send, done):
        yield


@contextlib.contextmanager
def tcp_server(data: bytes) -> Iterator[int]:
    """Listen, send ``data`` to the first who connects, and close in order; yields the port."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_SECONDS)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(data)

        with _running(serve, done):
            yield int(listener.getsockname()[1])


@contextlib.contextmanager
def udp_sender(port: int, message: bytes) -> Iterator[None]:
    """Send ``message`` over and over."""
    done = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            while not done.wait(0.01):
                with contextlib.suppress(ConnectionRefusedError):
                    peer.sendto(message, ("127.0.0.1", port))

    with _running(send, done):
        yield


@contextlib.contextmanager
def _running(target: Callable[[], None], done: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(_SECONDS)
