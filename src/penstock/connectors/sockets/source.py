"""Live TCP sources.

All reading happens in ``poll``: what is not polled waits in the kernel's buffers, so that a slow
pipeline slows the senders down.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import polars as pl

from penstock.connectors.contract import OnePartition, Polled, Position
from penstock.connectors.decoding import Decoder
from penstock.connectors.sockets.lines import LineCutter, LineQueue, Piece
from penstock.connectors.sockets.rows import decode_lines
from penstock.connectors.sockets.waker import Waker
from penstock.errors import ConnectorError, Fault

_CHUNK_BYTES = 256 << 10
"""Bytes taken from one connection before the next has its turn."""
_READ_AHEAD_BYTES = 16 << 20
"""Bytes read in one poll at most, whatever ``max_rows`` allows."""
_BACKLOG = 128


class Connection:
    """One peer and its unfinished line."""

    def __init__(self, sock: socket.socket, max_line_bytes: int) -> None:
        sock.settimeout(0.0)
        self.sock = sock
        self.peer = show_address(sock.getpeername())
        self.cutter = LineCutter(self.peer, max_line_bytes)
        self.open = True
        self.lost = False

    def receive(self) -> tuple[int, Iterator[Piece]]:
        """Take one chunk; how many bytes came, and the pieces that are whole."""
        try:
            chunk = self.sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0, iter(())
        except OSError as error:
            self.open, self.lost = False, True
            return 0, self.cutter.abandon(f"the connection broke within the line: {error}")
        if not chunk:
            self.open = False
            return 0, self.cutter.finish()
        return len(chunk), self.cutter.feed(chunk)


class LineSource(OnePartition):
    """What server and client share: connections in, rows out."""

    def __init__(self, decoder: Decoder, name: str, max_line_bytes: int) -> None:
        self._decoder = decoder
        self._name = name
        self._max_line_bytes = max_line_bytes
        self._queue = LineQueue()
        self._received = 0
        self._selector = selectors.DefaultSelector()
        self._waker = Waker()
        self._selector.register(self._waker.receiver, selectors.EVENT_READ)
        self._closed = False
        self._polling = threading.Lock()  # held while sockets are in use

    def seek(self, position: Position | None) -> None:
        """Nothing can be brought again; go on with what arrives."""

    def acknowledge(self, position: Position) -> None:
        """Nothing to tell the peer."""

    def poll(self, max_rows: int, timeout_s: float) -> Polled:
        """Return the lines that have arrived, as soon as there are any."""
        with self._polling:
            return self._poll(max_rows, timeout_s)

    def _poll(self, max_rows: int, timeout_s: float) -> Polled:
        deadline = time.monotonic() + timeout_s
        quiet = False
        if not self._closed and self._queue.lines < max_rows:
            quiet = not self._read(0.0, max_rows)
        while not self._queue.lines and not self._closed and not self._finished():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            quiet = not self._read(left, max_rows)
        return self._hand_over(max_rows, quiet=quiet)

    def _hand_over(self, max_rows: int, *, quiet: bool) -> Polled:
        pieces = self._queue.take(max_rows)
        frame, dead = decode_lines(self._decoder, pieces, self._name)
        self._received += sum(piece.lines for piece in pieces)
        rest = bool(self._queue.lines)
        return Polled(
            frame if pieces else pl.DataFrame(schema=self._decoder.schema),
            {"received": self._received},
            dead=dead,
            caught_up=quiet and not rest and self._connected(),
            ended=self._finished() and not rest,
        )

    def _read(self, timeout_s: float, max_lines: int) -> bool:
        """Wait for bytes and take them; False if all connections have been emptied."""
        self._tend()
        size = 0
        ready = self._selector.select(min(timeout_s, self._longest_wait()))
        while ready and not self._closed:
            took = 0
            for key, _ in ready:
                if key.fileobj is not self._waker.receiver:
                    took += self._serve(key)
            size += took
            if size >= _READ_AHEAD_BYTES or self._queue.lines >= max_lines:
                return True
            ready = self._selector.select(0) if took else []
        return False

    def _serve(self, key: selectors.SelectorKey) -> int:
        connection = key.data
        if not isinstance(connection, Connection):
            return self._event(key)
        took, pieces = connection.receive()
        self._queue.put(pieces)
        if not connection.open:
            self._drop(connection)
        return took

    def _event(self, key: selectors.SelectorKey) -> int:
        """Handle what is not a connection's bytes; return 1 if more may be there."""
        raise NotImplementedError

    def _drop(self, connection: Connection) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _tend(self) -> None:
        """Do what is due before waiting."""

    def _longest_wait(self) -> float:
        return float("inf")

    def _connected(self) -> bool:
        return True

    def _finished(self) -> bool:
        return False

    def close(self) -> None:
        """End a waiting poll and release the sockets."""
        self._closed = True
        self._waker.wake()
        with self._polling:
            for key in list((self._selector.get_map() or {}).values()):
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()
            self._selector.close()
            self._waker.close()


class TcpServerSource(LineSource):
    """Reads from everyone who connects."""

    def __init__(
        self,
        address: tuple[str, int],
        decoder: Decoder,
        *,
        name: str,
        max_line_bytes: int,
        max_connections: int,
        max_buffer_bytes: int,
    ) -> None:
        super().__init__(decoder, name, max_line_bytes)
        self._max_connections = max_connections
        self._max_buffer_bytes = max_buffer_bytes
        self._connections: set[Connection] = set()
        self._held_bytes = 0
        self.refused = 0
        """How many connections were closed at once because there were too many."""
        self._listener = self._listen(address)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _listen(self, address: tuple[str, int]) -> socket.socket:
        try:
            return listening(self._name, address)
        except ConnectorError:
            self.close()
            raise

    def _event(self, key: selectors.SelectorKey) -> int:  # noqa: ARG002 - there is one listener
        try:
            sock, _ = self._listener.accept()
        except OSError:  # the peer has gone again, or we are out of descriptors: both pass
            return 0
        if len(self._connections) >= self._max_connections:
            self.refused += 1
            sock.close()
            return 1
        try:
            connection = Connection(sock, self._max_line_bytes)
        except OSError:
            sock.close()
            return 1
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        return 1

    def _serve(self, key: selectors.SelectorKey) -> int:
        connection = key.data
        if not isinstance(connection, Connection) or connection not in self._connections:
            return self._event(key) if connection is None else 0
        before = connection.cutter.held_bytes
        took = super()._serve(key)
        self._held_bytes += connection.cutter.held_bytes - before
        if self._held_bytes > self._max_buffer_bytes:
            self._close_largest()
        return took

    def _close_largest(self) -> None:
        worst = max(self._connections, key=lambda connection: connection.cutter.held_bytes)
        self._held_bytes -= worst.cutter.held_bytes
        reason = f"closed: all unfinished lines held more than {self._max_buffer_bytes} bytes"
        self._queue.put(worst.cutter.abandon(reason))
        self._drop(worst)

    def _drop(self, connection: Connection) -> None:
        super()._drop(connection)
        self._connections.discard(connection)


class TcpClientSource(LineSource):
    """Reads from one server, and finds it again when it was lost."""

    def __init__(
        self,
        address: tuple[str, int],
        decoder: Decoder,
        *,
        name: str,
        ends: bool,
        backoff_s: float,
        max_backoff_s: float,
        max_line_bytes: int,
    ) -> None:
        super().__init__(decoder, name, max_line_bytes)
        self._address = address
        self._ends = ends
        self._first_pause_s = self._pause_s = backoff_s
        self._max_pause_s = max_backoff_s
        self._next_try = 0.0
        self._connecting: socket.socket | None = None
        self._connection: Connection | None = None
        self._ended = False
        self.attempts = 0
        """How many times it has tried to connect."""

    def _tend(self) -> None:
        idle = self._connection is None and self._connecting is None
        if idle and not self._ended and time.monotonic() >= self._next_try:
            self._begin_connecting()

    def _begin_connecting(self) -> None:
        self.attempts += 1
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                *self._address, type=socket.SOCK_STREAM
            )[0]
            sock = socket.socket(family, kind, protocol)
        except OSError:
            self._retry_later()
            return
        sock.settimeout(0.0)
        result = sock.connect_ex(address)
        if result not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            sock.close()
            self._retry_later()
            return
        self._connecting = sock
        self._selector.register(sock, selectors.EVENT_WRITE)

    def _event(self, key: selectors.SelectorKey) -> int:  # noqa: ARG002 - one connection at a time
        sock = self._connecting
        if sock is None:
            return 0
        self._connecting = None
        self._selector.unregister(sock)
        try:
            self._connection = Connection(sock, self._max_line_bytes)
        except OSError:  # not connected
            sock.close()
            self._retry_later()
            return 0
        self._selector.register(sock, selectors.EVENT_READ, self._connection)
        return 1

    def _serve(self, key: selectors.SelectorKey) -> int:
        took = super()._serve(key)
        if took and isinstance(key.data, Connection):
            self._pause_s = self._first_pause_s
        return took

    def _drop(self, connection: Connection) -> None:
        super()._drop(connection)
        self._connection = None
        self._ended = self._ends and not connection.lost
        self._retry_later()

    def _retry_later(self) -> None:
        self._next_try = time.monotonic() + self._pause_s
        self._pause_s = min(self._max_pause_s, 2 * self._pause_s)

    def _longest_wait(self) -> float:
        if self._connection is not None or self._connecting is not None or self._ended:
            return float("inf")
        return max(0.0, self._next_try - time.monotonic())

    def _connected(self) -> bool:
        return self._connection is not None

    def _finished(self) -> bool:
        return self._ended


def listening(step: str, address: tuple[str, int], backlog: int = _BACKLOG) -> socket.socket:
    """Bind and listen, without blocking; ``backlog`` connections may wait to be taken."""
    try:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        found = socket.create_server(address, family=family, backlog=backlog)
    except OSError as error:
        raise cannot_bind(step, address, error) from error
    found.settimeout(0.0)
    return found


def cannot_bind(step: str, address: tuple[str, int], error: OSError) -> ConnectorError:
    """Say why an address cannot be listened on."""
    return ConnectorError(
        f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}",
        step=step,
        value=address[1],
        fault=Fault.USER,
        hint="choose another port, or 0 for any free one",
    )


def show_address(address: tuple[object, ...]) -> str:
    """Return ``host:port``, with brackets around an IPv6 host."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
